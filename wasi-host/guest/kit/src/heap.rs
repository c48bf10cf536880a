//! The heap of an instance: dlmalloc, which is what the standard library has in wasm.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;

use dlmalloc::Dlmalloc;

/// The heap.
struct Heap(UnsafeCell<Dlmalloc>);

// SAFETY: there is one thread (see `cell`).
unsafe impl Sync for Heap {}

#[cfg_attr(target_arch = "wasm32", global_allocator)]
#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "other targets have their own"))]
static HEAP: Heap = Heap(UnsafeCell::new(Dlmalloc::new()));

// SAFETY: all goes to dlmalloc, which nobody else has; no call of it comes back here.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the caller has it from `alloc`, with this layout.
        unsafe { (*self.0.get()).free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the caller has it from `alloc`, with this layout.
        unsafe { (*self.0.get()).realloc(pointer, layout.size(), layout.align(), size) }
    }

    /// Writes zeros only where there are none: a page of memory that was never written to takes no memory of the
    /// system's, and reading it does not change that.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let pointer = unsafe { self.alloc(layout) };
        if pointer.is_null() {
            return pointer;
        }
        for index in 0..layout.size() {
            // SAFETY: it is within what was just allocated. All of a wasm memory can be read; nothing is assumed of
            // what is found, and the compiler can't know that it was never written.
            unsafe {
                let byte = pointer.add(index);
                if byte.read_volatile() != 0 {
                    byte.write_volatile(0);
                }
            }
        }
        pointer
    }
}

/// Where the host puts what it hands over: the component model's name of realloc.
///
/// # Safety
///
/// As of realloc: `pointer` was had from here, with this size and alignment, or the size is 0.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(pointer: *mut u8, before: usize, align: usize, size: usize) -> *mut u8 {
    // SAFETY: the component model asks for alignments that are powers of two; the rest is the caller's.
    let result = unsafe {
        match (before, size) {
            (0, 0) => return core::ptr::without_provenance_mut(align),
            (0, _) => HEAP.alloc(Layout::from_size_align_unchecked(size, align)),
            (before, size) => HEAP.realloc(pointer, Layout::from_size_align_unchecked(before, align), size),
        }
    };
    if result.is_null() {
        core::arch::wasm32::unreachable();
    }
    result
}

// `memcmp`, which the compiler takes for granted, is libc's on this target.
#[cfg(target_os = "wasi")]
#[link(name = "c")]
unsafe extern "C" {}
