//! Reading of bodies, within limits.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use sinbin::task::Handle;

use super::decode::{Decoder, Full};
use super::error::FetchError;

/// The number of bytes up to which a body that is not of interest is read, so that its connection can be used again.
const SMALL: u64 = 256 << 10;

/// The first bytes of a gzip file.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// How a body is to be read.
pub(super) struct Body {
    /// The maximum number of decoded bytes, and of received ones.
    pub(super) max_bytes: usize,
    /// True if the body is of interest. Otherwise, a large body is not read.
    pub(super) is_wanted: bool,
    /// The time between two pieces.
    pub(super) read_timeout: Duration,
}

/// A body, as far as it was read.
pub(super) struct Read {
    pub(super) bytes: Vec<u8>,
    pub(super) received: u64,
    pub(super) is_truncated: bool,
    /// True if all of the body was received, so that the connection can be used again.
    pub(super) is_complete: bool,
}

impl Read {
    /// Decompresses a body that is a gzip file, up to `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails if the file is damaged.
    pub(super) fn unpacked(mut self, limit: usize) -> Result<Self, FetchError> {
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
    pub(super) async fn read(
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
        // Servers describe files by codings: an archive that is not read is not decoded either.
        let mut decoder = if self.is_wanted {
            Decoder::of(headers, self.max_bytes, announced)?
        } else {
            Decoder::none(self.max_bytes, announced)
        };
        let mut received = 0;
        while let Some(frame) = self.next(handle, &mut body).await? {
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

    async fn next(
        &self,
        handle: Handle<'_>,
        body: &mut Incoming,
    ) -> Result<Option<hyper::body::Frame<hyper::body::Bytes>>, FetchError> {
        let limit = self.read_timeout;
        match handle.timeout(limit, body.frame()).await {
            Ok(frame) => frame.transpose().map_err(FetchError::Http),
            Err(_) => Err(FetchError::Late { what: "further bytes of the body", limit }),
        }
    }
}
