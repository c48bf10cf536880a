//! The heap of an instance: free lists by size, over memory that only grows.
//!
//! An instance has two kinds of allocations: tables, which grow with the number of connections and stay allocated, and
//! the lists of a turn, which have similar sizes each time. For these, a list of free blocks for each power of two does
//! what a general allocator does, with a twentieth of the code (dlmalloc has 8 KB, a third of the size limit of a whole
//! guest). Blocks are never split or merged. A block is therefore up to twice as large as its content, and keeps its
//! size forever.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;

/// The binary logarithm of the smallest size of a block: 16 bytes, which aligns every block for any primitive type.
const SMALLEST: u32 = 4;

/// The number of sizes: up to 2 GiB.
const SIZES: usize = 28;

/// The heap.
struct Heap {
    /// The first free block of each size. A free block begins with the address of the next one.
    free: [Cell<*mut u8>; SIZES],
    /// The bounds of the memory that was never allocated.
    fresh: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: there is one thread (see `cell`).
#[cfg(target_arch = "wasm32")]
unsafe impl Sync for Heap {}

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static HEAP: Heap =
    Heap { free: [const { Cell::new(ptr::null_mut()) }; SIZES], fresh: Cell::new(0), end: Cell::new(0) };

impl Heap {
    /// Returns the index in `free` of the blocks for this layout.
    fn class(layout: Layout) -> usize {
        let size = layout.size().max(layout.align());
        // The binary logarithm, rounded up. Subtracting 1 maps a power of two to its own size.
        (usize::BITS - size.saturating_sub(1).leading_zeros()).saturating_sub(SMALLEST) as usize
    }

    /// Returns the size of a block, in bytes.
    fn size(class: usize) -> usize {
        1 << (class + SMALLEST as usize)
    }

    /// Returns a block of memory that was never used, or null if the memory can't grow.
    #[cold]
    fn fresh(&self, class: usize) -> *mut u8 {
        let size = Self::size(class);
        // The maximum alignment is 4096 bytes.
        let aligned = || self.fresh.get().next_multiple_of(size.min(4096));
        if aligned().checked_add(size).is_none_or(|end| end > self.end.get()) {
            let Some((from, to)) = grow(size) else { return ptr::null_mut() };
            // Usually the new memory follows the previous memory. If other code has grown the memory, it does not.
            if from != self.end.get() {
                self.fresh.set(from);
            }
            self.end.set(to);
        }
        let start = aligned();
        self.fresh.set(start + size);
        ptr::with_exposed_provenance_mut(start)
    }
}

/// The size of a page, by which the memory grows, in bytes.
const PAGE: usize = 64 * 1024;

/// Grows the memory by at least `bytes` zeros. Returns the addresses of the beginning and the end of the new memory.
#[cfg(target_arch = "wasm32")]
fn grow(bytes: usize) -> Option<(usize, usize)> {
    let pages = bytes.div_ceil(PAGE);
    let before = core::arch::wasm32::memory_grow(0, pages);
    (before != usize::MAX).then(|| (before * PAGE, (before + pages) * PAGE))
}

/// Allocates memory for tests, at a new address each time.
#[cfg(not(target_arch = "wasm32"))]
fn grow(bytes: usize) -> Option<(usize, usize)> {
    let size = bytes.next_multiple_of(PAGE);
    let layout = Layout::from_size_align(size, PAGE).ok()?;
    // SAFETY: the size is not 0.
    let memory = unsafe { alloc::alloc::alloc_zeroed(layout) };
    (!memory.is_null()).then(|| (memory.expose_provenance(), memory.expose_provenance() + size))
}

// SAFETY: a block is either in a free list or allocated, and never both: `alloc` removes it from the list, and
// `dealloc`, which gets it with the layout that it was allocated for, returns it to the same list. Blocks do not
// overlap, since `fresh` returns each byte once.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = Self::class(layout);
        let Some(list) = self.free.get(class).filter(|_| layout.align() <= 4096) else {
            return ptr::null_mut();
        };
        let block = list.get();
        if block.is_null() {
            return self.fresh(class);
        }
        // SAFETY: a free block begins with the address of the next one, which `dealloc` has written there.
        list.set(unsafe { block.cast::<*mut u8>().read() });
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(list) = self.free.get(Self::class(layout)) {
            // SAFETY: the caller guarantees that the block is allocated and not used any more. It has at least 16
            // bytes.
            unsafe { block.cast::<*mut u8>().write(list.get()) };
            list.set(block);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that `size` is valid for a layout with this alignment.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if Self::class(larger) == Self::class(layout) {
            return block;
        }
        // SAFETY: the caller guarantees the requirements of `alloc` and `dealloc`. The two blocks do not overlap, and
        // each is at least as large as its layout.
        unsafe {
            let moved = self.alloc(larger);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            moved
        }
    }

