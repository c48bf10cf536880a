//! The result of a stream, which the guest gets by a future beside the stream.

use futures_channel::oneshot::{Receiver, Sender, channel};
use wasmtime::component::StreamResult;

/// The result of a stream, until it is known. A stream that is dropped before has succeeded.
pub(super) struct StreamEnd<E>(Option<Sender<Result<(), E>>>);

impl<E> StreamEnd<E> {
    /// Returns the result of a new stream, and the future of the guest.
    pub(super) fn new() -> (Self, Receiver<Result<(), E>>) {
        let (sender, result) = channel();
        (Self(Some(sender)), result)
    }

    /// Ends the stream with this result, unless it is known already.
    pub(super) fn with(&mut self, result: Result<(), E>) -> StreamResult {
        if let Some(sender) = self.0.take() {
            // The guest may have no interest in it.
            sender.send(result).ok();
        }
        StreamResult::Dropped
    }
}

impl<E> Drop for StreamEnd<E> {
    fn drop(&mut self) {
        self.with(Ok(()));
    }
}
