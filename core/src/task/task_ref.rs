//! References to slots: a slot is in a pool, or on the heap with a reference count.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::pin::Pin;
use core::ptr::NonNull;

use crate::task::slot::{AnyTaskCell, Body, Side, Slot, TaskHeader};

/// The list of the free slots of a pool.
pub(crate) struct FreeList {
    pub(crate) first: Cell<u32>,
    /// The index from which on all slots are free and have never been used.
    pub(crate) fresh: Cell<u32>,
    /// The number of slots that contain a future.
    pub(crate) live: Cell<u32>,
}

impl Drop for FreeList {
    /// Checks that no slot contains a future. A pinned future must not lose its memory before it is dropped. Its task
    /// ensures that, unless the task was leaked (`mem::forget`): then the program can't continue.
    fn drop(&mut self) {
        if self.live.get() > 0 {
            /// A guard that panics during a panic, which aborts the program.
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
    /// Records that a future was dropped.
    pub(crate) fn lose(&self) {
        self.live.set(self.live.get() - 1);
    }

    /// Adds the slot to the free list.
    pub(crate) fn give_back(&self, slot: &TaskHeader) {
        slot.next.set(self.first.get());
        self.first.set(slot.index.get());
    }
}

/// A reference of one side to a slot. It is valid until [`leave`](Self::leave).
pub(crate) struct TaskRef<'d, T: AnyTaskCell + ?Sized> {
    slot: NonNull<T>,
    /// The free list of the pool that contains the slot, or `None` for a slot on the heap.
    free: Option<&'d FreeList>,
    _slot: PhantomData<&'d T>,
}

impl<'d, T: AnyTaskCell> TaskRef<'d, T> {
    /// Creates a reference to a slot in a pool.
    pub(crate) fn pooled(slot: Pin<&'d T>, free: &'d FreeList) -> Self {
        Self { slot: NonNull::from(slot.get_ref()), free: Some(free), _slot: PhantomData }
    }

    /// Creates two references to a slot on the heap, one for each side.
    #[cfg(feature = "alloc")]
    pub(crate) fn heap(slot: T) -> (Self, Self) {
        use alloc::rc::Rc;

        let first = Rc::new(slot);
        let second = Rc::clone(&first);
        let hold = |slot: Rc<T>| {
            let slot = Rc::into_raw(slot).cast_mut();
            // SAFETY: the pointer of an `Rc` is never null.
            #[expect(unsafe_code, reason = "the checked way would have to panic")]
            let slot = unsafe { NonNull::new_unchecked(slot) };
            Self { slot, free: None, _slot: PhantomData }
        };
        (hold(first), hold(second))
    }
}

impl<'d, T: AnyTaskCell + ?Sized> TaskRef<'d, T> {
    /// Erases the slot's type in part, as `cast` does it, and keeps the reference.
    pub(crate) fn map<U: AnyTaskCell + ?Sized>(
        self,
        cast: impl FnOnce(NonNull<T>) -> NonNull<U>,
    ) -> TaskRef<'d, U> {
        TaskRef { slot: cast(self.slot), free: self.free, _slot: PhantomData }
    }

    /// Returns the slot's head without a lookup in the vtable.
    #[inline]
    pub(crate) fn head(&self) -> &TaskHeader {
        // SAFETY: the slot exists until `leave`. Every `AnyTaskCell` is a `Slot`, which is `repr(C)` and has the head as its
        // first field.
        #[expect(unsafe_code, reason = "the head is the first field of every slot")]
        unsafe {
            self.slot.cast::<TaskHeader>().as_ref()
        }
    }

    #[inline]
    pub(crate) fn pinned(&self) -> Pin<&T> {
        // SAFETY: a slot in a pool is pinned there; a slot on the heap stays there until its last count is gone, and no
        // code moves it out.
        #[expect(unsafe_code, reason = "the pointer's type does not say that its target is pinned")]
        unsafe {
            Pin::new_unchecked(&**self)
        }
    }

    /// Releases this side's reference to the slot.
    ///
    /// # Safety
    ///
    /// This must be the last use of the reference.
    #[inline]
    #[expect(unsafe_code, reason = "the reference remains accessible afterwards")]
    pub(crate) unsafe fn leave(&self, side: Side) {
        let mut leaves = Leaves { hold: *self, side, is_free: None };
        leaves.is_free = Some(AnyTaskCell::leave(&**self, side));
    }
}

/// The task's reference to a slot, which is released on drop.
pub(crate) struct Owned<'d, B: Body + ?Sized + 'd = dyn Body + 'd>(TaskRef<'d, B>);

impl<'d, B: Body + ?Sized + 'd> Owned<'d, B> {
    /// Creates the reference of the task, which has not been released yet.
    pub(crate) const fn new(hold: TaskRef<'d, B>) -> Self {
        Self(hold)
    }
}

impl<'d, F: Future + 'd> Owned<'d, Slot<F>> {
    /// Erases the future's type.
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
        // SAFETY: nothing uses the reference after this.
        #[expect(unsafe_code, reason = "see TaskRef::leave")]
        unsafe {
            self.0.leave(Side::Task);
        }
    }
}

/// A guard that releases the slot, or its count, after one side has left, even if the value that was dropped there
/// panicked.
struct Leaves<'d, T: AnyTaskCell + ?Sized> {
    hold: TaskRef<'d, T>,
    side: Side,
    /// `None` until the side has left.
    is_free: Option<bool>,
}

impl<T: AnyTaskCell + ?Sized> Drop for Leaves<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let Self { hold, side, .. } = *self;
        // The value that panicked counts as dropped, so that only leaving remains.
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
            // SAFETY: `heap` made the pointer from an `Rc`, whose count is released once: `leave` is the last use of
            // the reference.
            #[cfg(feature = "alloc")]
            #[expect(unsafe_code, reason = "see TaskRef::leave")]
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
        // SAFETY: the slot exists until `leave`: it is borrowed from its pool, or this reference holds a count.
        #[expect(unsafe_code, reason = "one pointer type for both kinds keeps a step short")]
        unsafe {
            self.slot.as_ref()
        }
    }
}
