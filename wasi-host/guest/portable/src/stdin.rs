//! The request to stop: the end of stdin.

use wasi::cli::stdin::get_stdin;
use wasi::io::poll::Pollable;
use wasi::io::streams::InputStream;

/// Stdin, of which only the end matters. The fields are dropped in their order, so that the child is dropped first.
pub(crate) struct Stdin {
    pub(crate) readable: Pollable,
    input: InputStream,
}

impl Stdin {
    pub(crate) fn open() -> Self {
        let input = get_stdin();
        Self { readable: input.subscribe(), input }
    }

    /// Reads and discards bytes. Returns true if stdin has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.input.read(4096).is_err()
    }
}
