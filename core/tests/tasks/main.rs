//! Tasks as `async fn`s: each of their guarantees, tested separately.
//!
//! | file | subject |
//! | --- | --- |
//! | `running.rs` | the order of tasks, and the limits of a step |
//! | `joining.rs` | handles: the end of a task, and its result |
//! | `cancelling.rs` | how a task learns of its cancellation, and what happens if it ignores it |
//! | `sharing.rs` | how the futures of one task share its steps |
//! | `waiting.rs` | waits for several events at once, and the kernel's view of them |
//! | `timing.rs` | sleeps, timeouts, intervals |
//! | `borders.rs` | other loops, and executors within a task |
//! | `parts.rs` | waits within executors of tasks, beside waits of the tasks themselves |
//! | `waking.rs` | wakes from other threads, and by the task itself |
//! | `hosting.rs` | requests of a task to its host: listening, connecting, jobs |
//! | `naming.rs` | names: resolving them, and connecting to the fastest of their addresses |
//! | `connecting.rs` | connections in the middle of receiving and sending |
//! | `operating.rs` | operations of a task on the object that the host has for a connection |
//! | `polling.rs` | connections that are polled directly |
//! | `halves.rs` | connections whose directions have different owners |
//! | `reading.rs` | lines, and readers with a buffer |
//! | `combining.rs` | waiting for any number of futures, and values of a task |
//! | `copying.rs` | copying between connections |
//! | `futures_io.rs` | connections as byte streams of `futures-io` |
//! | `serving.rs` | serving a listener from within a program, and stopping the loop |
//! | `offering.rs` | hosts with few features, which return an error to a task that asks for more |
//! | `streams.rs` | connections as byte streams of `embedded-io-async` |
//! | `grouping.rs` | tasks that end together |
//! | `collecting.rs` | sets of tasks whose results are collected one by one |
//! | `pooling.rs` | pools of futures, and groups whose tasks come from a pool |
//! | `nesting.rs` | loops within tasks of the same loop, wherever the user's code is called |
//! | `programs.rs`, `oracle.rs` | random programs of scopes, timeouts, shields and cancels, and an oracle |
//! | `panicking.rs` | tasks that panic, on a host that catches panics |
//! | `wrapping.rs` | tasks that a host wraps in its own task type |

mod borders;
mod cancelling;
mod collecting;
mod combining;
mod connecting;
mod copying;
mod futures_io;
mod grouping;
mod halves;
mod hosting;
mod joining;
mod keeping;
mod naming;
mod nesting;
mod offering;
mod operating;
mod oracle;
mod panicking;
mod parts;
mod polling;
mod pooling;
mod programs;
mod reading;
mod running;
mod serving;
mod sharing;
mod streams;
mod timing;
mod waiting;
mod waking;
mod wrapping;
