//! The guests that the driver calls, implemented by wasm instances.

use sinbin::Instant;
use sinbin::driven::{Event, ServiceLimits, ServiceSettings, Tally, TurnOutput};
use sinbin::guests::{self, Fault, Guest};
use sinbin::observe::GuestTables;

use crate::contract;
use crate::convert;
use crate::error::{Error, fault};
use crate::instance::{GuestFactory, Instance};
use crate::jobs::SandboxedJobs;
use crate::names::Names;

/// An instance that serves.
pub struct Sandboxed {
    instance: Instance,
    /// The events of a turn, in the contract's types. The allocation is reused.
    events: Vec<contract::Event>,
    names: Names,
}

impl Guest for Sandboxed {
    fn turn(
        &mut self,
        now: Instant,
        window: u32,
        events: &[Event],
        input: &[u8],
    ) -> Result<TurnOutput, Fault> {
        self.events.clear();
        self.events.extend(events.iter().filter_map(|event| convert::event(*event)));
        let answer = self.instance.turn(now.as_nanos(), window, &self.events, input);
        answer.map(convert::answer).map_err(|error| fault(&error, &self.names))
    }

    fn counts(&mut self) -> Result<Tally, Fault> {
        self.instance.counts().map(convert::counts).map_err(|error| fault(&error, &self.names))
    }
}

impl guests::GuestFactory for GuestFactory {
    type Guest = Sandboxed;
    type JobRunner = SandboxedJobs;
    type Error = Error;

    fn start(&self, start: &ServiceSettings) -> Result<(Sandboxed, ServiceLimits), Error> {
        self.start_bounded(&convert::settings(start), start.max_jobs).map(|started| self.sandboxed(started))
    }

    fn start_published(
        &self,
        start: &ServiceSettings,
        tables: &GuestTables,
    ) -> Result<(Sandboxed, ServiceLimits), Error> {
        let started = GuestFactory::start_published(self, &convert::settings(start), start.max_jobs, tables);
        started.map(|started| self.sandboxed(started))
    }

    fn job_runner(&self) -> SandboxedJobs {
        SandboxedJobs::new(self.clone())
    }
}

impl GuestFactory {
    fn sandboxed(&self, (instance, limits): (Instance, contract::Limits)) -> (Sandboxed, ServiceLimits) {
        (Sandboxed { instance, events: Vec::new(), names: self.names().clone() }, convert::takes(limits))
    }
}
