//! Recordings of arbitrary origin.

use crc32fast::Hasher;
use sinbin_core::driven::recording::{Decoder, Error, Header, Record, Turn, Writer, checksum};
use sinbin_core::driven::{Event, ServiceSettings, TurnOutput};
use sinbin_core::{Instant, Rest};

/// A turn with its own events, and the checksum of its answer.
type Told = (Instant, u32, Vec<Event>, Vec<u8>, Option<u32>);

/// The offset at which frames begin, behind the magic bytes and the version.
const BEHIND_VERSION: usize = 11;

/// The bit of the first byte that puts a valid header before the rest.
const HEADED: u8 = 1;
/// The bit of the first byte that leaves frames unchanged. Otherwise they receive valid checksums, so that the decoder
/// looks into them.
const RAW: u8 = 2;

/// Checks the decoder with arbitrary bytes, which are a valid recording up to some point. A record never has more
/// events than bytes. When the valid part is written again, the same records are read.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn recording(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let header = Header { service: "fib".into(), start: ServiceSettings::default() };
    let mut recording = Vec::new();
    let mut frames = rest;
    if kind & HEADED != 0 {
        let _ = Writer::new(&header, &mut recording);
    } else {
        let before = frames.split_off(..rest.len().min(BEHIND_VERSION));
        recording.extend_from_slice(before.unwrap_or_default());
    }
    if kind & RAW != 0 {
        recording.extend_from_slice(frames);
    } else {
        seal(frames, &mut recording);
    }
    if let Some((header, mut told)) = read(&recording) {
        // A record has only the checksum of its answer, so another answer stands for it.
        let answer = TurnOutput { rest: Rest::Ready, room: 0, commands: Vec::new(), output: rest.to_vec() };
        let again = write(&header, &told, &answer);
        told.iter_mut().for_each(|(.., sum)| *sum = sum.map(|_| checksum(&answer)));
        assert_eq!(read(&again), Some((header, told)), "the records after another write");
    }
}

/// Appends frames with checksums. Each frame is drawn as four bytes of length and that many bytes.
fn seal(mut frames: &[u8], recording: &mut Vec<u8>) {
    // The checksum of the header, if there is one.
    let before = recording.get(BEHIND_VERSION + 4..).and_then(|bytes| bytes.first_chunk());
    let mut sum = before.map_or(0, |sum| u32::from_le_bytes(*sum));
    while let Some((&[a, b, c, _], rest)) = frames.split_first_chunk() {
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        let (body, behind) = rest.split_at(length.min(rest.len()));
        let length = [a, b, c, !(a ^ b ^ c)];
        let mut hasher = Hasher::new_with_initial(sum);
        hasher.update(&length);
        hasher.update(body);
        sum = hasher.finalize();
        recording.extend([&length, &sum.to_le_bytes(), body].concat());
        frames = behind;
    }
    recording.extend_from_slice(frames);
}

/// Returns the header and the turns, up to the first error.
fn read(bytes: &[u8]) -> Option<(Header, Vec<Told>)> {
    let mut decoder = Decoder::new();
    let whole = decoder.is_whole(bytes);
    let (header, mut rest) = match decoder.header(bytes) {
        Ok(found) => found,
        Err(error) => {
            look(whole, error, bytes.len());
            return None;
        }
    };
    let mut all = Vec::new();
    loop {
        let whole = decoder.is_whole(rest);
        match decoder.record(rest) {
            Ok((record, behind)) => {
                assert_eq!(whole, Ok(true), "a record is whole");
                assert!(behind.len() < rest.len(), "it makes progress");
                if let Record::Turn { turn, answer } = record {
                    let Turn { now, window, events, input } = turn;
                    assert!(events.len() + input.len() < rest.len(), "more items than bytes");
                    all.push((now, window, events.to_vec(), input.to_vec(), answer));
                }
                rest = behind;
            }
            Err(error) => {
                look(whole, error, bytes.len());
                return Some((header, all));
            }
        }
    }
}

/// Checks that an error has an offset within the bytes, and that a short record is not whole.
fn look(whole: Result<bool, Error>, error: Error, len: usize) {
    match error {
        Error::Short { at } => {
            assert_eq!(whole, Ok(false));
            assert!(at <= len as u64, "{error}");
        }
        Error::Nonsense { at, .. } => assert!(at <= len as u64, "{error}"),
        Error::Empty => assert_eq!((whole, len), (Ok(false), 0)),
        Error::Miscounted { recorded, found } => assert_ne!(recorded, found),
        Error::Foreign | Error::Version(_) => assert_eq!(whole, Err(error)),
    }
}

fn write(header: &Header, told: &[Told], answer: &TurnOutput) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(header, &mut bytes);
    for (now, window, events, input, sum) in told {
        let turn = Turn { now: *now, window: *window, events, input };
        writer.turn(&turn, sum.map(|_| answer), &mut bytes);
    }
    writer.end(true, &mut bytes);
    bytes
}
