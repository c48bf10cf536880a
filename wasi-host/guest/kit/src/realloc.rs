//! The memory for values that the host passes.
#![allow(unsafe_code)]

use alloc::alloc::{Layout, alloc, realloc};
use core::ptr;

/// Allocates the memory for values that the host passes. This is the component model's name of realloc.
///
/// # Safety
///
/// As for realloc: this function must have returned `block` for this size and alignment, or `before` must be 0.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(block: *mut u8, before: usize, align: usize, size: usize) -> *mut u8 {
    // SAFETY: the component model guarantees that alignments are powers of two. The caller guarantees the rest.
    let moved = unsafe {
        match (before, size) {
            (0, 0) => return ptr::without_provenance_mut(align),
            (0, _) => alloc(Layout::from_size_align_unchecked(size, align)),
            _ => realloc(block, Layout::from_size_align_unchecked(before, align), size),
        }
    };
    if moved.is_null() {
        core::arch::wasm32::unreachable();
    }
    moved
}
