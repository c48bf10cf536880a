//! The end: what was received is answered, in the time that there is.

use std::mem;

use sinbin::{Instant, SourceId};

use crate::contract::Event;
use crate::places::Role;
use crate::server::Server;

impl Server {
    pub(super) fn check_stop(&mut self) {
        match self.draining {
            None if self.stopper.is_asked() => self.begin_drain(),
            None => {}
            Some(end) if self.now() >= end => self.cut_off(),
            Some(_) => {}
        }
    }

    fn begin_drain(&mut self) {
        tracing::info!(connections = self.open, "draining: what was received is answered");
        let now = self.now();
        // Those in the backlog were received: what they have sent already is answered.
        for listener in mem::take(&mut self.listeners) {
            let before = self.room;
            self.accept_some(listener, now);
            if self.room < before && self.room > 0 {
                self.listeners.push(listener);
            } else {
                self.sockets.remove(listener);
            }
        }
        if self.listeners.is_empty() {
            self.draining = Some(now + self.settings.drain_timeout);
            if self.instance.is_some() {
                self.input.events.push(Event::Stop);
            }
        }
    }

    /// Receives for every connection that waits for requests, and tells those for whom nothing is there.
    pub(super) fn nudge(&mut self) {
        for source in self.places.of(&[Role::Connection]) {
            let is_told = self.places.get(source).is_none_or(|place| place.told_idle);
            if !is_told && self.receive(source) {
                self.idle(source);
            }
        }
    }

    fn idle(&mut self, source: SourceId) {
        if let Some(place) = self.places.get(source) {
            place.told_idle = true;
            self.input.events.push(Event::Idle(source.to_bits()));
        }
    }

    fn cut_off(&mut self) {
        let late = self.places.of(&[Role::Connection, Role::Closing]);
        if !late.is_empty() {
            tracing::warn!(connections = late.len(), "the time to drain is over: they are cut off");
        }
        self.cut += late.len();
        self.cancel_jobs();
        for source in late.into_iter().chain(self.places.of(&[Role::Lingering])) {
            self.free(source);
        }
        self.instance = None;
        self.input.clear();
        self.draining = Some(Instant::NEVER);
    }
}
