//! A loop without a network: tasks that wait for interrupts, for time, and for each other.

use core::marker::PhantomData;

use sinbin_core::task::{Async, AsyncHost, Handle, Signals};
use sinbin_core::{Executor, Fixed, Host, Instant, IoError, Rest, SourceId};

use crate::mps2::clock::Clock;

/// A host without I/O, for up to `TASKS` tasks.
pub struct Quiet<'d, const TASKS: usize> {
    clock: Clock,
    signals: Signals,
    _tasks: PhantomData<Handle<'d>>,
}

impl<'d, const TASKS: usize> Host for Quiet<'d, TASKS> {
    type Storage = Fixed<TASKS, 0, 0, 0, 0>;
    type Task = Async<'d>;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
        Err(IoError::Unsupported)
    }

    fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
        Err(IoError::Unsupported)
    }

    fn close(&mut self, _: SourceId) {}

    fn serve(&mut self, _: SourceId, _: SourceId) -> Async<'d> {
        unreachable!("nothing is accepted")
    }

    fn clock(&self, turn: Instant) -> Instant {
        self.clock.now().max(turn)
    }
}

impl<'d, const TASKS: usize> AsyncHost<'d> for Quiet<'d, TASKS> {}

impl<const TASKS: usize> Quiet<'_, TASKS> {
    /// Creates the host. Interrupts wake its tasks by `signals`.
    #[must_use]
    pub const fn new(clock: Clock, signals: Signals) -> Self {
        Self { clock, signals, _tasks: PhantomData }
    }

    /// Runs the tasks until none is left, or none can ever run.
    pub fn run(&mut self, executor: &mut Executor<Self>) -> Rest {
        loop {
            self.signals.deliver(&mut executor.kernel);
            executor.turn(self.clock.now(), self);
            match executor.kernel.rest() {
                Rest::Ready => {}
                Rest::Until(deadline) => self.sleep(deadline),
                rest => return rest,
            }
        }
    }

    /// Sleeps until an interrupt, unless the deadline has passed or a wake is pending. An interrupt that comes behind
    /// the check is pending, and ends `wfi`.
    fn sleep(&self, deadline: Instant) {
        cortex_m::interrupt::disable();
        if !self.signals.are_pending() && self.clock.now() < deadline {
            cortex_m::asm::dsb();
            cortex_m::asm::wfi();
        }
        // SAFETY: this ends the critical section that began above, and no other is open.
        unsafe { cortex_m::interrupt::enable() };
    }
}
