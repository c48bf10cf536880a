//! The end: what was received is answered, in the time that there is.

use sinbin_core::driven::Event;
use sinbin_core::{Instant, SourceId};

use crate::caught::Caught;
use crate::guests::GuestFactory;
use crate::guests::input::handle;
use crate::guests::server::GuestServer;
use crate::guests::server::readiness::Attempt;
use crate::guests::source_table::Role;

/// How often the backlog is looked at: clients that keep coming must not keep the server from its end.
const LOOKS: u32 = 8;

impl<B: GuestFactory> GuestServer<B> {
    pub(super) fn check_stop(&mut self) {
        match self.draining {
            None if self.stopper.is_asked() => self.begin_drain(),
            None => {}
            // Input that was received before the end is answered: a look at the sources comes between the two.
            Some(end) if self.seen >= end => self.cut_off(),
            Some(_) => self.empty_backlog(),
        }
    }

    fn begin_drain(&mut self) {
        tracing::info!(connections = self.open, "draining: what was received is answered");
        self.draining = Some(self.now() + self.settings.drain_timeout);
        self.looks = LOOKS;
        self.nudges = self.places.of(&[Role::Connection]);
        self.empty_backlog();
    }

    /// Takes those in the backlog: what they have sent already is answered. Then the listeners are closed, and the guest
    /// is told.
    fn empty_backlog(&mut self) {
        if self.listeners.is_empty() {
            return;
        }
        let room = self.room;
        for index in 0..self.listeners.len() {
            self.accept_some(self.listeners[index]);
        }
        self.looks -= 1;
        if self.room < room && self.room > 0 && self.looks > 0 {
            return;
        }
        for listener in std::mem::take(&mut self.listeners) {
            self.sockets.remove(listener);
        }
        if self.instance.is_some() {
            self.input.events.push(Event::Stop);
        }
    }

    /// Something has changed for a connection: while the server drains, it is looked at again.
    pub(super) fn nudge_later(&mut self, source: SourceId) {
        if self.draining.is_some() {
            self.nudges.push(source);
        }
    }

    /// Receives for those that wait for requests, and tells those for whom nothing is there.
    pub(super) fn nudge(&mut self) {
        // Those for whom this turn has no room are looked at in the next one.
        while self.input.has_room(self.takes.block as usize) {
            let Some(source) = self.nudges.pop() else { break };
            let is_told = self.places.get(source).is_none_or(|place| place.told_idle);
            if !is_told && self.receive(source) == Attempt::WouldBlock {
                self.idle(source);
            }
        }
    }

    fn idle(&mut self, source: SourceId) {
        if let Some(place) = self.places.get(source) {
            place.told_idle = true;
            self.input.events.push(Event::Idle(handle(source)));
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
        drop(self.instance.take().map(Caught::new));
        self.input.clear();
        self.draining = Some(Instant::NEVER);
    }
}
