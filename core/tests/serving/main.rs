//! Tasks as state machines on a host of wires: the acceptor, the shipped services, and what a task can ask for.
//!
//! | file | what |
//! | --- | --- |
//! | `accepting.rs` | listeners that fail, stop, or have no room |
//! | `answering.rs` | the echo, upper and fib services, one thing at a time |
//! | `asking.rs` | what a host and a task may leave out, and what a step may ask for |

mod accepting;
mod answering;
mod asking;
mod wires;
