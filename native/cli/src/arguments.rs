//! From the command line to the arguments of a command.

use std::ffi::OsStr;
use std::io;
use std::process::exit;

use clap::error::ErrorKind;
use clap::{Arg, Command, Error, Parser};

use crate::output::line_or_end;
use crate::signals::{outlive_full_files, unblock};
use crate::stream::ERR;
use crate::{is_coloured, panics};

/// Begins a command: reads its arguments, or ends the process as clap does where they are wrong or ask for help.
pub fn begin<C: Parser>() -> C {
    panics::report();
    // Where that fails nothing is worse than before.
    unblock().ok();
    // Logs may go to a file whose size is limited (`ulimit -f`). Where no handler can be set, those that are set later
    // fail too, and report it.
    outlive_full_files().ok();
    let mut command = without_empty_variables(C::command());
    let mut matches =
        command.try_get_matches_from_mut(std::env::args_os()).unwrap_or_else(|error| end(&error));
    C::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| end(&error.format(&mut command)))
}

/// Ends the process as wrong arguments do, where it takes more than the command line to see that they are wrong.
pub fn refuse<C: Parser>(what: &str) -> ! {
    end(&C::command().error(ErrorKind::ArgumentConflict, what))
}

/// Has clap ignore variables that are set to nothing, which it would take for a value.
fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let unset = |arg: Arg| if arg.get_env().is_some_and(is_empty) { arg.env(None) } else { arg };
    command.mut_args(unset).mut_subcommands(without_empty_variables)
}

/// Prints clap's message, and ends with its code. Help that can't be written is a failure; usage that can't be written
/// is not one more.
fn end(error: &Error) -> ! {
    let text = |is_coloured: bool| {
        let text = error.render();
        if is_coloured { text.ansi().to_string() } else { text.to_string() }
    };
    if error.use_stderr() {
        ERR.offer(text(is_coloured(&io::stderr())).as_bytes()).ok();
    } else {
        line_or_end(text(is_coloured(&io::stdout())).trim_end_matches('\n'));
    }
    exit(error.exit_code());
}
