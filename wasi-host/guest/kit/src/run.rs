//! Loops behind one interface, whatever the service.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use sinbin_core::driven::{self, Compute, Computed, Driven, Shell};
use sinbin_core::task::{AsyncService, Conn, Door, Loop, NoWakers, Pool};
use sinbin_core::{Instant, Limits, Service, Task as CoreTask, WireJob};

use crate::bindings::exports::sinbin::service::guest::{
    Answer, Event, Limits as Takes, Progress, Settings, Tally,
};
use crate::convert;

/// What a connection reads at once, and the most that it keeps.
const BLOCK: usize = 16 * 1024;

/// Connections that one service can have, whatever the host says.
const MAX_CONNECTIONS: u32 = 1_000_000;

/// Listeners that one service can have.
const MAX_LISTENERS: usize = 64;

/// A started service.
pub trait Run {
    /// Runs a turn.
    fn turn(&mut self, now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer;

    /// What was counted.
    fn counts(&self) -> Tally;
}

impl<S> Run for Driven<S>
where
    S: Service<Conn: CoreTask<Shell<S>>, Job: WireJob>,
{
    fn turn(&mut self, now: u64, window: u32, events: Vec<Event>, input: Vec<u8>) -> Answer {
        let events = events.into_iter().map(convert::event);
        convert::answer(Driven::turn(self, Instant::from_nanos(now), window as usize, events, input))
    }

    fn counts(&self) -> Tally {
        let driven::Counts { jobs, cancelled, ignored } = Driven::counts(self);
        Tally { jobs, cancelled, ignored }
    }
}

/// Starts a service that is a state machine.
#[must_use]
pub fn machine<S>(service: S, settings: &Settings) -> (Box<dyn Run>, Takes)
where
    S: Service<Conn: CoreTask<Shell<S>>, Job: WireJob> + 'static,
{
    let run = Driven::new(service, &limits(settings), compute_for(settings)).with_listeners(MAX_LISTENERS);
    (Box::new(run), takes(settings))
}

/// Starts a service that is an `async fn`.
///
/// # Errors
///
/// When it is given arguments: it has none.
pub fn tasks<M, F>(serve: M, settings: &Settings) -> Result<(Box<dyn Run>, Takes), String>
where
    M: Fn(Conn<'static>) -> F + 'static,
    F: Future + 'static,
{
    if let Some(argument) = settings.arguments.first() {
        let mut error = String::from("this service has no arguments: ");
        error.push_str(argument);
        return Err(error);
    }
    // They live as long as the instance.
    let on = Loop::new(Box::leak(Box::new(Door::new(&NoWakers))));
    let pool = Box::leak(Box::new(Pool::growing(connections(settings))));
    let service = AsyncService::new(on, core::pin::Pin::static_ref(pool), serve);
    let run = Driven::new(service, &limits(settings), compute_for(settings)).with_listeners(MAX_LISTENERS);
    Ok((Box::new(run), takes(settings)))
}

/// Computes a slice of a job.
#[must_use]
pub fn compute<J: WireJob>(job: &[u8], budget: u32) -> Progress {
    match driven::compute::<J>(job, budget) {
        Computed::More(job) => Progress::More(job),
        Computed::Done(output) => Progress::Done(output),
        Computed::Nonsense => Progress::Nonsense,
    }
}

fn limits(settings: &Settings) -> Limits {
    let tasks = connections(settings) as usize + MAX_LISTENERS;
    Limits::new(tasks, settings.max_buffered as usize / BLOCK, BLOCK)
}

fn connections(settings: &Settings) -> u32 {
    settings.max_connections.min(MAX_CONNECTIONS)
}

fn compute_for(settings: &Settings) -> Compute {
    match settings.computes {
        true => Compute::Driver { slice: settings.slice },
        false => Compute::Here { slice: settings.slice },
    }
}

fn takes(settings: &Settings) -> Takes {
    Takes { connections: connections(settings), block: u32::try_from(BLOCK).unwrap_or(u32::MAX) }
}
