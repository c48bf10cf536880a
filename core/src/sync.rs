//! Waiting for each other: for tasks of one loop.
//!
//! | for | there is |
//! | --- | --- |
//! | a value that one task has at a time | [`Lock`] |
//! | several such values, without a deadlock | [`order`] |
//! | a value that is to become such or such | [`Condition`] |
//! | values on their way from task to task | [`Channel`] |
//! | something that happens once, or again and again | [`Event`] |
//! | a limit on how many do something at a time | [`Semaphore`] |
//! | a point that several tasks pass together | [`Barrier`] |
//!
//! Most programs need none of them. Only one task runs at a time, and another has its turn only where this one
//! awaits: between two awaits a `Cell` is enough. What is here is for what has to last longer than that.
//!
//! ```
//! use sinbin_core::sync::{Channel, Semaphore};
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
//! let pages = Channel::<_, 4>::new(handle); // who fetches too much waits
//! let slots = Semaphore::new(handle, 2); // two fetch at a time
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
//! # What all of them promise
//!
//! * **In turn.** Who waits is served in the order in which it came, and is overtaken by nobody who comes later.
//! * **Nothing is left behind.** A future that is dropped where it waits (by [`select`](crate::task::select), a
//!   timeout, or because its task is ended) leaves its queue. If its turn had come, it goes to the next.
//! * **A cancelled task is refused** once, whatever it does next, and then wherever it would have to wait; a value that
//!   it was about to send is given back.
//! * **No memory.** A queue is threaded through the futures that stand in it: it needs no heap, and has no limit.
//! * **Waits can be seen.** [`Kernel::tasks`](crate::Kernel::tasks) says who waits for whom, as far as anybody can
//!   know that; when nobody could ever wake the others, the kernel says [`Stalled`](crate::Rest::Stalled).
//! * **One loop.** Outside its tasks everything that waits, or that wakes others, fails with
//!   [`WaitError::Elsewhere`](crate::task::WaitError), and changes nothing. (What is given back by being dropped there,
//!   such as a [`Guard`], wakes nobody.) Between threads use another crate's channel; its wakers work in tasks.

mod barrier;
mod channel;
mod condition;
mod event;
mod lock;
pub mod order;
mod permits;
mod queue;
mod semaphore;

pub use crate::task::error::sync::{PermitError, RecvError, SendError};
pub use barrier::Barrier;
pub use channel::Channel;
pub use condition::Condition;
pub use event::Event;
pub use lock::{Guard, Lock};
pub use semaphore::{Permit, Semaphore};
