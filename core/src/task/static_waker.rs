//! Wakers that are references to statics.

use core::marker::PhantomData;
use core::task::{RawWaker, RawWakerVTable, Waker};

/// A static that wakers refer to.
pub(crate) trait StaticWake: Sync + 'static {
    /// The functions of the wakers. A static, so that all wakers of a value are equal.
    const VTABLE: &'static VTable<Self>;

    /// Notes that the task of this value is to run. Interrupts may call this.
    fn wake(&self);

    /// Returns a waker that calls [`wake`](Self::wake). Cloning and dropping the waker does nothing else.
    #[inline]
    fn waker(&'static self) -> Waker {
        // SAFETY: the pointer is a reference to a static, its type is that of the vtable, and it is `Sync`.
        #[expect(unsafe_code, reason = "a waker is made from a pointer and a vtable")]
        unsafe {
            Waker::new(core::ptr::from_ref(self).cast(), &Self::VTABLE.functions)
        }
    }
}

/// The functions of wakers that refer to a `T`.
pub(crate) struct VTable<T: ?Sized> {
    functions: RawWakerVTable,
    _target: PhantomData<fn(&T)>,
}

impl<T: StaticWake> VTable<T> {
    pub(crate) const fn new() -> Self {
        let functions = RawWakerVTable::new(clone::<T>, wake::<T>, wake::<T>, |_| {});
        Self { functions, _target: PhantomData }
    }
}

fn clone<T: StaticWake>(data: *const ()) -> RawWaker {
    RawWaker::new(data, &T::VTABLE.functions)
}

#[expect(unsafe_code, reason = "the functions of a vtable are unsafe")]
unsafe fn wake<T: StaticWake>(data: *const ()) {
    // SAFETY: only `waker` and its clones use the vtable of `T`, and their pointers are references to statics of this
    // type.
    unsafe { &*data.cast::<T>() }.wake();
}
