//! Tasks that are `async fn`s. A service reads like blocking code, and runs on the same kernel as the state machines.
//!
//! ```
//! # use sinbin_core::task::{Conn, Error};
//!
//! async fn echo(conn: Conn<'_>) -> Result<(), Error> {
//!     let mut buf = [0; 512];
//!     loop {
//!         let n = conn.recv(&mut buf).await?;
//!         if n == 0 {
//!             return Ok(());
//!         }
//!         conn.send_all(&buf[..n]).await?;
//!     }
//! }
//! ```
//!
//! Natively, `sinbin::serve` runs the function for each connection, and `sinbin::run` runs a program of tasks. On any
//! other host, a [`Pool`] provides the slots for the futures, and an [`Executor`](crate::Executor) whose host is an
//! [`AsyncHost`] runs them.
//!
//! # How it works
//!
//! [`Async`] is a [`Task`](crate::Task) like any other. Each step of the task enters the [`RunContext`], the run context of
//! the loop, and polls the future. A future attempts its operation through the run context. If the operation would
//! block, the future registers its wait there and returns pending. The waits that all futures of the task have
//! registered form the wait that the kernel gets, so a task can wait for the first of several events. The wait of a
//! dropped future disappears with the next step. Tasks and futures reach the run context through a [`Handle`], a
//! connection or a listener: these handles are capabilities. A task can do nothing that it has no handle for.
//!
//! After 32 operations in one step a task yields, however much work is left. A wait of a task has places for
//! [four](crate::kernel::MAX_WAITS) sources and jobs, and for any number of locks, channels and deadlines as well. With a
//! heap, a small task is spawned for each further source or job.
//! Variables that live across an `await` are part of the task, buffers included: [`Conn::recv_with`] waits without a
//! buffer.
//!
//! # Cancellation
//!
//! [`JoinHandle::cancel`] ends the task's wait. The task's next operation fails with [`WaitError::Cancelled`], even if it
//! would not wait. After that, every operation that would wait fails, so that `?` ends the task and drops what it owns.
//! A wait that is needed for cleanup can be [shielded](Handle::shield). A task that waits for something that can't fail
//! (a sleep, a yield, a future of another crate), or that ignores the cancellation, is dropped where it stands. [The
//! page on cancellation](cancellation) has all of the rules, and compares them with trio's.
//!
//! # Futures of other crates
//!
//! Futures of other crates work: their waker wakes the task, from any thread, through the host's [`Wakers`]. In an
//! executor within a task (`FuturesUnordered`, for example), futures of other crates, sleeps and timeouts work. With a
//! heap, operations that wait for sources, jobs, locks, channels or other tasks work there too. The kernel wakes tasks and
//! not parts of tasks, so a small task waits for each such source or job, which needs a slot of the kernel and a third turn.
//! A [group](crate::group) does without them. Without a heap, such operations fail with [`WaitError::Wrapped`].

pub(crate) mod alarm;
mod alarms;
#[doc = include_str!("task/cancellation.md")]
pub mod cancellation {}
pub(crate) mod combine;
pub(crate) mod conn;
pub(crate) mod conn_task;
mod deferred;
#[cfg(feature = "alloc")]
mod detached;
#[cfg(feature = "embedded-io-async")]
mod embedded;
pub(crate) mod endpoint;
pub(crate) mod error;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "alloc")]
mod halves;
pub(crate) mod handle;
pub(crate) mod host;
pub(crate) mod join;
#[cfg(feature = "alloc")]
mod join_all;
mod kept;
pub(crate) mod listener;
pub(crate) mod local;
pub(crate) mod member_list;
mod named;
mod offload;
#[cfg(feature = "alloc")]
mod part_wakers;
#[cfg(feature = "alloc")]
mod parts;
pub(crate) mod pool;
#[cfg(feature = "alloc")]
mod proxies;
#[cfg(feature = "alloc")]
mod proxy;
mod reader;
pub(crate) mod report;
#[cfg(feature = "alloc")]
mod resolver;
mod round_robin;
mod run;
pub(crate) mod run_context;
#[cfg(feature = "alloc")]
pub(crate) mod service;
mod signals;
pub(crate) mod slot;
pub(crate) mod start;
mod static_waker;
mod stopping;
mod task_ref;
pub(crate) mod wakers;

pub use crate::exec::label::{Label, NamedWait, WaitKind};
pub use crate::job::call::IntoJob;
pub use crate::job::erased::ErasedJob;
#[cfg(feature = "alloc")]
pub use crate::job::erased::{BoxedJob, BoxedOutput};
#[cfg(feature = "alloc")]
pub use crate::job::task_job::{JobOfTasks, TaskJob, TaskOutput};
pub use combine::{Either, Join, Race, Select, TryJoin, join, race, select, try_join};
pub use conn::copy::{copy, copy_bidirectional};
pub use conn::{Conn, Ready, Recv, SendAll};
pub use conn_task::ConnTask;
pub use endpoint::{Endpoint, EndpointText, ToEndpoint};
pub use error::{Error, JobError, JoinError, JoinErrorKind, SpawnError, TrySpawnError, WaitError};
#[cfg(feature = "alloc")]
pub use halves::{RecvHalf, ReuniteError, SendHalf};
pub use handle::{Handle, Shield, YieldNow};
pub use host::AsyncHost;
pub use join::JoinHandle;
#[cfg(feature = "alloc")]
pub use join_all::{JoinAll, TryJoinAll, join_all, try_join_all};
pub use kept::Kept;
pub use listener::Listener;
pub use local::{Scoped, TaskLocal};
pub use offload::JobFuture;
#[cfg(feature = "alloc")]
pub use pool::GrowingPlaces;
pub use pool::{FixedPlaces, Places, Pool, Put};
pub use reader::{BufReader, ByteSource, Lines};
pub use report::{Reports, UnjoinedFailure};
#[cfg(feature = "alloc")]
pub use resolver::Resolver;
pub use round_robin::{RoundRobin, WakeFlag};
pub use run_context::RunContext;
#[cfg(feature = "alloc")]
pub use service::AsyncService;
pub use signals::{Bell, Signal, Signals};
pub use slot::Slot;
pub use start::Async;
pub use wakers::{NoWakers, Wakers};
