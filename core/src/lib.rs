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
//! | `kernel` | the scheduler. Start with `kernel.rs`, then read `wait_tables.rs`, `queue.rs` and `timers.rs` |
//! | `job` | computations that run in slices, and how a job moves to the host |
//! | `exec` | the kernel together with its tasks, and the tasks' view of their host |
//! | `task` | tasks that are `async fn`s |
//! | `time` | sleeping, timeouts and intervals |
//! | `sync` | locks, channels and other waits for other tasks |
//! | `group` | tasks that end together |
//! | `serve` | the serving loop: accepts connections, runs their tasks, and closes them |
//! | `protocols` | the shipped services, as pure state machines |
//! | `driven` | the tasks' half of a loop whose I/O another program does |
//!
//! Programs use these:
//!
//! * [`Kernel`]: decides which task runs next and records what each task waits for.
//! * [`Task`], [`Step`], [`Wait`]: the interface of a task. [`Host`]: the interface of a host.
//! * [`Executor`]: the kernel together with its tasks; the inner half of the loop above.
//! * [`task`]: tasks that are `async fn`s, on the same kernel. [`time`], [`sync`] and [`group`]: waits for other things
//!   than sources and jobs.
//! * [`fib_service`], [`echo`]: the shipped services.
//!
//! Hosts are built from these:
//!
//! * [`serve`]: the loop that accepts and serves connections, written once, over a platform that you implement.
//! * `driven`: the tasks' half of a loop whose I/O is done elsewhere. Both modules need a heap (feature `alloc`).
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
mod exec;
pub mod group;
mod job;
mod kernel;
mod protocols;
pub mod serve;
pub mod sync;
pub mod task;
pub mod time;

pub use exec::buffers::{BufferedBytes, Buffers};
pub use exec::context::{Cx, MAX_SPAWNS, Task};
pub use exec::executor::Executor;
pub use exec::host::{Host, Jobs, Serves, Service};
pub use job::slicer::Slicer;
pub use job::{Job, NoJob, Progress, WireJob};
pub use kernel::audit::{Broken, TaskView};
pub use kernel::error::{Failure, Full, IoError, Op};
pub use kernel::id::{Id, JobId, SourceId, TaskId};
#[cfg(feature = "alloc")]
pub use kernel::id_map::IdMap;
pub use kernel::instant::Instant;
pub use kernel::interest::{Interest, Readiness};
pub use kernel::observe;
pub use kernel::step::{ExpectedWaker, MAX_WAITS, Step, Wait, WaitTarget, WakeReason};
pub use kernel::storage::{Fixed, Slots, Storage};
#[cfg(feature = "alloc")]
pub use kernel::storage::{Growing, Limits};
pub use kernel::task_slot::TaskState;
pub use kernel::{Kernel, Rest};
pub use protocols::{echo, fib, fib_protocol, fib_service};
pub use serve::acceptor::Acceptor;
pub use serve::linger::Linger;
#[cfg(feature = "alloc")]
pub use serve::peers;
