//! Reading of bodies, within limits.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use sinbin_core::task::Handle;

use crate::decode::{Decoder, Full};
use crate::error::FetchError;

/// The number of bytes up to which a body that is not of interest is read, so that its connection can be used again.
const SMALL: u64 = 256 << 10;

/// The first bytes of a gzip file.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// How a body is to be read.
pub(crate) struct Body {
    /// The maximum number of decoded bytes, and of received ones.
    pub(crate) max_bytes: usize,
    /// True if the body is of interest. Otherwise, a large body is not read, and one of unknown length, which can be endless
    /// as a radio station or a stream of events is, for no longer than `read_timeout`.
    pub(crate) is_wanted: bool,
    /// The time between two pieces.
    pub(crate) read_timeout: Duration,
}

/// A body, as far as it was read.
pub(crate) struct Read {
    pub(crate) bytes: Vec<u8>,
    pub(crate) received: u64,
    pub(crate) is_truncated: bool,
    /// True if all of the body was received, so that the connection can be used again.
    pub(crate) is_complete: bool,
}

impl Read {
    /// Decompresses a body that is a gzip file, up to `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the file is damaged.
    pub(crate) fn unpacked(mut self, limit: usize) -> Result<Self, FetchError> {
        if self.bytes.starts_with(GZIP) {
            let mut decoder = Decoder::gzip(limit);
            let mut full = decoder.write(&self.bytes)?;
            // The end of a body that was not read completely is missing.
            if full == Full::No && !self.is_truncated {
                full = decoder.finish()?;
            }
            self.is_truncated |= full == Full::Yes;
            self.bytes = decoder.into_bytes();
        }
        Ok(self)
    }
}

impl Body {
    /// Reads the body of a response with these headers.
    ///
    /// # Errors
    ///
    /// Fails if the connection fails or ends within the body, if the next piece does not come in time, and if the body is
    /// not encoded as the headers say.
    pub(crate) async fn read(
        &self,
        handle: Handle<'_>,
        headers: &HeaderMap,
        mut body: Incoming,
    ) -> Result<Read, FetchError> {
        let announced = body.size_hint().exact();
        if !self.is_wanted && announced.is_some_and(|announced| announced > SMALL) {
            let received = announced.unwrap_or_default();
            return Ok(Read { bytes: Vec::new(), received, is_truncated: false, is_complete: false });
        }
        if !self.is_wanted {
            // Servers describe files by codings: an archive that is not read is not decoded either.
            return self.skip(handle, body).await;
        }
        let mut decoder = Decoder::of(headers, self.max_bytes, announced)?;
        let mut received = 0;
        while let Some(frame) = self.next(handle, &mut body, self.read_timeout).await? {
            let Ok(data) = frame.into_data() else { continue };
            received += data.len() as u64;
            let decoded = decoder.write(&data)?;
            if decoded == Full::Yes || received > self.max_bytes as u64 {
                let bytes = decoder.into_bytes();
                return Ok(Read { bytes, received, is_truncated: true, is_complete: false });
            }
        }
        let is_truncated = decoder.finish()? == Full::Yes;
        Ok(Read { bytes: decoder.into_bytes(), received, is_truncated, is_complete: true })
    }

    /// Reads a body that is not of interest, so that its connection can be used again. Ends early if the body is too long,
    /// or if its length is unknown and it takes too long.
    async fn skip<B>(&self, handle: Handle<'_>, mut body: B) -> Result<Read, FetchError>
    where
        B: hyper::body::Body<Data = Bytes, Error = hyper::Error> + Unpin,
    {
        let began = handle.now();
        let has_end = body.size_hint().exact().is_some();
        let limit = SMALL.min(self.max_bytes as u64);
        let mut skipped = Read { bytes: Vec::new(), received: 0, is_truncated: true, is_complete: false };
        while skipped.received <= limit {
            let spent = if has_end { Duration::ZERO } else { handle.now().since(began) };
            match self.next(handle, &mut body, self.read_timeout.saturating_sub(spent)).await {
                Ok(Some(frame)) => skipped.received += frame.data_ref().map_or(0, |data| data.len() as u64),
                Ok(None) => return Ok(Read { is_truncated: false, is_complete: true, ..skipped }),
                Err(FetchError::Late { .. }) if !has_end => break,
                Err(error) => return Err(error),
            }
        }
        Ok(skipped)
    }

    /// Returns the next piece of a body, if it comes within `time`.
    async fn next<B>(
        &self,
        handle: Handle<'_>,
        body: &mut B,
        time: Duration,
    ) -> Result<Option<Frame<Bytes>>, FetchError>
    where
        B: hyper::body::Body<Data = Bytes, Error = hyper::Error> + Unpin,
    {
        match handle.timeout(time, body.frame()).await {
            Ok(frame) => frame.transpose().map_err(FetchError::Http),
            Err(_) => {
                let limit = self.read_timeout;
                Err(FetchError::Late { what: "further bytes of the body", limit })
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::SizeHint;
    use sinbin::Settings;

    use super::*;

    const PIECE: usize = 1000;

    /// A body of pieces, and nothing after them, not even the end.
    struct Script {
        pieces: usize,
        size: SizeHint,
    }

    impl hyper::body::Body for Script {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            if self.pieces == 0 {
                return Poll::Pending;
            }
            self.pieces -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; PIECE])))))
        }

        fn size_hint(&self) -> SizeHint {
            self.size
        }
    }

    fn skip(max_bytes: usize, script: Script) -> Result<Read, FetchError> {
        // A body that goes on is not limited by time here.
        let read_timeout = Duration::from_millis(if script.pieces == usize::MAX { 600_000 } else { 10 });
        let body = Body { max_bytes, is_wanted: false, read_timeout };
        Settings::default().run(async |handle| body.skip(handle, script).await).expect("the loop runs")
    }

    #[test]
    fn a_body_without_an_end_is_skipped() {
        let endless = |pieces| Script { pieces, size: SizeHint::new() };
        for (max_bytes, limit) in [(16 << 20, SMALL), (5000, 5000), (0, 0)] {
            let radio = skip(max_bytes, endless(usize::MAX)).expect("not an error");
            assert!(radio.received > limit && radio.received <= limit + PIECE as u64, "{}", radio.received);
            assert!(radio.is_truncated && !radio.is_complete);
        }
        // A stream of events that pauses.
        let events = skip(16 << 20, endless(3)).expect("not an error");
        assert!(events.is_truncated && !events.is_complete);
        // A server that is stuck.
        let stuck = skip(16 << 20, Script { pieces: 3, size: SizeHint::with_exact(9000) });
        assert!(matches!(stuck, Err(FetchError::Late { .. })));
    }
}
