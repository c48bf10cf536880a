//! The programs with sinbin that are no examples of it.

mod group;
mod hello;
mod publish;
mod tls_echo;

use crate::MainError;

/// Runs a program, a server until Ctrl-C.
pub(crate) fn run(program: &str, arguments: &[String]) -> Result<(), MainError> {
    match program {
        "group" => group::main(arguments),
        "hello" => hello::main(arguments),
        "publish" => publish::main(arguments),
        "tls-echo" => tls_echo::main(arguments),
        _ => Err(format!("no program `{program}` with sinbin").into()),
    }
}

/// Returns the address at `index`, or a free port.
fn address(arguments: &[String], index: usize) -> &str {
    arguments.get(index).map_or("127.0.0.1:0", String::as_str)
}
