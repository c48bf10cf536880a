//! What the commands of this project have in common, `sinbin` and `sinbin-wasi`. Not for others: it changes as they do.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;

pub mod descriptors;
pub mod output;
pub mod replay;
pub mod signals;
pub mod span;

/// The levels of `--log`, from the least that is told to the most.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// Has logs go to stderr; what a program may want to read goes to stdout. `name` is the command's. A `level` that there
/// is none of is told, and ends the process as other wrong arguments do, with code 2; an empty one is that of a variable which
/// is set to nothing, and means `info`.
pub fn log(name: &str, level: &str) {
    let wanted = if level.is_empty() { "info" } else { level };
    let Some((_, filter)) = LEVELS.iter().find(|(known, _)| *known == wanted) else {
        eprintln!(
            "{name}: --log (or SINBIN_LOG) {level:?}: there is no such level; it takes error, warn, info, debug, trace or off"
        );
        std::process::exit(2);
    };
    tracing_subscriber::fmt()
        .with_max_level(*filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
