//! sinbin on epoll and kqueue: a server that runs a [`Service`] on real sockets.
//!
//! A service is an `async fn` that is called for each connection:
//!
//! ```no_run
//! use sinbin::task::{Conn, Error};
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
//!
//! sinbin::serve("127.0.0.1:25000", echo)?;
//! # Ok::<(), sinbin::Error>(())
//! ```
//!
//! [`run`] runs a program of tasks; see [`task`]. Below that layer is [`Server`], the host: one loop on one thread,
//! with worker threads for jobs. It runs any type that implements [`Service`], including state machines.
//! [`fib_service`] and [`echo`](mod@echo) are provided as state machines, and as `async fn`s in [`services`]. The
//! [`guide`] leads from callbacks through state machines to coroutines, and states the cost of each.
//!
//! The crate `sinbin-core`, the part without I/O, is re-exported with the same paths: `sinbin::sync::Lock` is
//! `sinbin_core::sync::Lock`. A program depends only on `sinbin`.

#![deny(unsafe_code)]
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod async_host;
mod bound;
#[cfg(any(feature = "hyper", feature = "tls"))]
mod byte_stream;
mod caught;
mod clock;
mod compute;
mod error;
pub mod files;
pub mod fs;
pub mod guests;
pub mod guide;
mod host;
#[cfg(feature = "hyper")]
pub mod hyper;
mod inbox;
#[cfg(unix)]
pub mod io;
mod memory;
mod names;
pub mod net;
pub mod observe;
mod peer_limit;
mod platform;
mod pool;
mod priority;
#[cfg(all(unix, not(target_os = "openbsd")))]
pub mod process;
mod reactor;
#[cfg(unix)]
pub mod readiness;
mod run;
mod server;
pub mod services;
#[cfg(all(unix, feature = "signal"))]
pub mod signal;
mod socket_io;
mod sockets;
mod task_failures;
mod task_spans;
#[cfg(feature = "tls")]
pub mod tls;
mod watched;
mod workers;

pub use bound::{BoundListener, Listen, Place, bind};
#[cfg(any(feature = "hyper", feature = "tls"))]
pub use byte_stream::ByteStream;
pub use error::{Error, MainError};
pub use host::{Native, NativeService, NativeTask, SendJob, Tally};
pub use run::{run, serve};
pub use server::{Server, Settings, Stopper, Summary};
pub use sinbin_core::*;

/// Runs the example of the README as a doctest. Those of the pages in docs are doctests of `sinbin-tests`.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
