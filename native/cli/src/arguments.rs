//! The parsing of a command's arguments.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::exit;

use clap::error::ErrorKind;
use clap::{Arg, Command, Error, Parser};

use crate::output::line_or_end;
use crate::signals::{outlive_full_files, unblock};
use crate::stream::ERR;
use crate::{is_coloured, panics};

/// Starts a command: sets up the process and parses its arguments. Ends the process as clap does if the arguments are
/// wrong or ask for help.
pub fn begin<C: Parser>() -> C {
    begin_with(std::env::args_os())
}

/// Starts a command as [`begin`] does, with other arguments than those of the process. The first is the program's name.
pub fn begin_with<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> C {
    panics::report();
    // If this fails, the signals stay blocked as the parent process left them.
    unblock().ok();
    // The log may go to a file with a size limit (`ulimit -f`). If no handler can be set here, setting the later
    // handlers fails as well, and that error is reported.
    outlive_full_files().ok();
    parse(arguments)
}

/// Parses arguments, of which the first is the program's name. Ends the process as [`begin`] does.
pub fn parse<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> C {
    let mut command = without_empty_variables(C::command());
    let mut matches = command.try_get_matches_from_mut(arguments).unwrap_or_else(|error| end(&error));
    C::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| end(&error.format(&mut command)))
}

/// Ends the process as wrong arguments do, if more than the command line is needed to detect that they are wrong.
pub fn refuse<C: Parser>(what: &str) -> ! {
    end(&C::command().error(ErrorKind::ArgumentConflict, what))
}

/// Ends the process as [`refuse`] does, with the usage of a subcommand.
pub fn refuse_in<C: Parser>(subcommand: &str, what: &str) -> ! {
    let mut command = C::command();
    // The usage of a subcommand names the command, once it is built.
    command.build();
    let mut command = command.find_subcommand(subcommand).cloned().unwrap_or(command);
    end(&command.error(ErrorKind::ArgumentConflict, what))
}

/// Makes clap ignore empty environment variables, which it would otherwise parse as values.
fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let unset = |arg: Arg| if arg.get_env().is_some_and(is_empty) { arg.env(None) } else { arg };
    command.mut_args(unset).mut_subcommands(without_empty_variables)
}

/// Prints clap's message, and ends the process with clap's exit code. If help can't be written, the exit code is that
/// of a failure. If an error can't be written, the exit code stays the same.
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
