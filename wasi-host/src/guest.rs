//! Instances as guests of the driver.

use sinbin::Instant;
use sinbin::driven::{Answer, Counts, Event, Start, Takes};
use sinbin::guests::{self, Fault, Guest};

use crate::contract;
use crate::convert;
use crate::error::{Error, fault};
use crate::instance::{Blueprint, Instance};
use crate::jobs::Shop;

/// An instance that serves.
pub struct Sandboxed {
    instance: Instance,
    /// The events of a turn, as the contract has them: kept for its room.
    events: Vec<contract::Event>,
}

impl Guest for Sandboxed {
    fn turn(&mut self, now: Instant, window: u32, events: &[Event], input: &[u8]) -> Result<Answer, Fault> {
        self.events.clear();
        self.events.extend(events.iter().filter_map(|event| convert::event(*event)));
        let answer = self.instance.turn(now.as_nanos(), window, &self.events, input);
        answer.map(convert::answer).map_err(|error| fault(&error))
    }

    fn counts(&mut self) -> Result<Counts, Fault> {
        self.instance.counts().map(convert::counts).map_err(|error| fault(&error))
    }
}

impl guests::Blueprint for Blueprint {
    type Guest = Sandboxed;
    type Workshop = Shop;
    type Error = Error;

    fn start(&self, start: &Start) -> Result<(Sandboxed, Takes), Error> {
        let (instance, limits) = self.start_bounded(&convert::settings(start), start.max_jobs)?;
        Ok((Sandboxed { instance, events: Vec::new() }, convert::takes(limits)))
    }

    fn workshop(&self) -> Shop {
        Shop::new(self.clone())
    }
}
