//! Listeners that a guest requests, without regard for its host.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sinbin::driven::{
    Command, Computed, ConnectError, ConnectId, Event, ServiceLimits, ServiceSettings, Tally, TurnOutput,
    Wants,
};
use sinbin::guests::{
    Fault, Guest, GuestFactory, GuestServer, GuestSettings, GuestSummary, JobRunner, LIMIT,
};
use sinbin::{Instant, JobId, Rest};

/// The text of a request for a listener.
const LISTEN: &str = "listen:127.0.0.1:0";

/// The answers that a guest has received.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Told {
    listeners: usize,
    /// The requests that failed since the host has no capacity.
    refused: usize,
    results: usize,
}

/// A guest that requests `requests` listeners in each turn, by these numbers, and closes those that it gets. In each turn it
/// also submits a job whose result fills the input of a turn, until it has ten results.
#[derive(Clone)]
struct Greedy {
    requests: Vec<u64>,
    turns: usize,
    told: Rc<Cell<Told>>,
}

impl Guest for Greedy {
    fn turn(&mut self, _: Instant, _: u32, events: &[Event], _: &[u8]) -> Result<TurnOutput, Fault> {
        let (mut commands, mut output) = (Vec::new(), Vec::new());
        let mut told = self.told.get();
        for event in events {
            match *event {
                Event::Connected { source, .. } => {
                    told.listeners += 1;
                    commands.push(Command::Close(source));
                }
                Event::ConnectFailed { reason, .. } => {
                    assert_eq!(reason, ConnectError::NoRoom);
                    told.refused += 1;
                }
                Event::Computed { .. } => told.results += 1,
                _ => {}
            }
        }
        self.told.set(told);
        let is_over = told.results >= 10;
        if !is_over {
            for number in &self.requests {
                // The numbers of a turn are not those of the turn before, which may not be answered.
                let request = ConnectId(number + 1000 * self.turns as u64);
                output.extend_from_slice(LISTEN.as_bytes());
                commands.push(Command::Connect { request, len: 18 });
            }
            output.push(0);
            commands.push(Command::Submit { job: JobId::from_bits(self.turns as u64), len: 1 });
            self.turns += 1;
        }
        let rest = if is_over { Rest::Empty } else { Rest::Until(Instant::NEVER) };
        Ok(TurnOutput { rest, room: 0, commands, output })
    }

    fn counts(&mut self) -> Result<Tally, Fault> {
        Ok(Tally::default())
    }
}

impl GuestFactory for Greedy {
    type Guest = Self;
    type JobRunner = Fills;
    type Error = sinbin::Error;

    fn start(&self, start: &ServiceSettings) -> Result<(Self, ServiceLimits), sinbin::Error> {
        let wants = Wants::default();
        Ok((self.clone(), ServiceLimits { connections: start.max_connections, block: 4096, wants }))
    }

    fn job_runner(&self) -> Fills {
        Fills
    }
}

/// Computes results that fill the input of a turn.
#[derive(Clone)]
struct Fills;

impl JobRunner for Fills {
    fn compute(&self, _: &[u8], _: u32, _: &Arc<AtomicBool>) -> Result<Computed, Fault> {
        Ok(Computed::Done(vec![0; LIMIT]))
    }
}

/// Runs a guest that requests listeners by these numbers in each turn.
fn request(requests: Vec<u64>) -> (Told, GuestSummary) {
    let told = Rc::new(Cell::new(Told::default()));
    let guest = Greedy { requests, turns: 0, told: Rc::clone(&told) };
    let mut settings = GuestSettings::default();
    settings.workers = 1;
    settings.allow_listen = vec!["127.0.0.1:*".parse().expect("a permission")];
    let summary = GuestServer::new(guest, &settings).expect("a poller").run().expect("it runs");
    (told.get(), summary)
}

/// The address of a listener needs capacity in the input of a turn. A result that fills the input goes before it.
#[test]
fn a_listener_waits_for_a_turn_with_capacity() {
    let (told, summary) = request(vec![0]);
    assert_eq!((told.results, told.refused, summary.restarts), (10, 0, 0));
    assert!(told.listeners > 0, "{told:?}");
}

#[test]
fn the_attempts_of_a_turn_are_limited() {
    let (told, summary) = request((0..200).collect());
    assert_eq!((told.results, summary.restarts, summary.ignored), (10, 0, 0));
    assert!(told.listeners > 0 && told.refused >= 136, "{told:?}");
}

#[test]
fn a_number_that_is_used_twice_is_ignored() {
    let (told, summary) = request(vec![7, 7]);
    assert!(summary.ignored > 0 && summary.restarts == 0, "{told:?}");
}
