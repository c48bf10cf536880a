//! Recordings that are read back, cut, damaged and made up.

use std::path::PathBuf;
use std::{env, fs, process};

use super::commands::POLL;
use super::format::{End, Header, LastPoll};
use super::interface::{Function, show_answer, show_call};
use super::reader::{ReadError, Reader, Record};
use super::value::Value;
use super::writer::Recording;
use super::{commands, files, sockets};
use crate::portable::Outcome;

/// A generator of pseudo-random numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap_or(0)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.roll(most + 1);
        // Small numbers are lengths and kinds that exist.
        (0..count)
            .map(|_| u8::try_from(self.roll(if self.0 & 64 == 0 { 8 } else { 256 })).unwrap_or(0))
            .collect()
    }
}

/// A file that is removed at the end of a test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("sinbin-calls-{}-{name}", process::id()));
        fs::remove_file(&path).ok();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

type Call = (u32, Vec<u8>, Vec<u8>);

fn functions() -> impl Iterator<Item = &'static Function> {
    [commands::ALL, files::ALL, sockets::ALL].into_iter().flatten().copied().flatten()
}

/// Records calls, and returns them.
fn record(scratch: &Scratch, dice: &mut Dice, count: usize) -> Vec<Call> {
    let header = Header {
        program: "a program".to_owned(),
        component: [7; 32],
        max_memory: 1 << 20,
        max_resources: 100,
    };
    let mut recording = Recording::create(&scratch.0, &header, u64::MAX).expect("a file");
    let ids: Vec<_> = functions().map(|function| function.id).collect();
    let mut poll = Vec::new();
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let id = if dice.roll(2) == 0 { POLL } else { ids[dice.roll(ids.len())] };
            if id == POLL {
                let (from, added) = (dice.roll(poll.len() + 1), dice.bytes(20));
                let to = poll.len().min(from + dice.roll(10));
                poll.splice(from..to, added);
            }
            let arguments = if id == POLL { poll.clone() } else { dice.bytes(100) };
            (id, arguments, dice.bytes(100))
        })
        .collect();
    for (id, arguments, answer) in &calls {
        recording.call(*id, *id == POLL, arguments, answer);
    }
    recording.end(&End::Ended(Outcome::Exited(-7)));
    let (found, _) = Reader::open(&scratch.0).expect("a recording");
    assert_eq!(found, header);
    calls
}

/// Reads calls until the end, or an error.
fn read(scratch: &Scratch) -> (Vec<Call>, Result<End, ReadError>) {
    let mut calls = Vec::new();
    let mut reader = match Reader::open(&scratch.0) {
        Ok((_, reader)) => reader,
        Err(error) => return (calls, Err(error)),
    };
    loop {
        let next = reader.next_end().map(|end| end.is_some());
        let next = next.and_then(|is_end| Ok((is_end, reader.next(POLL)?)));
        match next {
            Ok((false, Record::Call { function, arguments, answer })) => {
                calls.push((function, arguments.to_vec(), answer.to_vec()));
            }
            Ok((true, Record::End(end))) => return (calls, Ok(end)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (calls, Err(error)),
        }
    }
}

#[test]
fn calls_are_read_back() {
    let (scratch, mut dice) = (Scratch::new("back"), Dice(1));
    for count in [0, 1, 10, 5000] {
        fs::remove_file(&scratch.0).ok();
        let calls = record(&scratch, &mut dice, count);
        let (found, end) = read(&scratch);
        assert!(found == calls, "the calls differ");
        assert_eq!(end.expect("the end"), End::Ended(Outcome::Exited(-7)));
    }
}

#[test]
fn a_cut_or_damaged_recording_has_no_other_calls() {
    let (scratch, mut dice) = (Scratch::new("damaged"), Dice(2));
    let calls = record(&scratch, &mut dice, 30);
    let bytes = fs::read(&scratch.0).expect("a file");
    for length in 0..bytes.len() {
        fs::write(&scratch.0, &bytes[..length]).expect("a file");
        let (found, end) = read(&scratch);
        assert!(calls.starts_with(&found));
        assert!(matches!(end, Err(ReadError::Short(_) | ReadError::Foreign)), "{length}: {end:?}");
    }
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 1 << dice.roll(8);
        fs::write(&scratch.0, &damaged).expect("a file");
        let (found, end) = read(&scratch);
        assert!(calls.starts_with(&found) && end.is_err(), "{index}: {end:?}");
    }
    fs::write(&scratch.0, [&bytes[..], b"x"].concat()).expect("a file");
    assert!(matches!(read(&scratch).1, Err(ReadError::Damaged { what: "bytes follow its end", .. })));
}

/// Bytes that a stranger may have made up, with correct checksums.
#[test]
fn made_up_bytes_are_refused_or_shown() {
    let mut dice = Dice(3);
    for round in 0..20_000 {
        let bytes = dice.bytes(40);
        let mut poll = LastPoll::default();
        let mut input = &bytes[..];
        while poll.take(&mut input).is_some() && !input.is_empty() {}
        Header::take(&bytes);
        End::take(&mut &bytes[..]);
        let function = functions().nth(round % functions().count()).expect("a function");
        let mut text = show_call(function.id, &bytes);
        show_answer(function.id, &bytes, &mut text);
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

#[test]
fn what_is_decoded_is_encoded_equally() {
    fn check<T: Value>(dice: &mut Dice) {
        for _ in 0..500 {
            let bytes = dice.bytes(60);
            let mut input = &bytes[..];
            if let Some(value) = T::take(&mut input) {
                let (mut out, mut again) = (Vec::new(), Vec::new());
                value.put(&mut out);
                T::take(&mut &out[..]).expect("its own bytes").put(&mut again);
                assert_eq!(out, again);
            }
        }
    }
    use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpSocketAddress};
    use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
        DescriptorFlags, DescriptorStat, NewTimestamp,
    };
    use wasmtime_wasi::p2::bindings::sync::sockets::udp::OutgoingDatagram;

    let dice = &mut Dice(4);
    check::<u64>(dice);
    check::<Option<String>>(dice);
    check::<ErrorCode>(dice);
    check::<IpAddress>(dice);
    check::<IpSocketAddress>(dice);
    check::<DescriptorFlags>(dice);
    check::<DescriptorStat>(dice);
    check::<NewTimestamp>(dice);
    check::<Vec<OutgoingDatagram>>(dice);
}
