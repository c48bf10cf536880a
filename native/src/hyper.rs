//! I/O, timers and an executor for `hyper` (with the feature `hyper`), and a server that drains.
//!
//! [`Io`] makes a connection, with or without TLS, one of hyper's. A [`Server`] serves HTTP/1.1 and HTTP/2 on
//! connections:
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use hyper::body::Incoming;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response};
//!
//! async fn hello(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
//!     Ok(Response::new("hello\n".into()))
//! }
//!
//! sinbin::serve("127.0.0.1:8080", async |conn| {
//!     sinbin::hyper::Server::new(conn.handle()).serve(conn, service_fn(hello)).await
//! })?;
//! # Ok::<(), sinbin::Error>(())
//! ```
//!
//! The client of hyper runs on an [`Io`] as well. What hyper demands to be `'static`, a connection is not: the client for
//! HTTP/2, and upgrades. [`detach`] takes a connection apart for these.
//!
//! Services of `tower` run in `hyper_util::service::TowerToHyperService`, which needs no runtime.

mod detached;
mod error;
mod executor;
mod io;
mod server;
mod timer;

pub use detached::{DetachedIo, detach};
pub use error::HttpError;
pub use executor::Executor;
pub use io::Io;
pub use server::Server;
pub use timer::{Sleep, Timer};
