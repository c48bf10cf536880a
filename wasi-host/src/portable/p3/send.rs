//! The stream of the bytes that a connection sends. They go from the memory of the guest to the socket, without a buffer
//! of the host: what the socket does not accept remains with the guest, which waits.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::send;
use wasmtime::component::{Source, StreamConsumer, StreamResult};
use wasmtime::{AsContextMut, Result, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

use super::super::Guest;
use super::super::sources::Part;
use super::super::stream::{LARGE, no_signal};
use super::super::tasks::Hold;
use super::errors::of_system;
use super::stream_end::StreamEnd;

/// The end of a connection to which the guest sends bytes.
pub(super) struct Sending {
    pub(super) index: u32,
    pub(super) socket: Arc<OwnedFd>,
    pub(super) end: StreamEnd<ErrorCode>,
    pub(super) _hold: Hold,
}

impl StreamConsumer<Guest> for Sending {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'_, Guest>,
        mut source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let index = self.index;
        loop {
            match store.data_mut().io.poll_ready(index, Part::Output, context)? {
                Poll::Ready(()) => {}
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
            let mut memory = source.reborrow().as_direct(store.as_context_mut());
            let bytes = memory.remaining();
            if bytes.is_empty() {
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            match send(&self.socket, &bytes[..bytes.len().min(LARGE)], no_signal()) {
                Ok(count) => {
                    memory.mark_read(count);
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => store.data_mut().io.exhausted(index, Part::Output)?,
                Err(error) => return Poll::Ready(Ok(self.end.with(Err(of_system(error))))),
            }
        }
    }
}
