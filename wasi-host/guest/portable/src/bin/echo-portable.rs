//! The echo service as a WASI command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sinbin_portable::command(|arguments| sinbin_arguments::echo(arguments))
}
