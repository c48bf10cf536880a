//! The interface between the loop and a board.

use sinbin_core::Instant;

/// A clock, and a way to sleep: what the loop needs of a board besides its network device.
pub trait Board {
    /// Returns the time since the board started. The clock never goes backwards.
    fn now(&self) -> Instant;

    /// Sleeps until an interrupt, and at most until `until`. May return early at any time.
    ///
    /// Two things must not be slept through: a frame that the device has received, and a wake from an interrupt. The
    /// board therefore masks interrupts, returns at once if `has_wakes` returns true or a frame is waiting, and sleeps
    /// by an instruction that a pending interrupt ends even while it is masked, such as `wfi`.
    fn sleep(&mut self, until: Instant, has_wakes: &dyn Fn() -> bool);

    /// Does what has to be done regularly while the loop is healthy, such as feeding a watchdog. Called before each poll
    /// of the network: at least once per turn of the tasks, and after each sleep.
    fn alive(&mut self) {}
}
