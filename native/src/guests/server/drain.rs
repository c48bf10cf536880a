//! Draining: the requests received so far are answered within the drain timeout.

use sinbin_core::driven::Event;
use sinbin_core::{Instant, SourceId};

use crate::caught::Caught;
use crate::guests::GuestFactory;
use crate::guests::input::handle;
use crate::guests::server::GuestServer;
use crate::guests::server::readiness::Attempt;
use crate::guests::source_table::Role;

/// The maximum number of polls of the backlog, so that clients that keep connecting cannot delay the end.
const LOOKS: u32 = 8;

impl<B: GuestFactory> GuestServer<B> {
    pub(super) fn check_stop(&mut self) {
        match self.draining {
            None if self.stopper.is_asked() => self.begin_drain(),
            None => {}
            // Input received before the deadline is answered, because the sources are polled between the deadline and
            // this check.
            Some(end) if self.seen >= end => self.cut_off(),
            Some(_) => self.empty_backlog(),
        }
    }

    fn begin_drain(&mut self) {
        tracing::info!(connections = self.open, "draining: what was received is answered");
        self.draining = Some(self.now() + self.settings.drain_timeout);
        self.observer.draining();
        self.looks = LOOKS;
        self.nudges = self.places.of(&[Role::Connection]);
        if self.listeners.is_empty() {
            return self.tell_stop();
        }
        self.empty_backlog();
    }

    /// Accepts the connections in the backlog, because requests that they have already sent are answered. Then closes
    /// the listeners and notifies the guest.
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
        self.tell_stop();
    }

    fn tell_stop(&mut self) {
        if self.instance.is_some() {
            self.input.events.push(Event::Stop);
        }
    }

    /// Schedules another poll of a connection whose state has changed while the server drains.
    pub(super) fn nudge_later(&mut self, source: SourceId) {
        if self.draining.is_some() {
            self.nudges.push(source);
        }
    }

    /// Receives for connections that wait for requests, and notifies the guest of those that have no input.
    pub(super) fn nudge(&mut self) {
        // Connections for which this turn has no capacity are polled in the next one.
        while self.input.has_room(self.takes.block as usize) {
            let Some(source) = self.nudges.pop() else { break };
            let is_told = self.places.get(source).is_none_or(|place| place.told_idle);
            // The peer of a connection that the guest has requested may owe it an answer.
            if !is_told && self.receive(source) == Attempt::WouldBlock && !self.outgoing.has(source) {
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

    /// Returns the number of these connections that the guest has not requested itself.
    pub(super) fn of_clients(&self, connections: &[SourceId]) -> usize {
        connections.iter().filter(|connection| !self.outgoing.has(**connection)).count()
    }

    fn cut_off(&mut self) {
        let late = self.places.of(&[Role::Connection, Role::Closing]);
        if !late.is_empty() {
            tracing::warn!(connections = late.len(), "the time to drain is over: they are cut off");
        }
        let cut = self.of_clients(&late);
        self.observer.cut(cut);
        self.cut += cut;
        self.cancel_jobs();
        self.end_requests();
        for source in late.into_iter().chain(self.places.of(&[Role::Lingering])) {
            self.free(source);
        }
        drop(self.instance.take().map(Caught::new));
        self.input.clear();
        self.draining = Some(Instant::NEVER);
    }
}
