//! Tasks as state machines on a host of wires: the acceptor, the shipped services, and what a task can ask for.
//!
//! | file | what |
//! | --- | --- |
//! | `accepting.rs` | listeners that fail, stop, or have no room |
//! | `answering.rs` | the echo, upper and fib services: hosts that fail, and what else only a test's own host can do |
//! | `asking.rs` | what a host and a task may leave out, and what a step may ask for |
//!
//! What clients see of the services is the simulator's to tell, in its stories. Of that, only so much is here again as
//! the core's own tests need to run every line of the core.

mod accepting;
mod answering;
mod asking;
mod wires;
