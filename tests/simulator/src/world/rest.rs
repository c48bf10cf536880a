//! Waits: time passes until something happens.

use std::cmp::Reverse;
use std::time::Duration;

use sinbin_core::serve::Until;
use sinbin_core::{Instant, Kernel, Limits, Rest, Service};

use crate::client_model::ClientModel;
use crate::world::{Event, World};

/// The maximum duration of a slow operation in nanoseconds, which is longer than most deadlines.
pub(crate) const LONG: u32 = 10_000_000;

impl<S: Service, T: ClientModel> World<S, T> {
    /// Waits for the next event and reports it to the kernel. Returns true if all sources were polled.
    pub(super) fn rest(&mut self, kernel: &mut Kernel<Limits>, until: Until) -> bool {
        let mut has_looked = false;
        let has_tasks = kernel.count() > 0;
        let leaving = if has_tasks { 0 } else { self.count_leaving() };
        loop {
            self.watch(kernel);
            let (said, is_whole) = self.poll(kernel, until);
            has_looked |= is_whole;
            if self.wrong.is_some() {
                return has_looked;
            }
            let Until::At(deadline) = until else {
                self.come_back(kernel);
                return has_looked;
            };
            // A request to stop also ends the wait. If no task is left, so does a client that receives its last bytes.
            let has_left = !has_tasks && self.count_leaving() < leaving;
            if said || has_left || kernel.has_ready() || self.is_newly_to_stop() {
                self.come_back(kernel);
                return has_looked;
            }
            if !self.sleep(kernel, deadline) {
                return has_looked;
            }
        }
    }

    /// Lets time pass until the deadline or the next event. Returns true if the sources are to be polled again, and
    /// false if the wait ends: at the deadline, by an interruption, or because no event can come.
    fn sleep(&mut self, kernel: &mut Kernel<Limits>, deadline: Instant) -> bool {
        let next = self.next_event().unwrap_or(Instant::NEVER);
        let has_timer = matches!(kernel.rest(), Rest::Until(at) if at != Instant::NEVER);
        if next == Instant::NEVER && !has_timer {
            // The remaining tasks wait for clients that will send nothing more.
            if !self.is_to_stop && !self.is_draining() {
                self.check_ends_passed_on();
                self.stop();
                return false;
            }
            // Only the deadline of the drain is left.
            if self.is_draining() || deadline == Instant::NEVER {
                let tasks = tasks(kernel);
                self.wrong(format!("the service is to stop, and these tasks wait without an end:{tasks}"));
                return false;
            }
        }
        let next = next.min(deadline);
        if self.rng.strikes(self.plan.faults.interrupted) {
            let span = u32::try_from(next.since(self.now).as_nanos()).unwrap_or(u32::MAX);
            let span = self.rng.below(span);
            self.pass(kernel, span.into());
            return false;
        }
        if self.rng.strikes(self.plan.faults.oversleeps) {
            let late = self.rng.between(1, LONG);
            let span = next.since(self.now) + Duration::from_nanos(late.into());
            self.tell(|| "the host sleeps for longer than it should".to_owned());
            self.pass(kernel, u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
            return false;
        }
        let is_early = next == deadline && self.rng.strikes(self.plan.faults.early);
        let next = if is_early { Instant::from_nanos(next.as_nanos().saturating_sub(1)) } else { next };
        self.now = self.now.max(next);
        if is_early || deadline <= self.now {
            return false;
        }
        self.pass_some(kernel, 1);
        true
    }

    /// Lets the time between the host's poll and the next turn pass.
    fn come_back(&mut self, kernel: &mut Kernel<Limits>) {
        if self.rng.strikes(self.plan.faults.slow_looks) {
            let span = self.rng.between(1, LONG);
            self.tell(|| format!("the host needs {} µs to return from its poll", span / 1000));
            self.pass(kernel, span.into());
        }
        self.pass_some(kernel, 8);
    }

    /// Returns the time of the next event, regardless of the deadlines of tasks.
    pub(crate) fn next_event(&self) -> Option<Instant> {
        let event = self.events.peek().map(|Reverse((at, ..))| Instant::from_nanos(*at));
        // A listed source may be ready, and is reported by a later poll.
        let later = (!self.listed.is_empty()).then(|| self.now + Duration::from_micros(1));
        [event, later].into_iter().flatten().min()
    }

    /// Lets a random time pass, at most the plan's longest pause divided by `share`.
    pub(crate) fn pass_some(&mut self, kernel: &mut Kernel<Limits>, share: u32) {
        let max_pause = self.plan.max_pause / share;
        let nanos = self.rng.between(0, max_pause);
        self.pass(kernel, nanos.into());
    }

    /// Lets this number of nanoseconds pass, and runs the events in that time.
    pub(crate) fn pass(&mut self, kernel: &mut Kernel<Limits>, nanos: u64) {
        let until = self.now.as_nanos().saturating_add(nanos);
        while let Some(Reverse((at, _, event))) = self.events.peek().copied()
            && at <= until
        {
            self.events.pop();
            self.now = self.now.max(Instant::from_nanos(at));
            match event {
                Event::Act(number) => self.act(number),
                Event::Job(job) => self.end_job(kernel, job),
                Event::Upstream(number) => self.upstream_acts(number),
            }
        }
        self.now = self.now.max(Instant::from_nanos(until));
    }

    /// Asks the service to stop.
    pub(crate) fn stop(&mut self) {
        if !self.is_to_stop {
            self.tell(|| "the service is to stop".to_owned());
            self.is_to_stop = true;
            self.serving.asked_at = self.now;
            self.serving.is_refused = false;
        }
    }
}

/// Lists the tasks, for a report.
pub(crate) fn tasks(kernel: &Kernel<Limits>) -> String {
    kernel.tasks().map(|task| format!("\n  {task}")).collect()
}
