//! The clock as a driver of `embassy-time`, so that drivers which were written for embassy run here without a change.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::mps2::clock::{Clock, micros};

/// The wakers of futures of `embassy-time`, by their moments.
struct Timers(Mutex<RefCell<Queue>>);

embassy_time_driver::time_driver_impl!(static TIMERS: Timers = Timers(Mutex::new(RefCell::new(Queue::new()))));

impl Driver for Timers {
    fn now(&self) -> u64 {
        micros()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| self.0.borrow_ref_mut(section).schedule_wake(at, waker));
    }
}

/// Starts to wake the futures of `embassy-time`, at the ticks of the clock.
pub fn start(clock: Clock) {
    clock.on_tick(|| {
        critical_section::with(|section| TIMERS.0.borrow_ref_mut(section).next_expiration(micros()));
    });
}
