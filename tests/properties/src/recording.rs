//! Recordings, by whoever wrote them.

use crc32fast::Hasher;
use sinbin_core::driven::recording::{Decoder, Error, Header, Record, Turn, Writer, checksum};
use sinbin_core::driven::{Event, ServiceSettings, TurnOutput};
use sinbin_core::{Instant, Rest};

/// A turn, with its own events, and the checksum of its answer.
type Told = (Instant, u32, Vec<Event>, Vec<u8>, Option<u32>);

/// Where frames begin: what says that it is a recording, and the version, are before them.
const BEHIND_VERSION: usize = 11;

/// Bit of the first byte: the rest comes behind a header that is one.
const HEADED: u8 = 1;
/// Bit of the first byte: frames are left as they are; else they get the checksums that they need to be looked into.
const RAW: u8 = 2;

/// Any bytes are a recording up to some point. None makes more of less: a record has fewer events than bytes. What is
/// there is read again when it is written again.
///
/// # Panics
///
/// If that is not so.
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
        // Of an answer there is a sum, which another one has to stand for.
        let answer = TurnOutput { rest: Rest::Ready, room: 0, commands: Vec::new(), output: rest.to_vec() };
        let again = write(&header, &told, &answer);
        told.iter_mut().for_each(|(.., sum)| *sum = sum.map(|_| checksum(&answer)));
        assert_eq!(read(&again), Some((header, told)), "what was written again");
    }
}

/// Appends frames that are drawn as four bytes of length and as many bytes, with checksums.
fn seal(mut frames: &[u8], recording: &mut Vec<u8>) {
    // That of the header, if there is one.
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

/// The header and the turns, as far as they make sense.
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
                assert!(behind.len() < rest.len(), "it gets on");
                if let Record::Turn { turn, answer } = record {
                    let Turn { now, window, events, input } = turn;
                    assert!(events.len() + input.len() < rest.len(), "more than there is");
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

/// An error is about bytes that are there, and what is short is not whole.
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
