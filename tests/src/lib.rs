//! The common parts of the end-to-end tests: the real `sinbin` command as a child process ([`Running`], [`Server`]),
//! clients that a test drives ([`Client`]), the [`dialogue`]s that every [`host`] must pass, thousands of concurrent
//! clients (`load`), a page in a [`Browser`], and measurements of a process ([`machine`]).
//!
//! All waiting is for a condition, and for [`PATIENCE`] at most. No test depends on the speed of the machine. Errors
//! are panics, because this package is only for tests.

#![cfg(unix)]

mod blocked;
#[cfg(doctest)]
mod book;
mod chatter;
mod children;
mod chromium;
mod client;
mod command;
pub mod dialogue;
mod directory;
mod example;
mod firmware;
mod foreign;
mod guest;
pub mod host;
#[cfg(target_os = "linux")]
pub mod load;
pub mod machine;
mod mute;
mod reserved;
mod server;
mod tail;
mod wait;

pub use blocked::with_signals_blocked;
pub use chatter::Chatter;
pub use children::end_on_signal;
pub use chromium::{Browser, lacks_chromium};
pub use client::{Client, connect, exchange, fib, noise, replies};
pub use command::{Ended, Running, run, sinbin, sinbin_wasi, target_dir};
pub use directory::Directory;
pub use example::{example, wasi_example};
pub use firmware::{firmware, firmware_on};
pub use foreign::{foreign, foreign_lacks};
pub use guest::{guest, guests};
pub use mute::{Mute, by_shell, stderr_is_heard};
pub use reserved::ReservedPort;
pub use server::Server;
pub use wait::{PATIENCE, eventually, in_time, with_longer_spans};
