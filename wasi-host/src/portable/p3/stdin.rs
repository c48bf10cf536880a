//! `wasi:cli/stdin`.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use wasmtime::component::{Access, Destination, FutureReader, StreamProducer, StreamReader, StreamResult};
use wasmtime::{AsContextMut, Result, StoreContextMut};
use wasmtime_wasi::p2::StreamError;
use wasmtime_wasi::p3::bindings::cli::stdin::{Host, HostWithStore};
use wasmtime_wasi::p3::bindings::cli::types::ErrorCode;

use super::super::Guest;
use super::super::sources::{Part, handle};
use super::super::stream::LARGE;
use super::super::tasks::{Held, Hold};
use super::P3;
use super::stream_end::StreamEnd;

/// The end of stdin from which the guest reads.
struct Reading {
    index: u32,
    end: StreamEnd<ErrorCode>,
    _hold: Hold,
}

impl StreamProducer<Guest> for Reading {
    type Item = u8;
    type Buffer = Option<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, Guest>,
        destination: Destination<'a, u8, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let index = self.index;
        let room = destination.remaining(store.as_context_mut()).unwrap_or(LARGE).min(LARGE);
        loop {
            match store.data_mut().io.poll_ready(index, Part::Input, context)? {
                Poll::Ready(()) => {}
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
            if room == 0 {
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            match store.data_mut().io.read(index, room) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    let mut memory = destination.as_direct(store, room);
                    memory.write_all(&bytes)?;
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Err(StreamError::Closed) => return Poll::Ready(Ok(self.end.with(Ok(())))),
                Err(StreamError::LastOperationFailed(_)) => {
                    return Poll::Ready(Ok(self.end.with(Err(ErrorCode::Io))));
                }
                Err(StreamError::Trap(trap)) => return Poll::Ready(Err(trap)),
            }
        }
    }
}

impl HostWithStore<Guest> for P3 {
    fn read_via_stream(
        mut store: Access<'_, Guest, Self>,
    ) -> Result<(StreamReader<u8>, FutureReader<Result<(), ErrorCode>>)> {
        let io = &mut store.get().io;
        let index = io.stdin()?;
        let _hold = io.tasks.hold(Held::Source(index, handle::INPUT));
        let (end, result) = StreamEnd::new();
        let reading = Reading { index, end, _hold };
        Ok((StreamReader::new(&mut store, reading)?, FutureReader::new(&mut store, result)?))
    }
}

impl Host for Guest {}
