//! `wasi:cli`: stdin, stdout, stderr, and whether these are terminals.

use std::sync::Arc;
use std::time::Duration;

use sinbin::Instant;
use wasmtime::component::Resource;
use wasmtime::{Error, Result};
use wasmtime_wasi::p2::bindings::cli::{
    stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::bindings::sync::io::streams::{InputStream, OutputStream};
use wasmtime_wasi::p2::{StreamError, StreamResult};

use super::Guest;
use super::io::Io;
use super::output::{Lines, Output, failed};
use super::poll::Pollable;
use super::slots::Slots;
use super::sources::{Kind, STDOUT, Source, handle};
use super::stdin::Input;
use super::stream::SMALL;
use super::streams::{input_of, standard};

/// The interval at which the capacity of a stdout that can't be watched is checked.
const LATE: Duration = Duration::from_millis(20);

/// Stdout or stderr.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    Out,
    Err,
}

impl Which {
    /// Returns the name of the stream.
    const fn name(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// The standard streams of a guest.
pub(super) struct Stdio {
    /// The input, until the guest first asks for stdin.
    input: Option<Input>,
    is_terminal: bool,
    /// The source of stdin.
    source: Option<u32>,
    output: Arc<dyn Output>,
    lines: Lines,
    /// The guest's handles of stdout and stderr. Each has its own permit.
    handles: Slots<Handle>,
    /// True if stdout is watched, and false if that is not possible. `None` until it first had no capacity.
    is_watched: Option<bool>,
}

struct Handle {
    which: Which,
    /// The number of bytes that the guest may write before it has to check the capacity again.
    permit: usize,
}

impl Stdio {
    pub(super) fn new(input: Option<Input>, output: Arc<dyn Output>, lines: Lines) -> Self {
        let is_terminal = input.as_ref().is_some_and(Input::is_terminal);
        let handles = Slots::new();
        Self { input, is_terminal, source: None, output, lines, handles, is_watched: None }
    }

    /// Returns true if a write to stdout would have a result.
    pub(super) fn has_room(&self) -> bool {
        !matches!(self.output.has_room(), Ok(false))
    }

    /// Returns true if the input is a terminal.
    pub(super) fn is_input_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Returns true if the destination of stdout is a terminal.
    pub(super) fn is_output_terminal(&self) -> bool {
        self.output.is_terminal()
    }

    pub(super) fn which(&self, index: u32) -> Option<Which> {
        self.handles.at(index).map(|handle| handle.which)
    }

    /// Returns the number of bytes that the guest may write by this handle.
    ///
    /// # Errors
    ///
    /// Fails if no more can be written to stdout.
    pub(super) fn check(&mut self, index: u32) -> StreamResult<usize> {
        let handle = self.handles.at_mut(index).ok_or(StreamError::Closed)?;
        let has_room = match handle.which {
            Which::Out => self.output.has_room().map_err(failed)?,
            Which::Err => true,
        };
        handle.permit = if has_room { SMALL } else { 0 };
        Ok(handle.permit)
    }

    /// Writes bytes, whose number must have been permitted.
    ///
    /// # Errors
    ///
    /// Fails if no more can be written to stdout. Traps if the guest writes more than was permitted.
    pub(super) fn write(&mut self, index: u32, bytes: &[u8]) -> StreamResult<()> {
        let handle = self.handles.at_mut(index).ok_or(StreamError::Closed)?;
        let Some(left) = handle.permit.checked_sub(bytes.len()) else {
            let name = handle.which.name();
            let trap = format!("the guest wrote more to {name} than it was permitted to");
            return Err(StreamError::trap(&trap));
        };
        handle.permit = left;
        match handle.which {
            Which::Out => self.output.push(bytes).map_err(failed),
            Which::Err => {
                self.lines.add(bytes);
                Ok(())
            }
        }
    }

    pub(super) fn close(&mut self, index: u32) {
        self.handles.remove(index);
    }
}

impl Io {
    /// Creates a handle of stdout or stderr.
    pub(super) fn open_standard(&mut self, which: Which) -> Result<u32> {
        self.count(1)?;
        let place = self.stdio.handles.insert(Handle { which, permit: 0 });
        place.map(|place| place.index).ok_or_else(|| Error::msg("there are too many streams"))
    }

    /// Counts a handle of stdin, and returns the index of its source.
    pub(super) fn stdin(&mut self) -> Result<u32> {
        self.count(1)?;
        if let Some(index) = self.stdio.source {
            return Ok(index);
        }
        let input = match self.stdio.input.take() {
            Some(input) => input,
            // The socket that requests the guest to stop has no other bytes, and ends then.
            None => Input::new(self.stop_socket().try_clone()?),
        };
        let (descriptor, mut stdin) = input.into_parts();
        stdin.has_ended = self.is_stopping;
        let index = self.insert(Source::new(descriptor, handle::SOCKET, Kind::Stdin(stdin)))?;
        self.watch(index)?;
        self.stdio.source = Some(index);
        Ok(index)
    }

    /// Returns the time at which the capacity of stdout has to be checked again. From the first call on, stdout is
    /// watched, if that is possible, and the time is never.
    pub(super) fn deadline_of_stdout(&mut self) -> Instant {
        if self.stdio.is_watched == Some(true) {
            return Instant::NEVER;
        }
        if self.stdio.is_watched.is_none() {
            let output = Arc::clone(&self.stdio.output);
            let is_watched = output.descriptor().is_some_and(|stdout| self.watch_other(stdout, STDOUT));
            self.stdio.is_watched = Some(is_watched);
            // The capacity may have changed since it was checked.
            return self.now();
        }
        self.now() + LATE
    }

    /// Waits until a write to stdout may have a result.
    pub(super) fn wait_for_stdout(&mut self) -> Result<()> {
        while !self.stdio.has_room() {
            let deadline = self.deadline_of_stdout();
            self.wait_for_any(deadline, 1, |_, _| Some(Pollable::Stdout))?;
        }
        self.end_wait();
        Ok(())
    }
}

impl stdin::Host for Guest {
    fn get_stdin(&mut self) -> Result<Resource<InputStream>> {
        self.io.stdin().map(input_of)
    }
}

impl stdout::Host for Guest {
    fn get_stdout(&mut self) -> Result<Resource<OutputStream>> {
        self.io.open_standard(Which::Out).map(standard)
    }
}

impl stderr::Host for Guest {
    fn get_stderr(&mut self) -> Result<Resource<OutputStream>> {
        self.io.open_standard(Which::Err).map(standard)
    }
}

impl terminal_input::Host for Guest {}
impl terminal_input::HostTerminalInput for Guest {
    fn drop(&mut self, _: Resource<terminal_input::TerminalInput>) -> Result<()> {
        Ok(())
    }
}

impl terminal_output::Host for Guest {}
impl terminal_output::HostTerminalOutput for Guest {
    fn drop(&mut self, _: Resource<terminal_output::TerminalOutput>) -> Result<()> {
        Ok(())
    }
}

impl terminal_stdin::Host for Guest {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<terminal_stdin::TerminalInput>>> {
        Ok(self.io.stdio.is_input_terminal().then(|| Resource::new_own(0)))
    }
}

impl terminal_stdout::Host for Guest {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<terminal_stdout::TerminalOutput>>> {
        Ok(self.io.stdio.is_output_terminal().then(|| Resource::new_own(0)))
    }
}

impl terminal_stderr::Host for Guest {
    /// Returns no terminal: the log escapes terminal control sequences.
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<terminal_stderr::TerminalOutput>>> {
        Ok(None)
    }
}
