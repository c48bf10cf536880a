//! sinbin on epoll and kqueue: a server that runs a service of [`sinbin_core`] on real sockets.
//!
//! [`Server`] is the host: one loop on one thread, and workers for jobs. A service is anything that
//! implements [`Service`]; [`fib_service`] and [`echo`] are shipped.

#![deny(unsafe_code)]

mod async_service;
mod compute;
mod error;
mod host;
mod inbox;
mod limits;
mod linger;
mod pool;
mod priority;
mod reactor;
mod run;
mod server;
pub mod services;
mod sockets;
mod transfer;

pub use async_service::AsyncService;
pub use error::Error;
pub use host::{Counts, Native, NativeService, NativeTask, SendJob};
pub use run::{Listen, bind, run, serve};
pub use server::{Server, Settings, Stopper, Summary};
pub use sinbin_core::*;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