    /// Writes zeros only to bytes that are not zero: a page that was never written to occupies no physical memory, and
    /// reading it does not change that.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller guarantees the requirements of `alloc`.
        let block = unsafe { self.alloc(layout) };
        if block.is_null() {
            return block;
        }
        for index in 0..layout.size() {
            // SAFETY: the byte is within the block that was just allocated. All of a wasm memory can be read. The code
            // assumes nothing about the value, and a volatile read prevents the compiler from treating the byte as
            // uninitialized.
            unsafe {
                let byte = block.add(index);
                if byte.read_volatile() != 0 {
                    byte.write_volatile(0);
                }
            }
        }
        block
    }
}

// The compiler requires `memcmp`, which libc provides on this target.
#[cfg(target_os = "wasi")]
#[link(name = "c")]
unsafe extern "C" {}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::Cell;
    use core::ptr;
    use std::vec::Vec;

    use super::{Heap, SIZES};

    fn heap() -> Heap {
        Heap { free: [const { Cell::new(ptr::null_mut()) }; SIZES], fresh: Cell::new(0), end: Cell::new(0) }
    }

    /// A block, its layout, and the value of all of its bytes.
    struct Held(*mut u8, Layout, u8);

    impl Held {
        fn check(&self) {
            for index in 0..self.1.size() {
                // SAFETY: the block is as large as its layout.
                assert_eq!(unsafe { self.0.add(index).read() }, self.2, "the block has changed");
            }
        }
    }

    /// Allocates, reallocates and frees blocks of many sizes. Checks that no block overlaps another, and that each
    /// keeps its content.
    #[test]
    fn blocks_are_whole_and_their_own() {
        let (heap, mut held) = (heap(), Vec::<Held>::new());
        let mut luck = 0x9e37_79b9_u32;
        for turn in 0..3_000 {
            luck = luck.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (size, mark) = (1 + (luck >> 8) as usize % 600, turn as u8);
            // SAFETY: the sizes of the layouts are not 0. Each block is used within its layout, and freed once.
            unsafe {
                if luck >> 30 == 0 || held.len() < 8 {
                    let layout = Layout::from_size_align(size, 1 << (luck & 3)).unwrap();
                    let block = heap.alloc_zeroed(layout);
                    assert!(!block.is_null() && block.addr() % layout.align() == 0);
                    let new = Held(block, layout, 0);
                    new.check();
                    block.write_bytes(mark, layout.size());
                    held.push(Held(block, layout, mark));
                    continue;
                }
                let Held(block, layout, mark) = held.swap_remove((luck >> 16) as usize % held.len());
                Held(block, layout, mark).check();
                if luck >> 29 & 1 == 0 {
                    heap.dealloc(block, layout);
                } else {
                    let moved = heap.realloc(block, layout, size);
                    let layout = Layout::from_size_align(size.min(layout.size()), layout.align()).unwrap();
                    let kept = Held(moved, layout, mark);
                    kept.check();
                    let layout = Layout::from_size_align(size, layout.align()).unwrap();
                    moved.write_bytes(mark, size);
                    held.push(Held(moved, layout, mark));
                }
            }
        }
        held.iter().for_each(Held::check);
    }
}
