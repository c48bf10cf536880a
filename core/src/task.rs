//! Tasks that are `async fn`s: a service reads like blocking code, and runs on the same kernel as the state
//! machines.
//!
//! ```
//! use sinbin_core::task::{Conn, Error};
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
//! Natively, `sinbin::serve` runs it for each connection, and `sinbin::run` runs a program of tasks. On any other host,
//! a [`Pool`] gives the futures their places, and an [`Executor`](crate::Executor) runs them whose host is an
//! [`AsyncHost`].
//!
//! # How it works
//!
//! [`Async`] is a [`Task`](crate::Task) like any other. Each of its steps opens a [`RunContext`] to the kernel and the
//! host, and polls the future. A future tries its operation through the door; where that would block, it leaves
//! there what it waits for, and is pending. What all futures of the task have left is the wait that the kernel
//! gets, so a task can wait for the first of several things. What a dropped future has left is gone with the
//! next step. Tasks and futures reach the door through a [`Handle`], a connection or a listener: that is their
//! capability. A task can do nothing that it was given no handle for.
//!
//! After 32 operations in one step a task yields, however much there is for it to do. A task can wait for
//! [four](crate::MAX_WAITS) sources and jobs at once, and for any number of locks, channels and moments beside. What is
//! in a variable across an `await` is part of the task, a buffer too: [`Conn::recv_with`] waits without one.
//!
//! # Cancellation
//!
//! [`JoinHandle::cancel`] takes the task out of the bin. Its next operation fails with [`WaitError::Cancelled`], also one
//! that need not wait; after that every one fails that would have to wait, so that `?` takes the task to its end, and
//! what it owns is dropped on the way. A wait that is needed to clean up is [shielded](Handle::shield). A task that waits
//! for what can't fail (a sleep, a yield, a future of another crate), or that does not listen, is dropped where it
//! stands. [The page on cancellation](cancellation) has all of the rules, and compares them with trio's.
//!
//! # Futures of other crates
//!
//! Futures of other crates work: their waker wakes the task, from any thread, by way of the host's [`Wakers`]. In an
//! executor within a task (`FuturesUnordered`, for one), futures of other crates work, and sleeps and timeouts. An
//! operation that would have to wait there for a source, a job or another task fails with [`WaitError::Wrapped`], as the
//! kernel wakes tasks and not parts of them.

pub(crate) mod alarm;
mod alarms;
#[doc = include_str!("task/cancellation.md")]
pub mod cancellation {}
mod combine;
pub(crate) mod conn;
pub(crate) mod conn_task;
mod deferred;
#[cfg(feature = "alloc")]
mod detached;
#[cfg(feature = "embedded-io-async")]
mod embedded;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod host;
pub(crate) mod join;
mod kept;
mod listener;
mod named;
mod offload;
pub(crate) mod pool;
pub(crate) mod report;
mod run;
pub(crate) mod run_context;
#[cfg(feature = "alloc")]
pub(crate) mod service;
mod signals;
pub(crate) mod slot;
pub(crate) mod start;
mod task_ref;
pub(crate) mod wakers;

pub use crate::exec::label::Label;
pub use crate::job::call::IntoJob;
pub use crate::job::erased::ErasedJob;
#[cfg(feature = "alloc")]
pub use crate::job::erased::{BoxedJob, BoxedOutput};
pub use combine::{Either, Join, Race, Select, join, race, select};
pub use conn::{Conn, Ready, Recv, SendAll};
pub use conn_task::ConnTask;
pub use error::{Error, JobError, JoinError, JoinErrorKind, SpawnError, WaitError};
pub use handle::{Handle, Shield, YieldNow};
pub use host::AsyncHost;
pub use join::JoinHandle;
pub use kept::Kept;
pub use listener::Listener;
pub use offload::JobFuture;
#[cfg(feature = "alloc")]
pub use pool::GrowingPlaces;
pub use pool::{FixedPlaces, Places, Pool, Put};
pub use report::{Reports, UnjoinedFailure};
pub use run_context::RunContext;
#[cfg(feature = "alloc")]
pub use service::AsyncService;
pub use signals::{Bell, Signal, Signals};
pub use slot::Slot;
pub use start::Async;
pub use wakers::{NoWakers, Wakers};
