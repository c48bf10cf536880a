//! A panic is planted wherever a host calls the user's code: one task is lost and reported by name, and all others are
//! served. Whoever adds such a place adds it to the table of its kind.
//!
//! | file | what |
//! | --- | --- |
//! | `machines.rs` | services that are state machines: on the native loop, and driven in this process |
//! | `futures.rs` | services that are `async fn`s |
//! | `programs.rs` | what is left at the end of a program |
//! | `driver.rs` | callbacks of the driver |

mod driver;
mod futures;
mod machines;
mod programs;
mod scene;
