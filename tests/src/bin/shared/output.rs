//! Output to stdout, shared by the commands of this package.

use std::io::{ErrorKind, Write, stdout};
use std::process::exit;

/// Prints `text` and flushes stdout. Returns false if no reader is left. Any other error, such as a full disk, is
/// reported in the name of `command` and ends the process.
pub(crate) fn say(command: &str, text: &str) -> bool {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => {
            // Stderr may be closed too.
            writeln!(std::io::stderr(), "{command}: cannot write to stdout: {error}").ok();
            exit(1);
        }
    }
}
