//! The core of sinbin: a scheduler, its wait tables, and protocols as pure state machines.
//!
//! It has no socket, no clock and no heap. A *host* does the I/O and tells it three things: what is ready,
//! which job is done, and what time it is. Every host is this loop:
//!
//! ```text
//! loop {
//!     kernel.advance(host.now());
//!     while let Some(id) = kernel.next() {           // oldest ready task first
//!         let step = tasks.resume(id, &mut host);    // runs to its next wait
//!         kernel.park(id, step);                     // into the bin, back in the queue, or gone
//!     }
//!     match kernel.rest() {                          // what there is to do until the next turn
//!         Rest::Empty => break,
//!         Rest::Stalled => ...,                      // all wait, and nothing can wake them
//!         rest => host.wait(rest, |source, readiness| kernel.ready(source, readiness)),
//!     }
//! }
//! ```
//!
//! # What it promises
//!
//! 1. A task is in exactly one place: the run queue, the wait tables, or gone.
//! 2. No wake-up is lost, and none is doubled.
//! 3. First in, first out: between two turns of one task, every other ready task has had one.
//! 4. The same inputs give the same run, to the byte.
//! 5. An id of something that is gone does nothing; it never names its successor.
//! 6. Closing a source wakes whatever waits for it. Cancelling a task takes it out of the wait tables at once.
//! 7. Capacity is fixed when the kernel is made. Running out is a value, never a panic.
//! 8. "All tasks wait, and nothing can wake them" is an answer, and not a hang.
//! 9. The cost of an event does not depend on how many tasks wait; that of a timer grows with their logarithm at most.
//! 10. Time does not move past a deadline before the sources have been looked at since that moment. However long a step,
//!     a turn or a wait took, and whatever ended it: what came before a deadline is seen before it, and a deadline that
//!     has passed is never waited for. [`Kernel::advance`] says how.
//!
//! # Where to look
//!
//! The files are a ladder, to be climbed in this order; none imports from a rung above its own:
//!
//! | rung | what is there |
//! | --- | --- |
//! | `kernel` | who runs next and who waits for what. Read `kernel.rs`, then `wait.rs`, `queue.rs` and `timers.rs`; this is the whole idea |
//! | `job` | what is computed in slices, and how it travels |
//! | `exec` | the kernel together with its tasks, and what these see of their host |
//! | `task` | tasks that are `async fn`s |
//! | `time` | waiting for a moment |
//! | `sync` | waiting for each other |
//! | `group` | tasks that end together |
//! | `serve` | the loop that serves: taking connections in, running their tasks, letting them go |
//! | `protocols` | the shipped services, as pure state machines |
//! | `driven` | the tasks' half of a loop whose I/O somebody else does |
//!
//! Programs use these:
//!
//! * [`Kernel`]: who runs next and who waits for what.
//! * [`Task`], [`Step`], [`Wait`]: what a task says. [`Host`]: what a host gives it.
//! * [`Executor`]: the kernel together with its tasks; the inner half of the loop above.
//! * [`task`]: tasks that are `async fn`s, on the same kernel. [`time`], [`sync`] and [`group`]: what they wait for
//!   beside sources and jobs.
//! * [`fib_service`], [`echo`]: the shipped services.
//!
//! Hosts are made of these:
//!
//! * [`serve`]: the loop that takes and serves connections, written once, over a platform of yours.
//! * `driven`: the tasks' half of a loop whose I/O is done elsewhere. Both take a heap, the feature `alloc`.
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
