//! The Fibonacci service as a WASI command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sinbin_portable::command(|arguments| sinbin_arguments::fib(arguments))
}
