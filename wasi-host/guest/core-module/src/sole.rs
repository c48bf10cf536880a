//! What there is once in an instance: its heap, and what its functions work on. All of the crate's unsafe code.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{RefCell, UnsafeCell};

use dlmalloc::Dlmalloc;

// The argument for both of the `Sync` below: wasm without the threads proposal has one thread, and this crate does not
// build with it. And the module imports nothing, so no call is ever made from within another one.
#[cfg(target_feature = "atomics")]
compile_error!("an instance has one thread: build it without the feature `atomics`");

/// A value for one thread.
pub(crate) struct Sole<T>(RefCell<T>);

// SAFETY: there is one thread.
unsafe impl<T> Sync for Sole<T> {}

impl<T> Sole<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Hands out the value for one call. After a trap in such a call it stays lent: the next one panics, instead of
    /// finding what is half done.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&mut T) -> R) -> R {
        call(&mut self.0.borrow_mut())
    }
}

/// The heap: dlmalloc, which is what the standard library has in wasm.
struct Heap(UnsafeCell<Dlmalloc>);

// SAFETY: there is one thread.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(Dlmalloc::new()));

// SAFETY: all goes to dlmalloc, which nobody else has; no call of it comes back here.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the caller has it from `alloc`, with this layout.
        unsafe { (*self.0.get()).free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the caller has it from `alloc`, with this layout.
        unsafe { (*self.0.get()).realloc(pointer, layout.size(), layout.align(), size) }
    }
}
