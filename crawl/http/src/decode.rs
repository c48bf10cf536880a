//! The codings of bodies: gzip, deflate and br, with a limit on the decoded bytes.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use hyper::header::{self, HeaderMap};

use crate::error::FetchError;

/// The size of the buffer of the decoder for br.
const BROTLI_BUFFER: usize = 4096;

/// The number of bytes that are reserved for a body at once, whatever the server announces.
const MAX_RESERVED: u64 = 1 << 20;

/// The answer to the question whether the decoded bytes have reached their limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    No,
    Yes,
}

/// Decoded bytes, up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Write for Bounded {
    /// Accepts bytes up to the limit. Fails at the limit, so that a decoder does not continue.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..count]);
        if count < bytes.len() {
            self.is_full = true;
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A decoder of a body.
pub(crate) struct Decoder(Coding);

enum Coding {
    None(Bounded),
    Gzip(MultiGzDecoder<Bounded>),
    /// Deflate, in the format of zlib as the standard demands, or without a header as some servers send it: the first
    /// two bytes tell. The decoder is chosen when they were received.
    Deflate {
        first: Vec<u8>,
        output: Bounded,
    },
    Zlib(ZlibDecoder<Bounded>),
    Raw(DeflateDecoder<Bounded>),
    Brotli(Box<DecompressorWriter<Bounded>>),
}

impl Decoder {
    /// Creates the decoder for a body with these headers, of which `announced` bytes are to be received.
    ///
    /// # Errors
    ///
    /// Fails if the coding is unknown, or if there are several.
    pub(crate) fn of(headers: &HeaderMap, limit: usize, announced: Option<u64>) -> Result<Self, FetchError> {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = codings.next().map(|coding| String::from_utf8_lossy(coding.as_bytes()));
        let coding = coding.unwrap_or_default().trim().to_ascii_lowercase();
        if codings.next().is_some() {
            return Err(FetchError::UnknownCoding("several".to_owned()));
        }
        let output = Bounded::new(limit, announced);
        Ok(Self(match coding.as_str() {
            "" | "identity" => Coding::None(output),
            "gzip" | "x-gzip" => Coding::Gzip(MultiGzDecoder::new(output)),
            "deflate" => Coding::Deflate { first: Vec::new(), output },
            "br" => Coding::Brotli(Box::new(DecompressorWriter::new(output, BROTLI_BUFFER))),
            _ => return Err(FetchError::UnknownCoding(coding)),
        }))
    }

    /// Creates a decoder for gzip.
    pub(crate) fn gzip(limit: usize) -> Self {
        Self(Coding::Gzip(MultiGzDecoder::new(Bounded::new(limit, None))))
    }

    /// Decodes received bytes.
    ///
    /// # Errors
    ///
    /// Fails if the bytes are not encoded as the headers say.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<Full, FetchError> {
        if let Coding::Deflate { first, output } = &mut self.0 {
            first.extend_from_slice(bytes);
            if first.len() < 2 {
                return Ok(Full::No);
            }
            let first = std::mem::take(first);
            let output = std::mem::replace(output, Bounded::new(0, None));
            self.0 = if is_zlib(&first) {
                Coding::Zlib(ZlibDecoder::new(output))
            } else {
                Coding::Raw(DeflateDecoder::new(output))
            };
            return self.write(&first);
        }
        let written = match &mut self.0 {
            Coding::None(output) => output.write_all(bytes),
            Coding::Gzip(decoder) => decoder.write_all(bytes),
            Coding::Zlib(decoder) => decoder.write_all(bytes),
            Coding::Raw(decoder) => decoder.write_all(bytes),
            Coding::Brotli(decoder) => decoder.write_all(bytes),
            Coding::Deflate { .. } => Ok(()),
        };
        self.checked(written)
    }

    /// Ends the decoding.
    ///
    /// # Errors
    ///
    /// Fails if the encoded bytes are not complete.
    pub(crate) fn finish(&mut self) -> Result<Full, FetchError> {
        let finished = match &mut self.0 {
            Coding::Gzip(decoder) => decoder.try_finish(),
            Coding::Zlib(decoder) => decoder.try_finish(),
            Coding::Raw(decoder) => decoder.try_finish(),
            Coding::Brotli(decoder) => decoder.close(),
            Coding::Deflate { first, .. } if !first.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Coding::None(_) | Coding::Deflate { .. } => Ok(()),
        };
        self.checked(finished)
    }

    fn checked(&self, done: io::Result<()>) -> Result<Full, FetchError> {
        let (coding, output) = match &self.0 {
            Coding::None(output) => ("text", output),
            Coding::Gzip(decoder) => ("gzip", decoder.get_ref()),
            Coding::Deflate { output, .. } => ("deflate", output),
            Coding::Zlib(decoder) => ("deflate", decoder.get_ref()),
            Coding::Raw(decoder) => ("deflate", decoder.get_ref()),
            Coding::Brotli(decoder) => ("br", decoder.get_ref()),
        };
        match done {
            _ if output.is_full => Ok(Full::Yes),
            Ok(()) => Ok(Full::No),
            Err(error) => Err(FetchError::Coding { coding, reason: error.to_string() }),
        }
    }

    /// Returns the decoded bytes.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        match self.0 {
            Coding::None(mut output) | Coding::Deflate { mut output, .. } => output.take(),
            Coding::Gzip(mut decoder) => decoder.get_mut().take(),
            Coding::Zlib(mut decoder) => decoder.get_mut().take(),
            Coding::Raw(mut decoder) => decoder.get_mut().take(),
            Coding::Brotli(mut decoder) => decoder.get_mut().take(),
        }
    }
}

