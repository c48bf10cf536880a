//! The run of several guests: each has a thread, and with it a loop of its own. The system divides the cores between them,
//! so that none waits for the turn of another.

use std::error::Error as AnyError;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Builder, ScopedJoinHandle};

use sinbin::Place;
use sinbin_cli::{complain, log, output};
use sinbin_wasi::Artefact;

use super::{FAILURE, Prepared, prepare};
use crate::several::NamedGuest;

/// The size of the stack of a guest's thread, which is that of a main thread.
const STACK: usize = 8 << 20;

/// The places of the listeners of a guest that is prepared, or the reason why it can't run.
type Report = Result<Vec<(Place, Place)>, String>;

/// A guest's thread, which waits until it may run the guest.
struct Starting<'scope> {
    thread: ScopedJoinHandle<'scope, u8>,
    start: SyncSender<()>,
}

/// Prepares all guests, and then runs them to their ends. The exit code is that of the first guest whose code is not 0.
pub(super) fn run(guests: &[(&NamedGuest, Artefact)]) -> Result<ExitCode, Box<dyn AnyError>> {
    thread::scope(|scope| {
        let (mut starting, mut listening) = (Vec::new(), Vec::new());
        for (guest, artefact) in guests {
            let (reporter, report) = sync_channel(1);
            let (start, started) = sync_channel(1);
            let thread = Builder::new().name(guest.name.clone()).stack_size(STACK);
            let thread = thread.spawn_scoped(scope, move || run_one(guest, artefact, &reporter, &started))?;
            starting.push(Starting { thread, start });
            // If this guest can't run, the threads of the others end when their senders are dropped.
            let report = report.recv().unwrap_or_else(|_| Err("its thread has panicked".to_owned()));
            let places = report.map_err(|what| format!("{}: {what}", guest.name))?;
            listening.extend(places.into_iter().map(|place| (guest, place)));
        }
        for (guest, (asked, bound)) in listening {
            output::guest_listening(&guest.name, &asked, &bound)?;
        }
        let threads: Vec<_> = starting.into_iter().map(Starting::start).collect();
        let codes = threads.into_iter().map(|thread| thread.join().unwrap_or(FAILURE));
        // All of them are joined, whatever the first code is.
        let codes: Vec<_> = codes.collect();
        Ok(codes.into_iter().find(|code| *code != 0).unwrap_or(0).into())
    })
}

impl<'scope> Starting<'scope> {
    fn start(self) -> ScopedJoinHandle<'scope, u8> {
        // A thread that has panicked needs no start.
        self.start.send(()).ok();
        self.thread
    }
}

/// Prepares a guest, reports that, and runs the guest if the others are ready as well. Returns its exit code.
fn run_one(
    guest: &NamedGuest,
    artefact: &Artefact,
    reporter: &SyncSender<Report>,
    started: &Receiver<()>,
) -> u8 {
    log::name_guest(&guest.name);
    let run = match prepare(guest, artefact) {
        Ok(Prepared { places, run }) => {
            reporter.send(Ok(places)).ok();
            run
        }
        Err(error) => {
            reporter.send(Err(error.to_string())).ok();
            return FAILURE;
        }
    };
    if started.recv().is_err() {
        return FAILURE;
    }
    match run() {
        Ok(0) => {
            tracing::debug!("the guest has ended");
            0
        }
        Ok(code) => {
            tracing::warn!(code, "the guest has ended with this code");
            code
        }
        Err(error) => {
            complain(format_args!("{}: {error}", guest.name));
            FAILURE
        }
    }
}
