//! Clients: their visits and their actions.

use std::cmp::Reverse;
use std::time::Duration;

use sinbin_core::{Instant, Service};

use crate::client_model::ClientModel;
use crate::peer::{Peer, Phase};
use crate::world::{Event, World};

impl<S: Service, T: ClientModel> World<S, T> {
    /// Begins a visit of a new client, in the slot of a former one if `number` has one.
    pub(crate) fn next_visit(&mut self, number: usize, client_model: T) {
        let peer = Peer::new(client_model, &self.plan, &mut self.rng);
        if number < self.peers.len() {
            self.peers[number] = peer;
        } else {
            self.peers.push(peer);
        }
        self.rouse(number);
    }

    pub(crate) fn connect(&mut self, number: usize) {
        self.peers[number].phase = Phase::Connected;
        self.peers[number].came_at = self.now;
        match self.listener {
            Some(listener) => {
                self.tell(|| format!("client {number} connects"));
                self.backlog.push_back(number);
                self.list(listener);
            }
            // Without a listener the connection is refused.
            None => {
                self.peers[number].reset = true;
                self.peers[number].closed = true;
            }
        }
    }

    /// Schedules an action of the client after a change on the server's side.
    pub(crate) fn rouse(&mut self, number: usize) {
        self.peers[number].note(self.now);
        if self.peers[number].is_scripted() {
            return self.after_the_server(number);
        }
        if !self.peers[number].is_scheduled {
            self.peers[number].is_scheduled = true;
            let after = u64::from(self.rng.between(1, 30_000));
            let asleep = self.peers[number].asleep_until.saturating_sub(self.now.as_nanos());
            self.schedule(after.max(asleep), Event::Act(number));
        }
    }

    /// Runs a scheduled action of the client.
    pub(crate) fn act(&mut self, number: usize) {
        let Self { plan, rng, peers, now, .. } = self;
        let peer = &mut peers[number];
        peer.is_scheduled = false;
        match peer.phase {
            Phase::Away => return self.connect_and_go_on(number),
            Phase::Over => return,
            Phase::Connected => {}
        }
        if peer.reset || peer.is_scripted() {
            return;
        }
        if rng.strikes(plan.faults.silence) {
            // The silence is mostly short, but at times longer than any timeout.
            let most = if rng.below(64) == 63 { 50_000_000 } else { 500_000 };
            let span = u64::from(rng.between(1, most));
            peer.asleep_until = now.as_nanos() + span;
            self.tell(|| format!("client {number} does nothing for {} µs", span / 1000));
            return self.rouse(number);
        }
        let (sent, got) = peer.act(plan, rng, now.as_nanos());
        let (reset, finished) = (peer.reset, peer.finished);
        if peer.has_something_to_do() {
            self.rouse(number);
        }
        if let Some(source) = self.peers[number].source {
            self.list(source);
        }
        self.story.add((sent as u64) << 32 | got as u64);
        self.tell(|| {
            let ends = if reset {
                ", and resets the connection"
            } else if finished {
                ", and half-closes"
            } else {
                ""
            };
            format!("client {number} sends {sent} bytes, receives {got}{ends}")
        });
        self.check_heard(number);
    }

    /// Lets time pass in the middle of a step, with the actions of clients in that time. Ends of jobs are reported
    /// after the step.
    pub(crate) fn pass_in_step(&mut self, span: Duration) {
        let until = self.now + span;
        let mut jobs = Vec::new();
        while let Some(Reverse((at, _, event))) = self.events.peek().copied()
            && at <= until.as_nanos()
        {
            let entry = self.events.pop();
            match event {
                Event::Act(number) => {
                    self.now = self.now.max(Instant::from_nanos(at));
                    self.act(number);
                }
                Event::Job(_) => jobs.extend(entry),
                Event::Upstream(number) => {
                    self.now = self.now.max(Instant::from_nanos(at));
                    self.upstream_acts(number);
                }
            }
        }
        self.events.extend(jobs);
        self.now = until;
    }

    fn connect_and_go_on(&mut self, number: usize) {
        self.connect(number);
        self.rouse(number);
    }
}
