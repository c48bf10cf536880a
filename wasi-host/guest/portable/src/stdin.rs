//! The request to stop: the end of stdin.

use wasi::cli::stdin::get_stdin;
use wasi::io::poll::Pollable;
use wasi::io::streams::InputStream;

/// Stdin, of which nothing but its end is of interest. The order of its fields is the order that they are dropped in.
pub(crate) struct Stdin {
    pub(crate) readable: Pollable,
    input: InputStream,
}

impl Stdin {
    pub(crate) fn open() -> Self {
        let input = get_stdin();
        Self { readable: input.subscribe(), input }
    }

    /// Reads it away. Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.input.read(4096).is_err()
    }
}
