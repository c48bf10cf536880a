//! What goes to stdout, of the commands of this package.

use std::io::{ErrorKind, Write, stdout};
use std::process::exit;

/// Prints `text` at once; whether somebody reads that. What can't be written for another reason, such as a full disk, is
/// told in `command`'s name and ends it.
pub(crate) fn say(command: &str, text: &str) -> bool {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => {
            // Nobody may read that either.
            writeln!(std::io::stderr(), "{command}: cannot write to stdout: {error}").ok();
            exit(1);
        }
    }
}
