//! The global state of an instance: its heap, and the value that its functions share. This module contains all of the
//! crate's unsafe code.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{RefCell, UnsafeCell};

use dlmalloc::Dlmalloc;

// The argument for both implementations of `Sync` below: wasm without the threads proposal has one thread, and this
// crate does not build with the proposal. The module imports nothing, so no exported function is ever called during a
// call of another.
#[cfg(target_feature = "atomics")]
compile_error!("an instance has one thread: build it without the feature `atomics`");

/// A global value for a single thread.
pub(crate) struct Sole<T>(RefCell<T>);

// SAFETY: there is one thread.
unsafe impl<T> Sync for Sole<T> {}

impl<T> Sole<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Borrows the value for one call. After a trap in the call, the value stays borrowed, so the next call panics
    /// instead of using an inconsistent value.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&mut T) -> R) -> R {
        call(&mut self.0.borrow_mut())
    }
}

/// The heap: dlmalloc, which the standard library uses on wasm as well.
struct Heap(UnsafeCell<Dlmalloc>);

// SAFETY: there is one thread.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(Dlmalloc::new()));

// SAFETY: all calls go to dlmalloc, which no other code uses, and which never calls this allocator.
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
        // SAFETY: as above; the caller guarantees that `alloc` returned the pointer, for this layout.
        unsafe { (*self.0.get()).free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the caller guarantees that `alloc` returned the pointer, for this layout.
        unsafe { (*self.0.get()).realloc(pointer, layout.size(), layout.align(), size) }
    }
}
