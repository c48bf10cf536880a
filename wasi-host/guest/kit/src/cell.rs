//! The loop of an instance, of which there is one.
//!
//! A component has no threads, and a host that obeys the component model never calls a component reentrantly. The cell
//! asserts that.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use sinbin_core::driven::DEFAULT_MAX_JOBS;

use crate::bindings::exports::sinbin::service::guest::{Answer, Event, Limits, Settings, Tally};
use crate::bindings::sinbin::service::types::Rest;
use crate::panics;
use crate::run::Run;

/// A loop, which is empty until it is started.
pub struct Loop {
    run: RefCell<Option<Box<dyn Run>>>,
    max_jobs: Cell<u32>,
}

// SAFETY: wasm without the threads proposal has one thread, and this crate does not build with the proposal (see
// below). On other targets this implementation does not exist.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
unsafe impl Sync for Loop {}

#[cfg(target_feature = "atomics")]
compile_error!("an instance has one thread: build it without the feature `atomics`");

impl Loop {
    /// Creates a loop that is not started.
    #[must_use]
    pub const fn new() -> Self {
        Self { run: RefCell::new(None), max_jobs: Cell::new(DEFAULT_MAX_JOBS) }
    }

    /// Sets the maximum number of simultaneous jobs, which [`start`](Self::start) uses.
    pub fn bound_jobs(&self, jobs: u32) {
        self.max_jobs.set(jobs);
    }

    /// Starts the loop that `make` creates.
    ///
    /// # Errors
    ///
    /// Fails if `make` fails, or if the loop is already started.
    pub fn start(
        &self,
        make: impl FnOnce(&Settings, u32) -> Result<(Box<dyn Run>, Limits), String>,
        settings: &Settings,
    ) -> Result<Limits, String> {
        panics::install();
        let mut place = self.run.borrow_mut();
        if place.is_some() {
            return Err(String::from("the service is already started"));
        }
        let (run, limits) = make(settings, self.max_jobs.get())?;
        *place = Some(run);
        Ok(limits)
    }

    /// Runs a turn. A loop that is not started returns `over`.
    pub fn turn(&self, now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer {
        match &mut *self.run.borrow_mut() {
            Some(run) => run.turn(now, window, events, input),
            None => Answer { rest: Rest::Over, room: 0, commands: Vec::new(), output: Vec::new() },
        }
    }

    /// Returns the counts since the start.
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
