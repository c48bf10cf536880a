//! The stack, which `cortex-m-rt` paints before the program starts: how much of it was used, and whether it overflows.

use core::ptr;

use cortex_m::peripheral::MPU;
use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// The size of the guard below the stack.
const GUARD: usize = 32;

/// The bytes below the guard, for the report of an overflow.
const RESERVE: usize = 512;

/// Returns the size of the stack, and how many of its bytes were ever used. O(n) in the bytes that were not.
#[must_use]
pub fn used() -> (usize, usize) {
    let (top, mut at) = ((&raw const _stack_start).addr(), guard_base() as usize + GUARD);
    let size = top - at;
    // SAFETY: these words belong to the stack. Those that are in use may change meanwhile, which is why the search ends
    // at the first of them.
    while at < top && unsafe { ptr::with_exposed_provenance::<u32>(at).read_volatile() } == STACK_PAINT_VALUE
    {
        at += 4;
    }
    (size, top - at)
}

/// Makes any access to the last bytes of the stack a fault, which [`fault`](crate::fault) reports.
pub fn guard(mpu: &mut MPU) {
    let base = guard_base();
    // SAFETY: the region covers bytes of the stack that no code uses unless the stack overflows. Everything else is
    // accessible as before (PRIVDEFENA).
    unsafe {
        mpu.rnr.write(0);
        mpu.rbar.write(base);
        // No access, not executable, 2^(4 + 1) bytes, enabled.
        mpu.rasr.write(1 << 28 | 4 << 1 | 1);
        mpu.ctrl.write(0b101);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Returns true if `address` is in the guard.
#[must_use]
pub fn is_guard(address: u32) -> bool {
    (guard_base()..guard_base() + 32).contains(&address)
}

fn guard_base() -> u32 {
    let end = (&raw const _stack_end).addr();
    #[expect(clippy::cast_possible_truncation, reason = "addresses have 32 bits here")]
    // The guard lies at a multiple of its size.
    let base = (end + RESERVE).next_multiple_of(GUARD) as u32;
    base
}

/// Iterates over the calls in progress, the innermost first: the addresses of their instructions. Programs for Cortex-M keep frame
/// pointers in `r7`: each points to that of the calling function, followed by the return address.
pub fn callers() -> impl Iterator<Item = u32> {
    let mut frame: usize;
    // SAFETY: this copies a register.
    unsafe { core::arch::asm!("mov {}, r7", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    let top = (&raw const _stack_start).addr();
    let mut end = frame.saturating_sub(1);
    core::iter::from_fn(move || {
        // Frames of calling functions lie above: the walk ends, whatever is on the stack.
        if frame <= end || frame + 8 > top || !frame.is_multiple_of(4) {
            return None;
        }
        end = frame;
        let frame_words = ptr::with_exposed_provenance::<u32>(frame);
        // SAFETY: both words are on the stack, below its top and above the frame of this function.
        let (next, address) = unsafe { (frame_words.read_volatile(), frame_words.add(1).read_volatile()) };
        frame = next as usize;
        // The call is right before that address, whose lowest bit says that the code is Thumb code.
        Some((address & !1).saturating_sub(2))
    })
}
