//! What an enemy would do: to a server, by its port.
//!
//! * `slow.rs`: clients that take their time.

#![cfg(unix)]

mod slow;
