//! The commands that look at running loops: `ps`, `tree`, `where`, `events`, `top` and `monitor`; and `kill` and `drain`,
//! which end their tasks.

pub(crate) mod args;
pub(crate) mod beside;
mod command;
mod describe;
mod drain;
mod event_trace;
mod events;
mod guest_stack;
mod json;
mod kill;
mod loops;
mod metrics;
mod monitor;
mod place;
mod rates;
mod samples;
mod stack;
mod table;
mod tasks;
mod top;
mod tree;
pub(crate) mod watch;

use std::error::Error;
use std::fmt::{self, Display};
use std::process::ExitCode;

use sinbin::observe::{ObserveError, Observed, loops_of};
use sinbin_cli::complain;

pub(crate) use args::{
    DrainArgs, EventsArgs, KillArgs, MonitorArgs, PlaceArgs, PsArgs, TopArgs, TreeArgs, WatchArgs,
};

/// The exit code if no loop can be looked at, because none runs or the process publishes none.
const NONE: u8 = 5;
/// The exit code if there is no such process.
const NO_PROCESS: u8 = 6;
/// The exit code if the process is another user's.
const NOT_PERMITTED: u8 = 7;
/// The exit code if the process is of another version.
const OTHER_VERSION: u8 = 8;

/// A command that looks at loops.
pub(crate) enum Look<'a> {
    Ps(&'a PsArgs),
    Tree(&'a TreeArgs),
    Place(&'a PlaceArgs),
    Events(&'a EventsArgs),
    Top(&'a TopArgs),
    Monitor(&'a MonitorArgs),
    Watch(&'a WatchArgs),
    Kill(&'a KillArgs),
    Drain(&'a DrainArgs),
}

pub(crate) fn run(look: &Look<'_>) -> Result<ExitCode, Box<dyn Error>> {
    let ended = match look {
        Look::Ps(args) => loops::run(args),
        Look::Tree(args) => tree::run(args),
        Look::Place(args) => place::run(args),
        Look::Events(args) => events::run(args),
        Look::Top(args) => top::run(args),
        Look::Monitor(args) => monitor::run(args),
        Look::Watch(args) => watch::run(args),
        Look::Kill(args) => kill::run(args),
        Look::Drain(args) => drain::run(args),
    };
    match ended {
        Ok(code) => Ok(code),
        Err(error) => match error.downcast_ref::<ObserveError>() {
            Some(reason) => {
                let code = code_of(reason);
                complain(reason);
                Ok(code)
            }
            None => match error.downcast_ref::<Nothing>() {
                Some(nothing) => {
                    complain(nothing);
                    Ok(ExitCode::from(NONE))
                }
                None => Err(error),
            },
        },
    }
}

fn code_of(error: &ObserveError) -> ExitCode {
    match error {
        ObserveError::NothingPublished(_) => ExitCode::from(NONE),
        ObserveError::NoProcess(_) => ExitCode::from(NO_PROCESS),
        ObserveError::NotPermitted { .. } => ExitCode::from(NOT_PERMITTED),
        ObserveError::OtherVersion { .. } => ExitCode::from(OTHER_VERSION),
        _ => ExitCode::FAILURE,
    }
}

/// Error returned when no loop runs that could be looked at.
#[derive(Debug)]
struct Nothing;

impl Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no service of sinbin runs here that this user may look at; see `sinbin serve --help`")
    }
}

impl Error for Nothing {}

/// Returns the loops of the processes.
fn loops(pids: &[u32]) -> Result<Vec<Observed>, ObserveError> {
    let mut all = Vec::new();
    for pid in pids {
        all.extend(loops_of(*pid)?);
    }
    Ok(all)
}
