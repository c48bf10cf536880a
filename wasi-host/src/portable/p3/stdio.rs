//! `wasi:cli/stdout` and `stderr`, and whether the standard streams are terminals.

use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};

use sinbin::Instant;
use wasmtime::component::{
    Access, FutureReader, Resource, Source, StreamConsumer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, Result, StoreContextMut};
use wasmtime_wasi::p2::StreamError;
use wasmtime_wasi::p3::bindings::cli::types::ErrorCode;
use wasmtime_wasi::p3::bindings::cli::{
    stderr, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout, types,
};
use wasmtime_wasi::p3::cli::{TerminalInput, TerminalOutput};

use super::super::Guest;
use super::super::io::Io;
use super::super::stdio::Which;
use super::super::tasks::{Held, Hold, MAX_USES, Timer, Uses};
use super::P3;
use super::stream_end::StreamEnd;

/// The end of stdout or stderr to which the guest writes.
struct Writing {
    index: u32,
    uses: Uses,
    /// The time of the next look at the capacity, if it can't be watched.
    timer: Option<Timer>,
    end: StreamEnd<ErrorCode>,
    _hold: Hold,
}

impl Writing {
    /// Reports an error of the destination.
    fn fail(&mut self, error: StreamError) -> Poll<Result<StreamResult>> {
        Poll::Ready(Ok(match error {
            StreamError::Closed => self.end.with(Err(ErrorCode::Pipe)),
            StreamError::LastOperationFailed(_) => self.end.with(Err(ErrorCode::Io)),
            StreamError::Trap(trap) => return Poll::Ready(Err(trap)),
        }))
    }

    /// Returns how many bytes can be written now.
    fn poll_room(&mut self, io: &mut Io, context: &Context<'_>) -> Poll<Result<usize, StreamError>> {
        let room = io.stdio.check(self.index)?;
        if room == 0 {
            let deadline = io.deadline_of_stdout();
            self.timer = (deadline != Instant::NEVER).then(|| io.tasks.timer(deadline));
            if let Some(timer) = &self.timer {
                timer.park(context.waker());
            }
            io.tasks.park_for_rare(context.waker());
            return Poll::Pending;
        }
        if !self.uses.count(io.tasks.turn, MAX_USES) {
            io.tasks.put_off(context.waker());
            return Poll::Pending;
        }
        Poll::Ready(Ok(room))
    }
}

impl StreamConsumer<Guest> for Writing {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'_, Guest>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let room = match self.poll_room(&mut store.data_mut().io, context) {
            Poll::Ready(Ok(room)) => room,
            Poll::Ready(Err(error)) => return self.fail(error),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        };
        let mut memory = source.as_direct(store.as_context_mut());
        let mut bytes = vec![0; memory.remaining().len().min(room)];
        memory.read_exact(&mut bytes)?;
        match store.data_mut().io.stdio.write(self.index, &bytes) {
            Ok(()) => Poll::Ready(Ok(StreamResult::Completed)),
            Err(error) => self.fail(error),
        }
    }
}

/// Lets the guest write a stream to stdout or stderr.
fn write_via_stream(
    mut store: Access<'_, Guest, P3>,
    data: StreamReader<u8>,
    which: Which,
) -> Result<FutureReader<Result<(), ErrorCode>>> {
    let io = &mut store.get().io;
    let index = io.open_standard(which)?;
    let hold = io.tasks.hold(Held::Standard(index));
    let (end, result) = StreamEnd::new();
    let uses = Uses::default();
    data.pipe(&mut store, Writing { index, uses, timer: None, end, _hold: hold })?;
    FutureReader::new(&mut store, result)
}

impl stdout::HostWithStore<Guest> for P3 {
    fn write_via_stream(
        store: Access<'_, Guest, Self>,
        data: StreamReader<u8>,
    ) -> Result<FutureReader<Result<(), ErrorCode>>> {
        write_via_stream(store, data, Which::Out)
    }
}

impl stderr::HostWithStore<Guest> for P3 {
    fn write_via_stream(
        store: Access<'_, Guest, Self>,
        data: StreamReader<u8>,
    ) -> Result<FutureReader<Result<(), ErrorCode>>> {
        write_via_stream(store, data, Which::Err)
    }
}

impl types::Host for Guest {}
impl stdout::Host for Guest {}
impl stderr::Host for Guest {}
impl terminal_input::Host for Guest {}
impl terminal_output::Host for Guest {}

impl terminal_input::HostTerminalInput for Guest {
    fn drop(&mut self, _: Resource<TerminalInput>) -> Result<()> {
        Ok(())
    }
}

impl terminal_output::HostTerminalOutput for Guest {
    fn drop(&mut self, _: Resource<TerminalOutput>) -> Result<()> {
        Ok(())
    }
}

impl terminal_stdin::Host for Guest {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<TerminalInput>>> {
        Ok(self.io.stdio.is_input_terminal().then(|| Resource::new_own(0)))
    }
}

impl terminal_stdout::Host for Guest {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        Ok(self.io.stdio.is_output_terminal().then(|| Resource::new_own(0)))
    }
}

impl terminal_stderr::Host for Guest {
    /// Returns no terminal: the log escapes terminal control sequences.
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        Ok(None)
    }
}
