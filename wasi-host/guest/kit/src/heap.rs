//! The heap of an instance: free lists by size, over memory that only grows.
//!
//! What an instance allocates is of two kinds: tables that grow with the connections and stay, and the lists of a turn,
//! of much the same sizes each time. For that, a list of free blocks for each power of two does what a general allocator
//! does, in a twentieth of its code (dlmalloc is 8 KB, a third of what a whole guest may be).
//! Nothing is split or merged, so a block is up to twice as large as what is in it, and serves its own size for ever.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;

/// The smallest block: 16 bytes, so that all are aligned for whatever there is.
const SMALLEST: u32 = 4;

/// Sizes there are: up to 2 GiB.
const SIZES: usize = 28;

/// The heap.
struct Heap {
    /// The first free block of each size. A free block begins with the address of the next one.
    free: [Cell<*mut u8>; SIZES],
    /// Memory that was never given out.
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
    /// The place in `free` of blocks for this layout.
    fn class(layout: Layout) -> usize {
        let size = layout.size().max(layout.align());
        // 0 and 1 need no bits; a power of two is its own size.
        (usize::BITS - size.saturating_sub(1).leading_zeros()).saturating_sub(SMALLEST) as usize
    }

    /// The bytes of a block.
    fn size(class: usize) -> usize {
        1 << (class + SMALLEST as usize)
    }

    /// A block of memory that was never used; null where there is none.
    #[cold]
    fn fresh(&self, class: usize) -> *mut u8 {
        let size = Self::size(class);
        // There is no more alignment than that of a small page.
        let aligned = || self.fresh.get().next_multiple_of(size.min(4096));
        if aligned().checked_add(size).is_none_or(|end| end > self.end.get()) {
            let Some((from, to)) = grow(size) else { return ptr::null_mut() };
            // Mostly it goes on where the last piece ended; if somebody else has grown the memory, it does not.
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

/// The memory grows by pages.
const PAGE: usize = 64 * 1024;

/// Has at least so many bytes more memory, zeros: from where to where it goes.
#[cfg(target_arch = "wasm32")]
fn grow(bytes: usize) -> Option<(usize, usize)> {
    let pages = bytes.div_ceil(PAGE);
    let before = core::arch::wasm32::memory_grow(0, pages);
    (before != usize::MAX).then(|| (before * PAGE, (before + pages) * PAGE))
}

/// The same for tests, elsewhere each time.
#[cfg(not(target_arch = "wasm32"))]
fn grow(bytes: usize) -> Option<(usize, usize)> {
    let size = bytes.next_multiple_of(PAGE);
    let layout = Layout::from_size_align(size, PAGE).ok()?;
    // SAFETY: the size is not 0.
    let memory = unsafe { alloc::alloc::alloc_zeroed(layout) };
    (!memory.is_null()).then(|| (memory.expose_provenance(), memory.expose_provenance() + size))
}

// SAFETY: a block is in a free list or given out, and never both: `alloc` takes it out and `dealloc`, which gets it
// back with the layout that it was given out for, puts it into the same list. Blocks do not overlap, as `fresh` gives
// each byte once.
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
            // SAFETY: it was given out, has at least 16 bytes, and nobody uses it any more.
            unsafe { block.cast::<*mut u8>().write(list.get()) };
            list.set(block);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's: it is a size that a layout may have.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if Self::class(larger) == Self::class(layout) {
            return block;
        }
        // SAFETY: the caller's; the two blocks are two, and each is as large as its layout.
        unsafe {
            let moved = self.alloc(larger);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            moved
        }
    }

    /// Writes zeros only where there are none: a page of memory that was never written to takes no memory of the
    /// system's, and reading it does not change that.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let block = unsafe { self.alloc(layout) };
        if block.is_null() {
            return block;
        }
        for index in 0..layout.size() {
            // SAFETY: it is within what was just allocated. All of a wasm memory can be read; nothing is assumed of
            // what is found, and the compiler can't know that it was never written.
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

/// Where the host puts what it hands over: the component model's name of realloc.
///
/// # Safety
///
/// As of realloc: `block` was had from here, with this size and alignment, or the size is 0.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(block: *mut u8, before: usize, align: usize, size: usize) -> *mut u8 {
    // SAFETY: the component model asks for alignments that are powers of two; the rest is the caller's.
    let moved = unsafe {
        match (before, size) {
            (0, 0) => return ptr::without_provenance_mut(align),
            (0, _) => HEAP.alloc(Layout::from_size_align_unchecked(size, align)),
            _ => HEAP.realloc(block, Layout::from_size_align_unchecked(before, align), size),
        }
    };
    if moved.is_null() {
        core::arch::wasm32::unreachable();
    }
    moved
}

// `memcmp`, which the compiler takes for granted, is libc's on this target.
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

    /// A block, its layout, and what is written all over it.
    struct Held(*mut u8, Layout, u8);

    impl Held {
        fn check(&self) {
            for index in 0..self.1.size() {
                // SAFETY: the block is as large as its layout.
                assert_eq!(unsafe { self.0.add(index).read() }, self.2, "somebody wrote into it");
            }
        }
    }

    /// Takes, moves and gives back blocks of all sizes: none overlaps another, and each keeps what is in it.
    #[test]
    fn blocks_are_whole_and_their_own() {
        let (heap, mut held) = (heap(), Vec::<Held>::new());
        let mut luck = 0x9e37_79b9_u32;
        for turn in 0..3_000 {
            luck = luck.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (size, mark) = (1 + (luck >> 8) as usize % 600, turn as u8);
            // SAFETY: layouts of sizes that are not 0; each block is used within its own, and given back once.
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