impl Bounded {
    fn new(limit: usize, announced: Option<u64>) -> Self {
        let reserved = announced.unwrap_or_default().min(MAX_RESERVED).min(limit as u64);
        let bytes = Vec::with_capacity(usize::try_from(reserved).unwrap_or_default());
        Self { bytes, limit, is_full: false }
    }

    /// Returns the bytes. The decoder, which writes its rest when it is dropped, then finds the limit reached.
    fn take(&mut self) -> Vec<u8> {
        self.limit = 0;
        std::mem::take(&mut self.bytes)
    }
}

/// Returns true if the bytes begin with the header of zlib.
fn is_zlib(bytes: &[u8]) -> bool {
    bytes[0] & 0x0f == 8 && u16::from_be_bytes([bytes[0], bytes[1]]).is_multiple_of(31)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use hyper::header::HeaderValue;

    use super::*;

    /// "hello world" and a newline, by the encoder of br.
    const BROTLI: &[u8] =
        &[0x8b, 0x05, 0x80, b'h', b'e', b'l', b'l', b'o', b' ', b'w', b'o', b'r', b'l', b'd', b'\n', 0x03];

    fn decoded(coding: &'static str, pieces: &[&[u8]], limit: usize) -> Result<(Vec<u8>, Full), FetchError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        let mut decoder = Decoder::of(&headers, limit, None)?;
        for piece in pieces {
            if decoder.write(piece)? == Full::Yes {
                return Ok((decoder.into_bytes(), Full::Yes));
            }
        }
        let full = decoder.finish()?;
        Ok((decoder.into_bytes(), full))
    }

    fn encodings(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        for encoder in [&mut gzip as &mut dyn Write, &mut zlib, &mut raw] {
            encoder.write_all(plain).expect("memory");
        }
        let (gzip, zlib, raw) = (gzip.finish(), zlib.finish(), raw.finish());
        vec![
            ("gzip", gzip.expect("memory")),
            ("deflate", zlib.expect("memory")),
            ("deflate", raw.expect("memory")),
            ("identity", plain.to_vec()),
        ]
    }

    #[test]
    fn bodies_are_decoded_however_they_are_cut() {
        let plain: Vec<u8> = (0..20_000_u32).flat_map(|n| (n % 977).to_le_bytes()).collect();
        for (coding, encoded) in encodings(&plain) {
            for size in [1, 2, 3, 1000, encoded.len()] {
                let pieces: Vec<&[u8]> = encoded.chunks(size).collect();
                let (bytes, full) = decoded(coding, &pieces, 1 << 20).expect("valid");
                assert!(bytes == plain && full == Full::No, "{coding} in pieces of {size}");
            }
        }
        assert_eq!(decoded("br", &[BROTLI], 100).expect("valid").0, b"hello world\n");
    }

    #[test]
    fn a_bomb_is_decoded_up_to_the_limit() {
        let plain = vec![0; 50 << 20];
        for (coding, encoded) in encodings(&plain) {
            let (bytes, full) = decoded(coding, &[&encoded], 1000).expect("valid");
            assert_eq!((bytes.len(), full), (1000, Full::Yes), "{coding}");
        }
    }

    #[test]
    fn a_body_of_the_size_of_the_limit_is_complete() {
        for (coding, encoded) in encodings(&[7; 1000]) {
            let (bytes, full) = decoded(coding, &[&encoded], 1000).expect("valid");
            assert_eq!((bytes.len(), full), (1000, Full::No), "{coding}");
        }
    }

    #[test]
    fn damaged_bodies_are_errors() {
        let plain: Vec<u8> = (0..2000_u32).flat_map(u32::to_le_bytes).collect();
        for (coding, mut encoded) in encodings(&plain) {
            if coding == "identity" {
                continue;
            }
            assert!(decoded(coding, &[&encoded[..encoded.len() - 1]], 1 << 20).is_err(), "a cut {coding}");
            assert!(decoded(coding, &[&encoded[..encoded.len() / 2]], 1 << 20).is_err(), "half a {coding}");
            let middle = encoded.len() / 2;
            encoded[middle..middle + 20].fill(0xff);
            assert!(decoded(coding, &[&encoded], 1 << 20).is_err(), "a damaged {coding}");
        }
        assert!(decoded("gzip", &[b"<html>"], 100).is_err());
        assert!(decoded("br", &[b"<html>"], 100).is_err());
        assert!(decoded("br", &[&BROTLI[..9]], 100).is_err());
        assert!(decoded("zstd", &[b""], 100).is_err());
    }
}
