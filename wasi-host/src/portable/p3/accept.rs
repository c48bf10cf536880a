//! The stream of the connections of a listener.

use std::pin::Pin;
use std::task::{Context, Poll};

use wasmtime::component::{Destination, Resource, StreamProducer, StreamResult};
use wasmtime::{AsContextMut, Result, StoreContextMut};
use wasmtime_wasi::sockets::TcpSocket;

use super::super::Guest;
use super::super::io::Io;
use super::super::sources::{Kind, Part, Sources, handle};
use super::super::tasks::Hold;

/// The end of a listener from which the guest receives connections.
pub(super) struct Accepting {
    pub(super) index: u32,
    pub(super) _hold: Hold,
}

/// The result of looking for a connection.
enum Found {
    /// A connection can be accepted.
    Ready,
    /// A connection was accepted, with this index.
    Accepted(u32),
    /// The listener refuses, and has no more connections.
    Ended,
}

impl Io {
    /// Looks for a connection, and accepts it if the guest takes it.
    fn poll_accept(&mut self, index: u32, takes: bool, context: &Context<'_>) -> Poll<Result<Found>> {
        // Connections that the guest has dropped make room.
        self.settle();
        loop {
            if self.poll_ready(index, Part::Socket, context)?.is_pending() {
                if self.sources.is_at_end(index) {
                    return Poll::Ready(Ok(Found::Ended));
                }
                if !self.sources.can_accept() {
                    self.tasks.park_for_rare(context.waker());
                }
                return Poll::Pending;
            }
            if !takes {
                return Poll::Ready(Ok(Found::Ready));
            }
            let Kind::Listener(listener) = &mut self.sources.of(index)?.kind else {
                return Poll::Ready(Ok(Found::Ended));
            };
            let family = listener.family;
            // An error is that of one connection, which the guest need not know.
            let Ok(accepted) = listener.accept() else { continue };
            self.count(1)?;
            let accepted = self.insert_accepted(accepted, family, handle::SOCKET);
            let accepted = accepted.map_err(|_| wasmtime::Error::msg("cannot keep a connection"))?;
            return Poll::Ready(Ok(Found::Accepted(accepted)));
        }
    }
}

impl Sources {
    /// Returns true if listeners may accept.
    fn can_accept(&self) -> bool {
        self.has_room() && self.crowding.exhausted.is_none()
    }

    /// Returns true if a listener refuses connections, and has none left.
    fn is_at_end(&mut self, index: u32) -> bool {
        let source = self.of(index);
        source.is_ok_and(|source| matches!(&source.kind, Kind::Listener(it) if it.refuses && it.is_empty()))
    }
}

impl StreamProducer<Guest> for Accepting {
    type Item = Resource<TcpSocket>;
    type Buffer = Option<Self::Item>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, Guest>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let takes = destination.remaining(store.as_context_mut()) != Some(0);
        match store.data_mut().io.poll_accept(self.index, takes, context)? {
            Poll::Ready(Found::Ready) => {}
            Poll::Ready(Found::Accepted(index)) => destination.set_buffer(Some(Resource::new_own(index))),
            Poll::Ready(Found::Ended) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
