//! `sinbin-wasi run`: the preparation of a guest, and its run.

mod command;
mod driven;
mod together;

use std::error::Error as AnyError;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use sinbin::Place;
use sinbin_cli::size::Size;
use sinbin_cli::span::Span;
use sinbin_cli::{descriptors, output};
use sinbin_wasi::{Artefact, Error, GuestFactory, Names, Ticker, engine, is_program};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::several::NamedGuest;

/// The exit code if the drain timeout expired and connections were closed.
const CUT: u8 = 3;

/// The exit code of a guest that failed.
const FAILURE: u8 = 1;

/// The default CPU time of a turn of a guest that serves clients, which wait meanwhile, and of a program.
const TURN: Duration = Duration::from_secs(1);
const PROGRAM_TURN: Duration = Duration::from_secs(30);

/// The time limit that the timer is started with if turns have no limit. Jobs and WASI commands still need its ticks.
const PACE: Duration = Duration::from_millis(100);

/// The exit code of a guest, or the reason why it can't run.
type Ended = Result<u8, Box<dyn AnyError>>;

/// A guest that is ready to run: it listens, and its recording has begun.
struct Prepared {
    /// The places that its listeners were to be bound to, and those that they are bound to.
    places: Vec<(Place, Place)>,
    run: Box<dyn FnOnce() -> Ended>,
}

/// Runs the guests to their ends.
pub(crate) fn run(mut guests: Vec<NamedGuest>) -> Result<ExitCode, Box<dyn AnyError>> {
    share_descriptors(&mut guests);
    let engine = engine()?;
    let mut loaded = Vec::new();
    for guest in &guests {
        loaded.push((guest, guest.args.load.load(&guest.args.guest, &engine)?));
    }
    let paces = loaded.iter().map(|(guest, artefact)| pace(artefact, guest.args.turn_limit));
    let pace = paces.min().unwrap_or(PACE);
    for engine in engines(&loaded) {
        tick(engine, pace)?;
    }
    match &loaded[..] {
        [(guest, artefact)] => {
            let Prepared { places, run } = prepare(guest, artefact)?;
            for (asked, bound) in &places {
                output::listening(asked, bound)?;
            }
            run().map(ExitCode::from)
        }
        several => together::run(several),
    }
}

/// Returns each engine of the guests once. The guests of WASI 0.3 have another one than the others.
fn engines<'a>(loaded: &'a [(&NamedGuest, Artefact)]) -> Vec<&'a Engine> {
    let mut engines = Vec::<&Engine>::new();
    for (_, Artefact::Driven(component) | Artefact::Portable(component)) in loaded {
        if !engines.iter().any(|engine| Engine::same(engine, component.engine())) {
            engines.push(component.engine());
        }
    }
    engines
}

/// The number of descriptors of a guest beside those of its connections.
const LOOP: u64 = 16;

/// Raises the limit on descriptors as far as the guests need. If several guests may have more connections than descriptors,
/// limits the connections of each to its share, so that none can use up those of the others.
fn share_descriptors(guests: &mut [NamedGuest]) {
    let all: u64 = guests.iter().map(|guest| u64::from(guest.args.serving.max_connections)).sum();
    // Beside its connections, a guest has descriptors of its loop.
    let own = LOOP * guests.len().saturating_sub(1) as u64;
    let room = u64::from(descriptors::make_room_for(u32::try_from(all + own).unwrap_or(u32::MAX)));
    let room = room.saturating_sub(own);
    if room >= all || guests.len() < 2 {
        return;
    }
    for NamedGuest { args, name, .. } in guests {
        let connections = &mut args.serving.max_connections;
        let share = (u64::from(*connections) * room / all).max(1);
        *connections = u32::try_from(share).unwrap_or(u32::MAX);
        tracing::info!(guest = name, connections, "the guest gets a share of the connections");
    }
}

fn prepare(guest: &NamedGuest, artefact: &Artefact) -> Result<Prepared, Box<dyn AnyError>> {
    match artefact {
        Artefact::Driven(component) => driven::prepare(component, guest),
        Artefact::Portable(component) => command::prepare(component, guest),
    }
}

/// Creates the factory of a guest's instances.
pub(crate) fn factory(
    component: &Component,
    path: &Path,
    max_memory: Size,
    limit: Option<Span>,
) -> Result<GuestFactory, Error> {
    let factory = GuestFactory::new(component, max_memory.bytes(), turn_limit(component, limit))
        .map_err(|error| Error::World { path: path.to_owned(), what: format!("{error:#}") })?;
    Ok(factory.with_names(Names::beside(path)))
}

/// Returns the time limit of a turn, given --turn-limit.
fn turn_limit(component: &Component, limit: Option<Span>) -> Option<Duration> {
    let default = if is_program(component) { PROGRAM_TURN } else { TURN };
    limit.map_or(Some(default), |limit| limit.0)
}

/// Returns the time limit that the timer that interrupts the guest is started with.
pub(crate) fn pace(artefact: &Artefact, limit: Option<Span>) -> Duration {
    match artefact {
        Artefact::Driven(component) => turn_limit(component, limit).unwrap_or(PACE),
        Artefact::Portable(_) => PACE,
    }
}

/// Starts the timer that interrupts guests.
pub(crate) fn tick(engine: &Engine, limit: Duration) -> Result<Ticker, Error> {
    Ticker::start(engine, limit).map_err(|error| Error::TurnLimit { limit, error })
}

/// Adds advice about --max-memory to the error if the guest has too little memory to start.
pub(crate) fn with_memory(error: Box<dyn AnyError>, max_memory: Size) -> Box<dyn AnyError> {
    // Part of wasmtime's message if a memory exceeds its limit.
    if !error.to_string().contains("growing memory") {
        return error;
    }
    format!("{error}\n  the guest needs more than --max-memory, which is {max_memory}; give a larger one")
        .into()
}
