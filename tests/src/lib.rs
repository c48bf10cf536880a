//! What the end-to-end tests have in common: the real `sinbin` command as a child process ([`Running`],
//! [`Server`]), clients that say what a test tells them to ([`Client`]), the [`dialogue`]s that every
//! [`host`] must hold, clients by the thousands (`load`), and a look at what a process costs ([`machine`]).
//!
//! Whatever waits here waits for a condition, for [`PATIENCE`] at the most; no test depends on how fast the
//! machine is. What goes wrong is a panic: this is for tests alone.

#![cfg(unix)]

mod blocked;
mod children;
mod client;
mod command;
pub mod dialogue;
mod example;
mod foreign;
mod guest;
pub mod host;
#[cfg(target_os = "linux")]
pub mod load;
pub mod machine;
mod mute;
mod server;
mod tail;
mod wait;

pub use blocked::with_signals_blocked;
pub use children::end_on_signal;
pub use client::{Client, connect, exchange, fib, noise, replies};
pub use command::{Ended, Running, run, sinbin, sinbin_wasi, target_dir};
pub use example::{example, wasi_example};
pub use foreign::{foreign, foreign_lacks};
pub use guest::{guest, guests};
pub use mute::{Mute, by_shell, stderr_is_heard};
pub use server::Server;
pub use wait::{PATIENCE, eventually};
