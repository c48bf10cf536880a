//! Programs in two forms, for the benchmark: `twins SIDE PROGRAM [ARGUMENT…]`, where SIDE is `tokio` or `sinbin`.
//!
//! `tokio` has programs of the gallery (`native/examples`), written as a user of tokio would. What does not wait is the
//! same file in both, so that they differ in their waits only. `sinbin` has those that are no examples. Each
//! server prints `listening on ADDRESS`, and serves until Ctrl-C.

extern crate alloc;

mod pem;
mod sinbin;
mod tokio;

use std::error::Error;

type MainError = Box<dyn Error>;

fn main() -> Result<(), MainError> {
    let mut arguments = std::env::args().skip(1);
    let (side, program) = (arguments.next(), arguments.next());
    let arguments: Vec<String> = arguments.collect();
    match (side.as_deref(), program.as_deref()) {
        (Some("sinbin"), Some(program)) => sinbin::run(program, &arguments),
        (Some("tokio"), Some(program)) => tokio::run(program, &arguments),
        _ => Err("usage: twins tokio|sinbin PROGRAM [ARGUMENT…]".into()),
    }
}

/// Returns the argument at `index`, or an error that names it.
fn argument<'a>(arguments: &'a [String], index: usize, name: &str) -> Result<&'a str, MainError> {
    let argument = arguments.get(index).ok_or_else(|| format!("the argument {name} is missing"))?;
    Ok(argument)
}
