//! A URL to fetch, and its compact form.

use crate::fetch::Kind;

/// A URL to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub url: String,
    pub kind: Kind,
    pub depth: u32,
    pub referrer: Option<String>,
    /// The number of redirects in a row (or of indexes of sitemaps) that led here.
    pub hops: u32,
    /// True if the server refused a HEAD request, so that GET is tried.
    pub is_get: bool,
    /// The number of requests that were sent. Not part of the compact form.
    pub attempts: u32,
}

impl Entry {
    pub fn new(url: String, kind: Kind, depth: u32, referrer: Option<String>) -> Self {
        Self { url, kind, depth, referrer, hops: 0, is_get: false, attempts: 0 }
    }
}

const KIND: u8 = 0b11;
const HAS_CONTEXT: u8 = 1 << 2;
const HAS_REFERRER: u8 = 1 << 3;
const HAS_HOPS: u8 = 1 << 4;
const IS_GET: u8 = 1 << 5;
const FLAGS: u8 = KIND | HAS_CONTEXT | HAS_REFERRER | HAS_HOPS | IS_GET;

/// The last entry of a sequence, which the next one is described by: links of one page share their referrer, their depth,
/// and often the beginning of their URLs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Previous {
    url: String,
    referrer: Option<String>,
    depth: u32,
}

/// Writes a sequence of entries in their compact form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Encoder(Previous);

impl Encoder {
    /// Appends `entry` to `bytes`.
    pub fn encode(&mut self, entry: &Entry, bytes: &mut Vec<u8>) {
        let last = &mut self.0;
        let has_context = entry.depth != last.depth || entry.referrer != last.referrer;
        let kind = match entry.kind {
            Kind::Page => 0,
            Kind::Robots => 1,
            Kind::Sitemap => 2,
            Kind::Check => 3,
        };
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        bytes.push(
            kind | flag(has_context, HAS_CONTEXT)
                | flag(has_context && entry.referrer.is_some(), HAS_REFERRER)
                | flag(entry.hops > 0, HAS_HOPS)
                | flag(entry.is_get, IS_GET),
        );
        if has_context {
            write_number(entry.depth.into(), bytes);
            if let Some(referrer) = &entry.referrer {
                write_text(last.referrer.as_deref().unwrap_or_default(), referrer, bytes);
            }
            last.referrer.clone_from(&entry.referrer);
            last.depth = entry.depth;
        }
        if entry.hops > 0 {
            write_number(entry.hops.into(), bytes);
        }
        write_text(&last.url, &entry.url, bytes);
        last.url.clone_from(&entry.url);
    }
}

/// Reads a sequence of entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decoder(Previous);

impl Decoder {
    /// Removes the first entry from `bytes`. Returns `None` if these bytes are no entry.
    pub fn decode(&mut self, bytes: &mut &[u8]) -> Option<Entry> {
        let last = &mut self.0;
        let flags = *bytes.split_off_first()?;
        if flags & !FLAGS != 0 {
            return None;
        }
        let kind = [Kind::Page, Kind::Robots, Kind::Sitemap, Kind::Check][usize::from(flags & KIND)];
        if flags & HAS_CONTEXT != 0 {
            last.depth = u32::try_from(read_number(bytes)?).ok()?;
            let has_referrer = flags & HAS_REFERRER != 0;
            last.referrer = match has_referrer {
                true => Some(read_text(last.referrer.as_deref().unwrap_or_default(), bytes)?),
                false => None,
            };
        }
        let hops = if flags & HAS_HOPS != 0 { u32::try_from(read_number(bytes)?).ok()? } else { 0 };
        let url = read_text(&last.url, bytes)?;
        last.url.clone_from(&url);
        let (depth, referrer) = (last.depth, last.referrer.clone());
        Some(Entry { url, kind, depth, referrer, hops, is_get: flags & IS_GET != 0, attempts: 0 })
    }
}

/// Writes `text` as the number of bytes at its beginning that are those of `last`, and the rest.
fn write_text(last: &str, text: &str, bytes: &mut Vec<u8>) {
    let shared = last.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
    let shared = text.floor_char_boundary(shared);
    write_number(shared as u64, bytes);
    write_number((text.len() - shared) as u64, bytes);
    bytes.extend_from_slice(&text.as_bytes()[shared..]);
}

fn read_text(last: &str, bytes: &mut &[u8]) -> Option<String> {
    let shared = usize::try_from(read_number(bytes)?).ok()?;
    let rest = usize::try_from(read_number(bytes)?).ok()?;
    let rest = std::str::from_utf8(bytes.split_off(..rest)?).ok()?;
    Some([last.get(..shared)?, rest].concat())
}

/// Writes a number in groups of seven bits (LEB128).
fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::{Decoder, Encoder, Entry};
    use crate::fetch::Kind;

    /// Returns entries as they follow each other on pages, and any others.
    pub fn entries() -> impl Strategy<Value = Entry> {
        let kind = prop::sample::select(vec![Kind::Page, Kind::Robots, Kind::Sitemap, Kind::Check]);
        let url = prop_oneof!["http://a.example/[ab\u{e4}\u{e5}]{0,3}", "\\PC{0,9}"];
        (
            url,
            kind,
            prop_oneof![0_u32..3, any::<u32>()],
            prop::option::of("(a|\u{e4}|\u{e5}){0,2}"),
            0_u32..3,
            any::<bool>(),
        )
            .prop_map(|(url, kind, depth, referrer, hops, is_get)| Entry {
                url,
                kind,
                depth,
                referrer,
                hops,
                is_get,
                attempts: 0,
            })
    }

    proptest! {
        #[test]
        fn entries_are_read_as_written(entries in prop::collection::vec(entries(), 0..20)) {
            let (mut encoder, mut decoder, mut bytes) = (Encoder::default(), Decoder::default(), Vec::new());
            entries.iter().for_each(|entry| encoder.encode(entry, &mut bytes));
            let mut rest = bytes.as_slice();
            for entry in entries {
                prop_assert_eq!(decoder.decode(&mut rest), Some(entry));
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn junk_is_no_panic(bytes in prop::collection::vec(prop_oneof![0_u8..64, any::<u8>()], 0..60)) {
            let (mut decoder, mut rest) = (Decoder::default(), bytes.as_slice());
            while decoder.decode(&mut rest).is_some() {}
        }
    }
}
