//! Tasks that are `async fn`s: what they can rely on, one thing at a time.
//!
//! | file | what |
//! | --- | --- |
//! | `running.rs` | whose turn it is, and what a step may do |
//! | `joining.rs` | handles: the end of a task, and its result |
//! | `cancelling.rs` | how a task is told, and what becomes of one that does not listen |
//! | `sharing.rs` | what the futures of one task have of its steps |
//! | `waiting.rs` | several things at once, and what the kernel knows of it |
//! | `timing.rs` | sleeps, timeouts, intervals |
//! | `borders.rs` | other loops, and executors within a task |
//! | `waking.rs` | wakes from other threads, and by the task itself |
//! | `hosting.rs` | what a task asks its host for: listening, connecting, jobs |
//! | `connecting.rs` | connections in the middle of receiving and sending |
//! | `offering.rs` | hosts that offer little: an error to the task that asks for more |
//! | `streams.rs` | connections as byte streams of `embedded-io-async` |
//! | `grouping.rs` | tasks that end together |
//! | `collecting.rs` | sets of tasks whose results are collected one by one |
//! | `pooling.rs` | places for futures, which end somewhere, and groups whose tasks come out of them |
//! | `nesting.rs` | loops within tasks of the same loop, wherever the user's code is called |
//! | `programs.rs`, `oracle.rs` | random programs of scopes, timeouts, shields and cancels, and what must hold of them |
//! | `panicking.rs` | tasks that panic, where the host catches that |
//! | `wrapping.rs` | tasks within tasks of a host's own |

#[path = "../cases/mod.rs"]
mod cases;
#[path = "../count/mod.rs"]
mod count;
#[macro_use]
#[path = "../no_io/mod.rs"]
mod no_io;
#[path = "../support/mod.rs"]
mod support;

mod borders;
mod cancelling;
mod collecting;
mod connecting;
mod grouping;
mod hosting;
mod joining;
mod keeping;
mod nesting;
mod offering;
mod oracle;
mod panicking;
mod pooling;
mod programs;
mod running;
mod sharing;
mod streams;
mod timing;
mod waiting;
mod waking;
mod wrapping;
