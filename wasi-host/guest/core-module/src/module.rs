//! The state that the exported functions share.

use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use sinbin_core::driven::{Computed, DEFAULT_MAX_JOBS, Driven, ServiceSettings, TurnOutput, compute};
use sinbin_core::fib::FibJob;
use sinbin_core::fib_service::Fib;
use sinbin_core::{Instant, Rest};

use crate::record::{self, AnswerRecord, Record};

/// The maximum number of connections: the tables for more of them might not fit into a 32-bit memory.
const MAX_CONNECTIONS: u32 = 1_000_000;

/// The service, the input of the next call, and the result of the last call.
pub(crate) struct Module {
    service: Option<Driven<Fib>>,
    input: Vec<u8>,
    events: Vec<Record>,
    answer: AnswerRecord,
    commands: Vec<Record>,
    output: Vec<u8>,
    /// The number of records that were not valid events.
    unknown: u64,
}

impl Module {
    pub(crate) const fn new() -> Self {
        Self {
            service: None,
            input: Vec::new(),
            events: Vec::new(),
            answer: AnswerRecord::NONE,
            commands: Vec::new(),
            output: Vec::new(),
            unknown: 0,
        }
    }

    pub(crate) fn input(&mut self, len: u32) -> usize {
        self.input = zeros(len, 0);
        address(&mut self.input, len)
    }

    pub(crate) fn events(&mut self, count: u32) -> usize {
        self.events = zeros(count, [0; 3]);
        address(&mut self.events, count)
    }

    pub(crate) fn start(&mut self, connections: u32, buffered: u32, computes: bool, slice: u32) -> usize {
        let made = match self.service {
            Some(_) => Err(String::from("the service is already started")),
            None if connections > MAX_CONNECTIONS => Err(String::from("the maximum is 1000000 connections")),
            None => arguments(&mem::take(&mut self.input)),
        };
        match made {
            Ok(service) => {
                let start = ServiceSettings {
                    arguments: Vec::new(),
                    max_connections: connections,
                    max_buffered: buffered,
                    computes,
                    slice,
                    max_jobs: DEFAULT_MAX_JOBS,
                };
                let (service, takes) = start.begin(service);
                self.service = Some(service);
                self.answers(0, takes.block, Vec::new())
            }
            Err(error) => self.answers(1, 0, error.into_bytes()),
        }
    }

    pub(crate) fn turn(&mut self, now: u64, window: u32) -> usize {
        let (events, input) = (mem::take(&mut self.events), mem::take(&mut self.input));
        let Self { service, unknown, .. } = self;
        let known = |record| {
            let event = record::event(record);
            *unknown += u64::from(event.is_none());
            event
        };
        let turn = match service {
            Some(service) => {
                let events = events.into_iter().filter_map(known);
                service.turn(Instant::from_nanos(now), window as usize, events, input)
            }
            None => TurnOutput { rest: Rest::Empty, room: 0, commands: Vec::new(), output: Vec::new() },
        };
        let (kind, deadline) = record::rest(turn.rest);
        self.commands = record::commands(turn.commands);
        self.answer.deadline = deadline;
        self.answers(kind, turn.room, turn.output)
    }

    pub(crate) fn compute(&mut self, budget: u32) -> usize {
        let job = mem::take(&mut self.input);
        self.commands = Vec::new();
        match compute::<FibJob>(&job, budget) {
            Computed::More(job) => self.answers(0, 0, job),
            Computed::Done(output) => self.answers(1, 0, output),
            Computed::Nonsense => self.answers(2, 0, Vec::new()),
        }
    }

    pub(crate) fn ignored(&self) -> u64 {
        self.unknown + self.service.as_ref().map_or(0, |service| service.counts().ignored)
    }

    fn answers(&mut self, kind: u32, room: u32, output: Vec<u8>) -> usize {
        self.output = output;
        (self.answer.kind, self.answer.room) = (kind, room);
        self.answer.point(&self.commands, &self.output);
        (&raw const self.answer).expose_provenance()
    }
}

/// Returns `count` zeros, or an empty vector if there is not enough memory.
fn zeros<T: Clone>(count: u32, zero: T) -> Vec<T> {
    let mut items = Vec::new();
    if items.try_reserve_exact(count as usize).is_ok() {
        items.resize(count as usize, zero);
    }
    items
}

/// Returns the address for the host to write to, or 0 if the allocation has failed.
fn address<T>(items: &mut [T], count: u32) -> usize {
    if items.len() == count as usize { items.as_mut_ptr().expose_provenance() } else { 0 }
}

/// Creates the service that the arguments describe.
fn arguments(bytes: &[u8]) -> Result<Fib, String> {
    let Ok(text) = str::from_utf8(bytes) else { return Err(String::from("the arguments are not UTF-8")) };
    sinbin_arguments::fib(text.split_terminator('\0'))
}
