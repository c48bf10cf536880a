//! The stream of the bytes that a connection receives. They go from the socket into the memory of the guest, without a
//! buffer of the host.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use sinbin::readiness::Watcher;
use wasmtime::component::{Destination, StreamProducer, StreamResult};
use wasmtime::{AsContextMut, Result, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::types::ErrorCode;

use super::super::Guest;
use super::super::sources::{Kind, Part, Ready};
use super::super::stream::LARGE;
use super::super::tasks::Hold;
use super::errors::of_system;
use super::stream_end::StreamEnd;

/// The end of a connection from which the guest receives bytes.
pub(super) struct Receiving {
    pub(super) index: u32,
    pub(super) socket: Arc<OwnedFd>,
    pub(super) end: StreamEnd<ErrorCode>,
    pub(super) _hold: Hold,
}

impl StreamProducer<Guest> for Receiving {
    type Item = u8;
    type Buffer = Option<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, Guest>,
        mut destination: Destination<'a, u8, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let index = self.index;
        let is_check = destination.remaining(store.as_context_mut()) == Some(0);
        loop {
            match store.data_mut().io.poll_ready(index, Part::Input, context)? {
                Poll::Ready(()) => {}
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
            if is_check {
                return Poll::Ready(Ok(StreamResult::Completed));
            }
            let mut memory = destination.reborrow().as_direct(store.as_context_mut(), LARGE);
            let room = memory.remaining();
            let most = room.len().min(LARGE);
            match recv(&self.socket, &mut room[..most], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Poll::Ready(Ok(self.end.with(Ok(())))),
                Ok((_, count)) => {
                    memory.mark_written(count);
                    if count < most {
                        store.data_mut().io.received_last(index)?;
                    }
                    return Poll::Ready(Ok(StreamResult::Completed));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => store.data_mut().io.exhausted(index, Part::Input)?,
                Err(error) => return Poll::Ready(Ok(self.end.with(Err(of_system(error))))),
            }
        }
    }
}

impl super::super::io::Io {
    /// Notes that a connection had fewer bytes than there was room for. There are no more, unless the end came with them.
    fn received_last(&mut self, index: u32) -> Result<()> {
        let source = self.sources.of(index)?;
        if Watcher::REPORTS_END && !source.ready.has(Ready::END) {
            source.ready = source.ready.without(Ready::INPUT);
        }
        Ok(())
    }

    /// Drops a stream of a source. Without the stream, a connection receives no more.
    pub(super) fn drop_stream(&mut self, index: u32, handle: u8) {
        use super::super::sources::handle;
        if handle == handle::INPUT
            && let Ok(source) = self.sources.of(index)
            && let Kind::Tcp(tcp) = &mut source.kind
        {
            tcp.input_ended = true;
            rustix::net::shutdown(&source.descriptor, rustix::net::Shutdown::Read).ok();
        }
        self.release(index, handle);
    }
}
