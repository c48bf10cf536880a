//! A loop without a kernel, for tasks that wait only for interrupts and for each other.

use sinbin_core::task::RoundRobin;

/// Runs the tasks until none is left. The processor sleeps while no task is woken. An interrupt that comes behind the
/// check is pending, and ends `wfi`.
#[inline]
pub fn run<F: Future<Output = ()> + Unpin, const N: usize>(executor: &mut RoundRobin<F, N>) {
    while executor.round() {
        cortex_m::interrupt::disable();
        if !executor.is_woken() {
            cortex_m::asm::dsb();
            cortex_m::asm::wfi();
        }
        // SAFETY: this ends the critical section that began above, and no other is open.
        unsafe { cortex_m::interrupt::enable() };
    }
}
