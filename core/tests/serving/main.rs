//! Tasks as state machines on a host of wires: the acceptor, the shipped services, and the operations of a task.
//!
//! | file | subject |
//! | --- | --- |
//! | `accepting.rs` | listeners that fail, stop, or have no capacity |
//! | `answering.rs` | the echo, upper and fib services: failing hosts, and other conditions that need such a host |
//! | `asking.rs` | optional methods of hosts and tasks, and the operations of a step |
//!
//! The simulator tests the services from the side of clients. These tests repeat only the part of it that covers every
//! line of the core.

mod accepting;
mod answering;
mod asking;
mod wires;
