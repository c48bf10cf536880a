//! The failure of a guest: it is reported, its connections are closed, and a fresh instance takes over its listeners.

use std::time::Duration;

use sinbin_core::driven::Event;
use sinbin_core::{Instant, Interest, Rest};

use crate::caught::{Caught, caught};
use crate::guests::GuestFactory;
use crate::guests::input::handle;
use crate::guests::server::GuestServer;
use crate::guests::settings::ProgramEnd;
use crate::guests::source_table::Role;
use crate::guests::surroundings::Surroundings;

impl<B: GuestFactory> GuestServer<B> {
    /// Drops the instance, and starts another one as soon as the limit of restarts permits.
    pub(super) fn fault(&mut self, why: &str, now: Instant) -> Rest {
        // A turn that did not return may have prevented the loop from noticing a request to stop.
        if self.draining.is_none() {
            self.check_stop();
        }
        tracing::error!(connections = self.open, "the guest failed, and its connections are closed: {why}");
        drop(self.instance.take().map(Caught::new));
        self.took = Duration::ZERO;
        self.clear();
        if self.is_program {
            // A program that is started again would do everything twice.
            self.program.end.get_or_insert(ProgramEnd::Failed);
            return Rest::Empty;
        }
        if self.draining.is_some() {
            return Rest::Empty;
        }
        self.restart_at = self.restarts.take(now);
        if self.restart_at > now {
            tracing::warn!(
                wait = ?self.restart_at.since(now),
                "the guest fails too often ({} times a minute are allowed); clients wait in the backlog",
                self.settings.max_restarts
            );
        }
        self.restart_if_due(now);
        Rest::Ready
    }

    /// Closes the guest's connections and cancels its jobs.
    fn clear(&mut self) {
        let connections = self.places.of(&[Role::Connection, Role::Closing]);
        if self.draining.is_some() {
            self.cut += self.of_clients(&connections);
        }
        for source in connections {
            self.free(source);
        }
        self.cancel_jobs();
        self.end_requests();
        self.close_requested_listeners();
        for listener in &self.listeners {
            if let Some(place) = self.places.get(*listener) {
                place.interest = Interest::NONE;
            }
        }
        self.again.clear();
        self.room = 0;
        self.input.clear();
    }

    /// Cancels all jobs.
    pub(super) fn cancel_jobs(&mut self) {
        if let Some(jobs) = &mut self.jobs {
            self.counts.cancelled += jobs.cancel_all();
        }
    }

    /// Starts another instance, if it is time.
    pub(super) fn restart_if_due(&mut self, now: Instant) {
        if self.restart_at > now || self.draining.is_some() {
            return;
        }
        let start = || self.factory.start_published(&self.start, &self.tables);
        let started = caught(|| start().map_err(|error| error.to_string()));
        match started.unwrap_or_else(|said| Err(format!("it panicked: {said}"))) {
            Ok((instance, takes)) => {
                self.instance = Some(instance);
                self.takes = takes;
                self.surroundings = Surroundings::new(takes.wants);
                self.restart_at = Instant::NEVER;
                self.restarted += 1;
                if let Some(recorder) = &mut self.recorder {
                    recorder.fresh(now);
                }
                for listener in &self.listeners {
                    self.input.events.push(Event::Listener(handle(*listener)));
                }
                tracing::info!("a fresh instance of the guest serves");
            }
            Err(error) => {
                tracing::error!("no fresh instance of the guest: {error}");
                self.restart_at = self.restarts.take(now).max(now + Duration::from_millis(100));
            }
        }
    }
}
