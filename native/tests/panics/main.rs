//! Tests that plant a panic at each place where a host calls user code. One task is lost and reported by name; all
//! others are served. Add each new such place to the table of its kind.
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
