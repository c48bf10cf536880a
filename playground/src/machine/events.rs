//! Time and what happens in it: clients act, jobs end, and the loop learns of that in a poll.

use std::cmp::Reverse;
use std::time::Duration;

use sinbin_core::{Instant, Interest, Kernel, Limits, Readiness, SourceId, TaskId, WakeReason};

use crate::frame::Kind;
use crate::machine::clients::Stage;
use crate::machine::{Event, Machine, Peer};

impl Machine<'_> {
    /// Returns the time of the next event.
    pub(crate) fn next_event(&self) -> Instant {
        self.events.peek().map_or(Instant::NEVER, |Reverse((at, ..))| *at)
    }

    /// Lets a span of time pass, with the events of clients in it. Jobs that end are reported after the step.
    pub(super) fn pass(&mut self, kernel: &Kernel<Limits>, span: Duration, runs: Option<TaskId>) {
        let until = self.now + span;
        let mut later = Vec::new();
        while self.next_event() <= until
            && let Some(Reverse((at, number, event))) = self.events.pop()
        {
            if matches!(event, Event::Job(_)) {
                later.push(Reverse((at, number, event)));
                continue;
            }
            self.now = self.now.max(at);
            let caption = self.happen(event);
            if let Some(caption) = caption {
                self.note(kernel, Kind::Event, caption, runs);
            }
        }
        self.events.extend(later);
        self.now = self.now.max(until);
    }

    /// Lets everything happen that is due, and time pass until then if the loop rests.
    pub(crate) fn happen_until(&mut self, kernel: &mut Kernel<Limits>, until: Instant) {
        self.now = self.now.max(until);
        let now = self.now;
        while self.next_event() <= now
            && let Some(Reverse((_, _, event))) = self.events.pop()
        {
            if let Event::Job(job) = event {
                let Some((worker, done)) = self.jobs.finish(job) else { continue };
                kernel.job_done(job);
                self.begin_jobs(Duration::ZERO);
                let caption = format!("Worker {worker} has computed fib({}), job {job}", done.n);
                self.note(kernel, Kind::Event, caption, None);
                continue;
            }
            if let Some(caption) = self.happen(event) {
                self.note(kernel, Kind::Event, caption, None);
            }
        }
    }

    /// Lets free workers begin jobs that wait.
    pub(super) fn begin_jobs(&mut self, after: Duration) {
        while let Some((id, end)) = self.jobs.begin(self.now + after) {
            self.schedule(end.since(self.now), Event::Job(id));
        }
    }

    /// Lets a client act. Returns what it does.
    fn happen(&mut self, event: Event) -> Option<String> {
        let (number, now) = match event {
            Event::Arrive(number) | Event::Ask(number) | Event::Read(number) => (number, self.now),
            Event::Job(_) => return None,
        };
        let client = self.client(number)?;
        if client.is_gone() {
            return None;
        }
        if client.is_cut {
            client.held.push(event);
            return None;
        }
        let deed = match event {
            Event::Arrive(_) => self.arrive(number),
            Event::Ask(_) => client.ask(now),
            _ => self.read(number),
        };
        Some(format!("Client {number} {deed}"))
    }

    fn arrive(&mut self, number: usize) -> String {
        if let Some(client) = self.client(number) {
            client.stage = Stage::Backlog;
        }
        self.backlog.push_back(number);
        let delay = self.world.between(100, 900);
        self.schedule(delay, Event::Ask(number));
        "connects".to_owned()
    }

    fn read(&mut self, number: usize) -> String {
        let now = self.now;
        let Some(client) = self.client(number) else { return String::new() };
        client.will_read = false;
        let (deed, is_complete) = client.read(now);
        let (least, most) = client.pause;
        let is_left = !client.outbox.is_empty() || (client.is_closed && !client.is_gone());
        if is_complete {
            let pause = self.world.between(least, most);
            self.schedule(pause, Event::Ask(number));
        }
        if is_left {
            self.let_read(number);
        }
        deed
    }

    /// Computes a slice of a job, if there is one.
    pub(crate) fn compute(&mut self, kernel: &mut Kernel<Limits>) -> bool {
        if !self.jobs.is_busy() {
            return false;
        }
        let slice = self.jobs.slice();
        self.pass(kernel, slice.span, None);
        if let Some(job) = slice.done {
            kernel.job_done(job);
        }
        self.note(kernel, Kind::Compute, format!("The loop computes a slice of {}", slice.text), None);
        true
    }

    /// Reports to the kernel which sources are ready, in an order that the seed decides.
    pub(crate) fn poll(&mut self, kernel: &mut Kernel<Limits>) {
        while let Some((source, interest)) = kernel.next_change() {
            if let Some(socket) = self.sources.get_mut(&source) {
                socket.watched = interest;
            }
        }
        let mut ready: Vec<(SourceId, Readiness)> = Vec::new();
        for (source, socket) in &self.sources {
            let is_ready = self.readiness(socket.peer) & socket.watched;
            if !is_ready.is_empty() {
                ready.push((*source, is_ready));
            }
        }
        let mut found = Vec::new();
        while !ready.is_empty() {
            let (source, is_ready) = ready.swap_remove(self.world.below(ready.len()));
            let queued = kernel.queue().count();
            kernel.ready(source, is_ready);
            if kernel.queue().count() > queued {
                found.push(self.found(source, is_ready));
            }
        }
        if !found.is_empty() {
            self.note(kernel, Kind::Poll, format!("The loop polls: {}", found.join(", ")), None);
        }
    }

    fn found(&self, source: SourceId, is_ready: Readiness) -> String {
        match self.sources.get(&source).map(|socket| socket.peer) {
            Some(Peer::Client(number)) if is_ready.contains(Interest::SEND) => {
                format!("client {number} can be sent to")
            }
            Some(Peer::Client(number)) => format!("client {number} can be received from"),
            _ => "a connection can be accepted".to_owned(),
        }
    }

    fn readiness(&self, peer: Peer) -> Readiness {
        match peer {
            Peer::Backlog if self.backlog.is_empty() => Interest::NONE,
            Peer::Backlog => Interest::RECV,
            Peer::Client(number) => {
                self.clients.get(number - 1).map_or(Interest::NONE, super::clients::Client::readiness)
            }
        }
    }

    /// Records that deadlines have expired, before the first step of a turn.
    pub(super) fn record_timeouts(&mut self, kernel: &Kernel<Limits>) {
        if !std::mem::take(&mut self.is_first_step) {
            return;
        }
        let late = kernel.queue().filter(|task| kernel.wake_reason(*task) == Some(WakeReason::TimedOut));
        let late: Vec<_> = late.map(|task| self.name(task)).collect();
        if !late.is_empty() {
            let caption = format!("The time of {} has come", late.join(" and "));
            self.note(kernel, Kind::Poll, caption, None);
        }
    }

    /// Records the last step of a turn.
    pub(crate) fn end_turn(&mut self, kernel: &Kernel<Limits>) {
        self.record_step(kernel);
        self.is_first_step = true;
    }

    /// Cancels the tasks that the visitor has chosen. Returns true if there were any.
    pub(crate) fn cancel_tasks(&mut self, kernel: &mut Kernel<Limits>) -> bool {
        let tasks = std::mem::take(&mut self.to_cancel);
        for task in &tasks {
            let name = self.name(*task);
            let words = if kernel.cancel(*task) { "is cancelled" } else { "does not exist" };
            self.note(kernel, Kind::Poll, format!("{name} {words}"), None);
        }
        !tasks.is_empty()
    }
}
