//! The core of sinbin: a scheduler, its wait tables, and protocols as pure state machines.
//!
//! The core has no sockets, no clock and no heap. A *host* does the I/O and tells the core three things: which sources
//! are ready, which jobs are done, and what time it is. Every host runs this loop:
//!
//! ```text
//! loop {
//!     kernel.advance(host.now());
//!     while let Some(id) = kernel.next() {           // the oldest ready task first
//!         let step = tasks.resume(id, &mut host);    // runs the task to its next wait
//!         kernel.park(id, step);                     // to the wait tables, the run queue, or removed
//!     }
//!     match kernel.rest() {                          // what to do until the next turn
//!         Rest::Empty => break,
//!         Rest::Stalled => ...,                      // all tasks wait, and nothing can wake them
//!         rest => host.wait(rest, |source, readiness| kernel.ready(source, readiness)),
//!     }
//! }
//! ```
//!
//! # Promises
//!
//! 1. Each task is in exactly one state: ready (in the run queue), waiting (in the wait tables), or gone (its slot is
//!    free).
//! 2. Each wake-up makes its task run exactly once: none is lost, and none is delivered twice.
//! 3. The run queue is first in, first out: between two steps of one task, every other ready task runs one step.
//! 4. Runs are deterministic: identical inputs produce identical runs, byte for byte.
//! 5. An id of a task, source or job that no longer exists has no effect, and never refers to the next user of its
//!    slot.
//! 6. Closing a source wakes every task that waits for it, and cancelling a task removes it from the wait tables at
//!    once.
//! 7. Capacity is fixed when the kernel is created, and exceeding it returns an error, never a panic.
//! 8. If all tasks wait and nothing can wake them, the kernel reports [`Rest::Stalled`] and does not hang.
//! 9. The cost of an event does not depend on the number of waiting tasks; the cost of a timer grows at most with its
//!    logarithm.
//! 10. A deadline expires only after a poll of all sources that began after it, so an event that precedes the deadline
//!     is always seen first, and the host never sleeps past a deadline ([`Kernel::advance`] explains how).
//!
//! # Where to look
//!
//! The modules form a ladder. Read them in this order; no module imports from a later one:
//!
//! | rung | content |
//! | --- | --- |
//! | [`kernel`] | the scheduler. Start with `kernel.rs`, then read `wait_tables.rs`, `queue.rs` and `timers.rs` |
//! | [`job`] | computations that run in slices, and how a job moves to the host |
//! | [`exec`] | the kernel together with its tasks, and the tasks' view of their host |
//! | [`task`] | tasks that are `async fn`s |
//! | [`time`] | sleeping, timeouts and intervals |
//! | [`sync`] | locks, channels and other waits for other tasks |
//! | [`group`] | tasks that end together |
//! | `net` | connecting to addresses, names and paths |
//! | [`serve`] | the serving loop: accepts connections, runs their tasks, and closes them |
//! | [`fib`], [`fib_protocol`], [`fib_service`], [`echo`] | the shipped services, as pure state machines |
//! | `driven` | the tasks' half of a loop whose I/O another program does |
//!
//! This page lists the names that most programs use; each has its documentation in its module. Who writes
//!
//! * a service as `async fn`s, reads [`task`], [`time`], [`sync`] and [`group`];
//! * a service as state machines, reads [`exec`]: [`Service`], [`Task`] and [`Cx`], which returns [`Step`]s and [`Wait`]s;
//! * a host, reads [`serve`], the loop that accepts and serves connections over a platform that you implement, or
//!   [`kernel`] and [`Executor`] for a loop of its own, or `driven` for a loop whose I/O is done elsewhere. `driven`
//!   needs a heap (feature `alloc`).
//!
//! # A complete loop
//!
//! Three tasks count down in turn, as in David Beazley's talk:
//!
//! ```
//! use sinbin_core::{Fixed, Instant, Kernel, Rest, Step};
//!
//! let mut kernel = Kernel::new(&Fixed::<3>);
//! let mut count = [5, 8, 3];
//! for _ in 0..3 {
//!     kernel.spawn().unwrap();
//! }
//! let mut output = Vec::new();
//! while kernel.rest() == Rest::Ready {
//!     kernel.advance(Instant::ZERO);
//!     while let Some(task) = kernel.next() {
//!         let n = &mut count[task.index()];
//!         output.push(*n);
//!         *n -= 1;
//!         kernel.park(task, if *n == 0 { Step::Done } else { Step::Yield });
//!     }
//! }
//! assert_eq!(kernel.rest(), Rest::Empty);
//! assert_eq!(output, [5, 8, 3, 4, 7, 2, 3, 6, 1, 2, 5, 1, 4, 3, 2, 1]);
//! ```

#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "alloc")]
pub mod driven;
pub mod exec;
pub mod group;
pub mod job;
pub mod kernel;
pub mod net;
mod protocols;
pub mod serve;
pub mod sync;
pub mod task;
pub mod time;

pub use kernel::observe;
pub use protocols::{echo, fib, fib_protocol, fib_service};
#[cfg(feature = "alloc")]
pub use serve::peers;

// The names that a service needs.
#[doc(no_inline)]
pub use exec::{Buffers, Cx, Executor, Host, Serves, Service, Task};
#[doc(no_inline)]
pub use job::{Job, NoJob, Progress};
#[doc(no_inline)]
pub use kernel::{Instant, Interest, IoError, Kernel, Readiness, Rest, Step, Wait, WaitTarget, WakeReason};
// The ids and the sizes of tables.
#[doc(no_inline)]
pub use kernel::{Fixed, Full, JobId, SourceId, TaskId};
#[cfg(feature = "alloc")]
#[doc(no_inline)]
pub use kernel::{Growing, Limits};
