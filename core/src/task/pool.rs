//! Slots for the futures of tasks, in memory of the caller: in an array, or, with a heap, in chunks that are allocated
//! on demand.

use core::cell::Cell;
use core::marker::{PhantomData, PhantomPinned};
use core::mem::ManuallyDrop;
use core::panic::Location;
use core::pin::Pin;

use crate::kernel::slab::NONE;
use crate::task::error::TrySpawnError;
use crate::task::handle::Handle;
use crate::task::join::JoinHandle;
use crate::task::slot::Slot;
use crate::task::start::Async;
use crate::task::task_ref::{FreeList, Owned, TaskRef};

/// A future that was put into a pool: the task, which has yet to be started, and the handle on it.
pub type Put<'d, F> = (Async<'d, Slot<F>>, JoinHandle<'d, <F as Future>::Output>);

/// A number of slots for futures of the type `F`.
pub trait Places<F: Future> {
    /// Returns the slot at `index`, or `None` past the last slot.
    fn place(&self, index: u32) -> Option<&Slot<F>>;
}

/// `N` slots in the memory of the pool itself.
pub struct FixedPlaces<F: Future, const N: usize>([Slot<F>; N]);

impl<F: Future, const N: usize> Places<F> for FixedPlaces<F, N> {
    fn place(&self, index: u32) -> Option<&Slot<F>> {
        self.0.get(index as usize)
    }
}

/// The number of slots in the first chunk. Each chunk has twice as many as the one before.
#[cfg(feature = "alloc")]
const CHUNK: u32 = 64;

/// Up to `limit` slots on the heap. The slots never move.
#[cfg(feature = "alloc")]
pub struct GrowingPlaces<F: Future> {
    chunks: [core::cell::OnceCell<alloc::boxed::Box<[Slot<F>]>>; 25],
    limit: u32,
}

#[cfg(feature = "alloc")]
impl<F: Future> Places<F> for GrowingPlaces<F> {
    fn place(&self, index: u32) -> Option<&Slot<F>> {
        if index >= self.limit {
            return None;
        }
        // Chunk 0 begins at 0, chunk 1 at CHUNK, chunk 2 at 3 CHUNK: shifted by one, at the powers of two.
        let shifted = index / CHUNK + 1;
        let chunk = shifted.ilog2();
        let before = ((1 << chunk) - 1) * CHUNK;
        let make = || (0..CHUNK << chunk).map(|_| Slot::free()).collect();
        self.chunks.get(chunk as usize)?.get_or_init(make).get((index - before) as usize)
    }
}

/// A pool of slots for futures of one type, which may be unnameable.
///
/// ```
/// use std::pin::pin;
///
/// # use sinbin_core::task::{RunContext, Handle, NoWakers, Pool};
///
/// let run_context = RunContext::new(&NoWakers);
/// let handle = Handle::new(&run_context);
/// let pool = pin!(Pool::<_, _>::fixed::<2>());
/// let pool = pool.as_ref();
///
/// let count_down = async |mut n: u32| {
///     while n > 0 {
///         handle.yield_now().await;
///         n -= 1;
///     }
/// };
/// let first = pool.put(handle, count_down(3)).unwrap();
/// let second = pool.put(handle, count_down(5)).unwrap();
/// assert!(pool.put(handle, count_down(8)).is_err(), "two places, and the future is given back");
/// ```
pub struct Pool<F: Future, P> {
    free: FreeList,
    places: P,
    /// Names `F` without a claim to drop any value of that type.
    _futures: PhantomData<ManuallyDrop<F>>,
    _pinned: PhantomPinned,
}

impl<F: Future> Pool<F, ()> {
    /// Creates a pool of `N` slots. Pin it before use: on the stack, with [`pin!`](core::pin::pin), or in a static.
    #[must_use]
    pub const fn fixed<const N: usize>() -> Pool<F, FixedPlaces<F, N>> {
        Pool::new(FixedPlaces([const { Slot::free() }; N]))
    }

    /// Creates a pool on the heap of up to `limit` slots, and 2^30 at most.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub const fn growing(limit: u32) -> Pool<F, GrowingPlaces<F>> {
        Pool::new(GrowingPlaces { chunks: [const { core::cell::OnceCell::new() }; 25], limit })
    }
}

impl<F: Future, P> Pool<F, P> {
    const fn new(places: P) -> Self {
        Self {
            free: FreeList { first: Cell::new(NONE), fresh: Cell::new(0), live: Cell::new(0) },
            places,
            _futures: PhantomData,
            _pinned: PhantomPinned,
        }
    }
}

impl<F: Future, P: Places<F>> Pool<F, P> {
    /// Stores a future, and returns it as a task of the loop `handle`, which has yet to be spawned, with a handle on its
    /// end.
    ///
    /// # Errors
    ///
    /// Returns the future if all slots are in use.
    #[track_caller]
    pub fn put<'d>(
        self: Pin<&'d Self>,
        handle: Handle<'d>,
        future: F,
    ) -> Result<Put<'d, F>, TrySpawnError<F>> {
        let at = Location::caller();
        let this = self.get_ref();
        let index = match this.free.first.get() {
            NONE => this.free.fresh.get(),
            free => free,
        };
        let Some(slot) = this.places.place(index) else {
            return Err(TrySpawnError(future));
        };
        if index == this.free.fresh.get() {
            this.free.fresh.set(index + 1);
        } else {
            this.free.first.set(slot.head().next.get());
        }
        slot.head().index.set(index);
        slot.fill(future, at, &handle.run_context().source);
        this.free.live.set(this.free.live.get() + 1);
        // SAFETY: the pool is pinned, and with it an array within it; slots on the heap stay there as long as the pool
        // exists.
        #[expect(unsafe_code, reason = "pinning is structural for the slots")]
        let slot = unsafe { Pin::new_unchecked(slot) };
        let holder = TaskRef::pooled(slot, &this.free);
        Ok((Async::of(handle, Owned::new(holder)), JoinHandle::of(handle, holder)))
    }
}
