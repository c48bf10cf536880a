//! The one loop of an instance.
//!
//! A component has no threads, and a host that keeps to the component model never calls it from within a call of its
//! own. The cell asserts that.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use sinbin_core::driven::DEFAULT_MAX_JOBS;

use crate::bindings::exports::sinbin::service::guest::{Answer, Event, Limits, Settings, Tally};
use crate::bindings::sinbin::service::types::Rest;
use crate::run::Run;

/// A loop, once it is started.
pub struct Loop {
    run: RefCell<Option<Box<dyn Run>>>,
    max_jobs: Cell<u32>,
}

// SAFETY: wasm without the threads proposal has one thread, and this crate does not build with it (see below). On other
// targets a loop is not shared.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
unsafe impl Sync for Loop {}

#[cfg(target_feature = "atomics")]
compile_error!("an instance has one thread: build it without the feature `atomics`");

impl Loop {
    /// One that is not started.
    #[must_use]
    pub const fn new() -> Self {
        Self { run: RefCell::new(None), max_jobs: Cell::new(DEFAULT_MAX_JOBS) }
    }

    /// Limits the jobs at a time, of a loop that is not started yet.
    pub fn bound_jobs(&self, jobs: u32) {
        self.max_jobs.set(jobs);
    }

    /// Starts it as `make` says.
    ///
    /// # Errors
    ///
    /// Those of `make`; a second start.
    pub fn start(
        &self,
        make: impl FnOnce(&Settings, u32) -> Result<(Box<dyn Run>, Limits), String>,
        settings: &Settings,
    ) -> Result<Limits, String> {
        let mut place = self.run.borrow_mut();
        if place.is_some() {
            return Err(String::from("the service is started already"));
        }
        let (run, limits) = make(settings, self.max_jobs.get())?;
        *place = Some(run);
        Ok(limits)
    }

    /// Runs a turn. A loop that is not started has nothing to run.
    pub fn turn(&self, now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer {
        match &mut *self.run.borrow_mut() {
            Some(run) => run.turn(now, window, events, input),
            None => Answer { rest: Rest::Over, room: 0, commands: Vec::new(), output: Vec::new() },
        }
    }

    /// What was counted.
    pub fn counts(&self) -> Tally {
        let nothing = Tally { jobs: 0, cancelled: 0, ignored: 0 };
        self.run.borrow().as_ref().map_or(nothing, |run| run.counts())
    }
}

impl Default for Loop {
    fn default() -> Self {
        Self::new()
    }
}
