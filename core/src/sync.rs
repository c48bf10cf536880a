//! Synchronization between the tasks of one loop.
//!
//! | for | use |
//! | --- | --- |
//! | a value that one task has at a time | [`Lock`] |
//! | the same, for functions that call each other and each take the value | [`ReentrantLock`] |
//! | several such values, without deadlocks | [`order`] |
//! | a value that many tasks read, and one changes at a time | [`RwLock`] |
//! | waiting until a value satisfies a condition | [`Condition`] |
//! | passing values from task to task | [`Channel`] |
//! | passing a single value, such as a reply | [`Oneshot`] |
//! | passing each value to several tasks | [`Broadcast`] |
//! | following the latest state of a value | [`Watch`] |
//! | signalling an event, once or repeatedly | [`Event`] |
//! | a limit on concurrent tasks | [`Semaphore`] |
//! | a point that several tasks pass together | [`Barrier`] |
//!
//! Most programs need none of these types. Only one task runs at a time, and another one runs only when this one
//! awaits: between two awaits a `Cell` is sufficient. These types are for exclusion and order that have to last across
//! awaits.
//!
//! ```
//! # use sinbin_core::sync::{Channel, Semaphore};
//! # use std::marker::PhantomData;
//! # use std::pin::pin;
//! # use sinbin_core::task::{Async, AsyncHost, RunContext, Handle, NoWakers, Pool};
//! # use sinbin_core::{Executor, Fixed, Host, Instant, IoError, Rest, SourceId};
//! # struct Idle<'d>(PhantomData<Async<'d>>);
//! # impl<'d> Host for Idle<'d> {
//! #     type Storage = Fixed<8, 0, 0>;
//! #     type Task = Async<'d>;
//! #     fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> { Err(IoError::Unsupported) }
//! #     fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> { Err(IoError::Unsupported) }
//! #     fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> { Err(IoError::Unsupported) }
//! #     fn close(&mut self, _: SourceId) {}
//! #     fn serve(&mut self, _: SourceId, _: SourceId) -> Async<'d> { unreachable!() }
//! # }
//! # impl<'d> AsyncHost<'d> for Idle<'d> {}
//! # let run_context = RunContext::new(&NoWakers);
//! # let handle = Handle::new(&run_context);
//!
//! let pages = Channel::<_, 4>::new(handle); // fetchers wait while four pages are queued
//! let slots = Semaphore::new(handle, 2); // at most two fetches at a time
//!
//! let fetch = async |page: u32| {
//!     let _slot = slots.acquire(1).await.unwrap();
//!     handle.yield_now().await; // ...
//!     pages.send(page * page).await.unwrap();
//! };
//! let sum = async || {
//!     let mut sum = 0;
//!     for _ in 1..=5 {
//!         sum += pages.recv().await.unwrap();
//!     }
//!     assert_eq!(sum, 55);
//! };
//! # let (fetchers, sums) = (pin!(Pool::<_, _>::fixed::<5>()), pin!(Pool::<_, _>::fixed::<1>()));
//! # let (fetchers, sums) = (fetchers.as_ref(), sums.as_ref());
//! # let mut executor = Executor::<Idle<'_>>::new(&Fixed);
//! # for page in 1..=5 {
//! #     executor.spawn(fetchers.put(handle, fetch(page)).unwrap().0.erase()).ok().unwrap();
//! # }
//! # executor.spawn(sums.put(handle, sum()).unwrap().0.erase()).ok().unwrap();
//! # while executor.kernel.rest() == Rest::Ready {
//! #     executor.turn(Instant::ZERO, &mut Idle(PhantomData));
//! # }
//! # assert_eq!(executor.kernel.rest(), Rest::Empty);
//! ```
//!
//! # Common guarantees
//!
//! * **Fairness.** Waiting tasks are served in the order in which they arrived. A later task never overtakes an earlier
//!   one.
//! * **No leaks.** A future that is dropped while it waits (by [`select`](crate::task::select), a timeout, or because
//!   its task is ended) leaves its queue. If it had been granted its turn, the turn passes to the next task.
//! * **Cancellation.** A cancelled task is refused at its next operation, whatever that is, and after that whenever it
//!   would have to wait. A value that it was about to send is returned.
//! * **No memory.** A queue is linked through the futures that wait in it: it needs no heap, and has no limit.
//! * **Visible waits.** [`Kernel::tasks`](crate::Kernel::tasks) shows which task waits for which, as far as that is
//!   known. If nothing can ever wake the waiting tasks, the kernel reports [`Stalled`](crate::Rest::Stalled).
//! * **One loop.** Outside the loop's tasks every operation that waits, or that wakes tasks, fails with
//!   [`WaitError::Elsewhere`](crate::task::WaitError) and has no effect. (A value that is released there by a drop, such as
//!   a [`Guard`], wakes no task.) Between threads use a channel of another crate; its wakers work in tasks.

mod barrier;
mod broadcast;
mod channel;
mod condition;
mod event;
mod lock;
mod oneshot;
pub mod order;
mod ownership;
pub(crate) mod permits;
mod queue;
mod reentrant_lock;
mod rw_lock;
mod semaphore;
mod values;
mod watch;

pub use crate::task::error::sync::{PermitError, RecvError, SendError};
pub use barrier::Barrier;
pub use broadcast::{Broadcast, BroadcastReceiver};
pub use channel::Channel;
pub use condition::Condition;
pub use event::Event;
pub use lock::{Guard, Lock};
pub use oneshot::{Oneshot, OneshotSender};
pub use reentrant_lock::{ReentrantGuard, ReentrantLock};
pub use rw_lock::{ReadGuard, RwLock, WriteGuard};
pub use semaphore::{Permit, Semaphore};
pub use watch::{Watch, WatchReceiver};
