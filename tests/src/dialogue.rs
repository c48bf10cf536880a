//! Scripted conversations in which every host must answer alike: the files of `tests/dialogues`, and the code that
//! plays them.
//!
//! A [`Dialogue`] is plain data. [`Play`] plays it over any [`Network`]. [`Play`] receives the time from its caller and
//! uses neither sockets nor clocks, so a simulator can play the same script. [`converse`] plays it over real sockets
//! and clocks. A [`Host`] makes a [`Stage`] for a service and its options ([`Simulated`] plays in virtual time), and
//! [`hold_all`] plays all dialogues with all hosts.

mod actor;
mod bytes;
mod check;
mod encrypted;
mod error;
mod file;
mod play;
mod rehearsal;
mod run;
mod script;
mod simulated;
mod stage;
mod suite;
mod table;
mod words;

pub use encrypted::converse_encrypted;
pub use error::Wrong;
pub use file::{parse, read_all};
pub use play::{Network, Play, Wants, Wire};
pub use run::{Listening, converse};
pub use script::{Client, Dialogue, Need, Options, Piece, Service, Step};
pub use simulated::Simulated;
pub use stage::{Failure, Heard, Host, Outcome, Stage};
pub use suite::{Results, Verdict, hold_all};
pub use table::Table;
