//! Runs services of sinbin in a wasm sandbox.
//!
//! A guest is a component that exports `sinbin:service/guest` and imports no functions (see `wit/service.wit`). The
//! host does all I/O, with the driver of [`sinbin`]: one loop on one thread. In each turn the host passes the events
//! and the received bytes to the guest, and executes the commands that the guest returns. A guest has no socket, no
//! file, no clock, and access to no memory but its own. The host replaces a guest that fails, while its listeners stay
//! open.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use sinbin_wasi::{Artefact, GuestFactory, GuestServer, GuestSettings, Loader, engine};
//!
//! let engine = engine()?;
//! let Artefact::Driven(component) = Loader::new(&engine).load(Path::new("target/wasi/fib.wasm"))? else {
//!     panic!("it is no service");
//! };
//! let factory = GuestFactory::new(&component, 64 << 20, Some(Duration::from_secs(1)))?;
//! let mut server = GuestServer::new(factory, &GuestSettings::default())?;
//! println!("listening on {}", server.listen("127.0.0.1:25000".parse()?)?);
//! server.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod artefact;
mod cache;
pub mod compiler;
pub mod contract;
mod convert;
mod engine;
mod error;
mod guest;
mod instance;
mod interrupt;
mod jobs;
mod names;
mod panic;
pub mod portable;
mod precompiled;
mod program;
mod tables;
mod threads;
mod world;

pub use artefact::{Artefact, Loader, MAX_SIZE};
pub use cache::Cache;
pub use compiler::Compiler;
pub use engine::engine;
pub use error::Error;
pub use instance::{GuestFactory, Instance, State};
pub use interrupt::Ticker;
pub use names::Names;
pub use program::is_program;
pub use sinbin::guests::{GuestSettings, GuestSummary, ProgramEnd};
pub use world::{Kind, World};

/// A server that runs a guest: one loop on one thread, and worker threads for its jobs.
pub type GuestServer = sinbin::guests::GuestServer<GuestFactory>;
