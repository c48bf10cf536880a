//! The guests that the driver calls, implemented by wasm instances.

use sinbin::Instant;
use sinbin::driven::{Command, Event, ServiceLimits, ServiceSettings, Tally, TurnOutput};
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
        let mut answer = answer.map(convert::answer).map_err(|error| fault(&error, &self.names))?;
        if self.instance.is_program() {
            self.print(&mut answer)?;
        }
        Ok(answer)
    }

    fn counts(&mut self) -> Result<Tally, Fault> {
        self.instance.counts().map(convert::counts).map_err(|error| fault(&error, &self.names))
    }

    fn is_program(&self) -> bool {
        self.instance.is_program()
    }

    fn exit_code(&mut self) -> Result<u8, Fault> {
        self.instance.exit_code().map_err(|error| fault(&error, &self.names))
    }
}

impl Sandboxed {
    /// Adds what a program has written in the turn to the answer, so that a recording covers it.
    fn print(&mut self, answer: &mut TurnOutput) -> Result<(), Fault> {
        let mut written = self.instance.output().map_err(|error| fault(&error, &self.names))?;
        if let Ok(len @ 1..) = u32::try_from(written.len()) {
            // First, because the lengths of the other commands can be wrong.
            answer.commands.insert(0, Command::Print { len });
            written.append(&mut answer.output);
            answer.output = written;
        }
        Ok(())
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
