//! The two ways to have a slot: a place in a pool, or a count of one on the heap.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::pin::Pin;
use core::ptr::NonNull;

use crate::task::slot::{AnyTaskCell, Body, Side, Slot, TaskHeader};

/// The places of a pool that are free.
pub(crate) struct FreeList {
    pub(crate) first: Cell<u32>,
    /// From here on, all are, and were never used.
    pub(crate) fresh: Cell<u32>,
    /// Places whose futures are there.
    pub(crate) live: Cell<u32>,
}

impl Drop for FreeList {
    /// A pinned future must not lose its memory before it is dropped. Its task sees to that, unless somebody has
    /// seen to it that the task is never dropped (`mem::forget`): then the program can't go on.
    fn drop(&mut self) {
        if self.live.get() > 0 {
            /// Panics while there is a panic, which nothing survives.
            struct Abort;
            impl Drop for Abort {
                fn drop(&mut self) {
                    panic!("a pool was dropped while tasks had their futures there");
                }
            }
            let _abort = Abort;
            panic!("a pool was dropped while tasks had their futures there");
        }
    }
}

impl FreeList {
    /// A future is gone.
    pub(crate) fn lose(&self) {
        self.live.set(self.live.get() - 1);
    }

    /// The slot is free again.
    pub(crate) fn give_back(&self, slot: &TaskHeader) {
        slot.next.set(self.first.get());
        self.first.set(slot.index.get());
    }
}

/// One side's hold on a slot. It is good until [`leave`](Self::leave).
pub(crate) struct TaskRef<'d, T: AnyTaskCell + ?Sized> {
    slot: NonNull<T>,
    /// The list of the pool that the slot is in; none for one on the heap.
    free: Option<&'d FreeList>,
    _slot: PhantomData<&'d T>,
}

impl<'d, T: AnyTaskCell> TaskRef<'d, T> {
    /// Of a slot in a pool.
    pub(crate) fn pooled(slot: Pin<&'d T>, free: &'d FreeList) -> Self {
        Self { slot: NonNull::from(slot.get_ref()), free: Some(free), _slot: PhantomData }
    }

    /// Two of a slot on the heap, one for each side.
    #[cfg(feature = "alloc")]
    pub(crate) fn heap(slot: T) -> (Self, Self) {
        use alloc::rc::Rc;

        let first = Rc::new(slot);
        let second = Rc::clone(&first);
        let hold = |slot: Rc<T>| {
            let slot = Rc::into_raw(slot).cast_mut();
            // SAFETY: a count is never null.
            #[expect(unsafe_code, reason = "the checked way would have to panic")]
            let slot = unsafe { NonNull::new_unchecked(slot) };
            Self { slot, free: None, _slot: PhantomData }
        };
        (hold(first), hold(second))
    }
}

impl<'d, T: AnyTaskCell + ?Sized> TaskRef<'d, T> {
    /// The same hold, with the slot's type forgotten in part, as `cast` does it.
    pub(crate) fn map<U: AnyTaskCell + ?Sized>(
        self,
        cast: impl FnOnce(NonNull<T>) -> NonNull<U>,
    ) -> TaskRef<'d, U> {
        TaskRef { slot: cast(self.slot), free: self.free, _slot: PhantomData }
    }

    /// The slot's head, without a look into the table of functions.
    #[inline]
    pub(crate) fn head(&self) -> &TaskHeader {
        // SAFETY: until `leave`, the slot is there. Every `AnyTaskCell` is a `Slot`, of which the head is the first part, in
        // the layout of C.
        #[expect(unsafe_code, reason = "of a slot of any type, the head is where the pointer points to")]
        unsafe {
            self.slot.cast::<TaskHeader>().as_ref()
        }
    }

    #[inline]
    pub(crate) fn pinned(&self) -> Pin<&T> {
        // SAFETY: a slot in a pool is pinned there; one on the heap stays there until its last count is gone, and
        // nobody gets it out.
        #[expect(unsafe_code, reason = "pinning is a promise")]
        unsafe {
            Pin::new_unchecked(&**self)
        }
    }

    /// Lets go of the slot.
    ///
    /// # Safety
    ///
    /// This is the last use of the hold.
    #[inline]
    #[expect(unsafe_code, reason = "the hold can still be named afterwards")]
    pub(crate) unsafe fn leave(&self, side: Side) {
        let mut leaves = Leaves { hold: *self, side, is_free: None };
        leaves.is_free = Some(AnyTaskCell::leave(&**self, side));
    }
}

/// The task's side of a slot, which it leaves at the end of its life.
pub(crate) struct Owned<'d, B: Body + ?Sized + 'd = dyn Body + 'd>(TaskRef<'d, B>);

impl<'d, B: Body + ?Sized + 'd> Owned<'d, B> {
    /// The side of the task, which has left no slot yet.
    pub(crate) const fn new(hold: TaskRef<'d, B>) -> Self {
        Self(hold)
    }
}

impl<'d, F: Future + 'd> Owned<'d, Slot<F>> {
    /// The side of the task, with its future's type forgotten.
    pub(crate) fn erase(self) -> Owned<'d> {
        let this = ManuallyDrop::new(self);
        Owned(this.0.map(|slot| slot as NonNull<dyn Body + 'd>))
    }
}

impl<'d, B: Body + ?Sized + 'd> Deref for Owned<'d, B> {
    type Target = TaskRef<'d, B>;

    #[inline]
    fn deref(&self) -> &TaskRef<'d, B> {
        &self.0
    }
}

impl<B: Body + ?Sized> Drop for Owned<'_, B> {
    fn drop(&mut self) {
        // SAFETY: nothing uses it from here on.
        #[expect(unsafe_code, reason = "see Holder::leave")]
        unsafe {
            self.0.leave(Side::Task);
        }
    }
}

/// Gives back the slot, or its count, when one side has left, also where what it dropped there has panicked.
struct Leaves<'d, T: AnyTaskCell + ?Sized> {
    hold: TaskRef<'d, T>,
    side: Side,
    /// None while it is leaving.
    is_free: Option<bool>,
}

impl<T: AnyTaskCell + ?Sized> Drop for Leaves<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let Self { hold, side, .. } = *self;
        // What has panicked is dropped: there is nothing left to do but to leave.
        let is_free = self.is_free.unwrap_or_else(|| AnyTaskCell::leave(&*hold, side));
        match hold.free {
            Some(free) => {
                if side == Side::Task {
                    free.lose();
                }
                if is_free {
                    free.give_back(hold.head());
                }
            }
            // SAFETY: `heap` made the pointer of a count, which is given back once: `leave` is the hold's last use.
            #[cfg(feature = "alloc")]
            #[expect(unsafe_code, reason = "see Holder::leave")]
            None => drop(unsafe { alloc::rc::Rc::from_raw(hold.slot.as_ptr()) }),
            #[cfg(not(feature = "alloc"))]
            None => {}
        }
    }
}

impl<T: AnyTaskCell + ?Sized> Copy for TaskRef<'_, T> {}

impl<T: AnyTaskCell + ?Sized> Clone for TaskRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: AnyTaskCell + ?Sized> Deref for TaskRef<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: until `leave`, the slot is there: it is borrowed from its pool, or has this hold's count.
        #[expect(unsafe_code, reason = "one pointer for both kinds is what makes a step short")]
        unsafe {
            self.slot.as_ref()
        }
    }
}
