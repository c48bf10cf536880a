use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::write::frame;
use super::{Decoder, End, Error, HEAD, Header, MAGIC, MAX_FRAME, MAX_INPUT, Record, Turn, Writer, checksum};
use crate::driven::{
    Command, ConnectError, ConnectId, Event, LogLevel, ServiceSettings, SourceHandle, TurnOutput,
};
use crate::kernel::Rest;
use crate::kernel::id::JobId;
use crate::kernel::instant::Instant;
use crate::kernel::interest::Interest;

/// The position of the first frame.
const BEHIND_VERSION: usize = MAGIC.len() + 1;

/// A record that owns what it holds.
#[derive(Clone, PartialEq, Debug)]
enum Owned {
    Turn { now: Instant, window: u32, events: Vec<Event>, input: Vec<u8>, answer: Option<u32> },
    Fresh,
    End(End),
}

impl From<Record<'_>> for Owned {
    fn from(record: Record<'_>) -> Self {
        match record {
            Record::Fresh => Self::Fresh,
            Record::End(end) => Self::End(end),
            Record::Turn { turn: Turn { now, window, events, input }, answer } => {
                Self::Turn { now, window, events: events.to_vec(), input: input.to_vec(), answer }
            }
        }
    }
}

/// Reads all records up to the first error.
fn read(bytes: &[u8]) -> (Option<Header>, Vec<Owned>, Option<Error>) {
    let (mut decoder, mut records) = (Decoder::new(), Vec::new());
    let (header, mut rest) = match decoder.header(bytes) {
        Ok((header, rest)) => (header, rest),
        Err(error) => return (None, records, Some(error)),
    };
    while !matches!(records.last(), Some(Owned::End(_))) || !rest.is_empty() {
        match decoder.record(rest) {
            Err(error) => return (Some(header), records, Some(error)),
            Ok((record, next)) => {
                records.push(record.into());
                rest = next;
            }
        }
    }
    (Some(header), records, None)
}

fn event() -> impl Strategy<Value = Event> {
    let source = || any::<u64>().prop_map(SourceHandle);
    let job = || any::<u64>().prop_map(JobId::from_bits);
    prop_oneof![
        source().prop_map(Event::Listener),
        (source(), source(), any::<u32>()).prop_map(|(listener, connection, len)| Event::Accepted {
            listener,
            connection,
            len
        }),
        (source(), any::<u32>()).prop_map(|(source, len)| Event::Received { source, len }),
        source().prop_map(Event::Ended),
        source().prop_map(Event::Writable),
        source().prop_map(Event::Stuck),
        source().prop_map(Event::Hangup),
        source().prop_map(Event::Failed),
        source().prop_map(Event::Idle),
        (job(), any::<u32>()).prop_map(|(job, len)| Event::Computed { job, len }),
        job().prop_map(Event::Lost),
        Just(Event::Stop),
        any::<u64>().prop_map(Event::Took),
        Just(Event::More),
        (any::<u64>(), source(), any::<u32>()).prop_map(|(request, source, len)| Event::Connected {
            request: ConnectId(request),
            source,
            len
        }),
        (any::<u64>(), prop::sample::select(&ConnectError::ALL[..]))
            .prop_map(|(request, reason)| { Event::ConnectFailed { request: ConnectId(request), reason } }),
        any::<u64>().prop_map(Event::WallClock),
        any::<u32>().prop_map(|len| Event::Entropy { len }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let source = || any::<u64>().prop_map(SourceHandle);
    let job = || any::<u64>().prop_map(JobId::from_bits);
    prop_oneof![
        (source(), 0..8_u8)
            .prop_map(|(source, bits)| { Command::Watch { source, interest: Interest::from_bits(bits) } }),
        (source(), any::<u32>()).prop_map(|(source, len)| Command::Send { source, len }),
        (source(), any::<u32>()).prop_map(|(source, len)| Command::Unread { source, len }),
        source().prop_map(Command::Shutdown),
        source().prop_map(Command::Close),
        (job(), any::<u32>()).prop_map(|(job, len)| Command::Submit { job, len }),
        job().prop_map(Command::Cancel),
        (any::<u64>(), any::<u32>())
            .prop_map(|(request, len)| Command::Connect { request: ConnectId(request), len }),
        any::<u64>().prop_map(|request| Command::Abandon(ConnectId(request))),
        any::<u32>().prop_map(|len| Command::Log { level: LogLevel::Warn, len }),
        any::<u32>().prop_map(|len| Command::Print { len }),
    ]
}

fn answer() -> impl Strategy<Value = TurnOutput> {
    let rest = prop_oneof![
        Just(Rest::Ready),
        any::<u64>().prop_map(|nanos| Rest::Until(Instant::from_nanos(nanos))),
        Just(Rest::Stalled),
        Just(Rest::Empty),
    ];
    let commands = prop::collection::vec(command(), 0..5);
    let output = prop::collection::vec(any::<u8>(), 0..20);
    (rest, any::<u32>(), commands, output).prop_map(|(rest, room, commands, output)| TurnOutput {
        rest,
        room,
        commands,
        output,
    })
}

fn header() -> impl Strategy<Value = Header> {
    let start = (prop::collection::vec(".{0,12}", 0..4), any::<(u32, u32, bool, u32, u32)>());
    (".{0,12}", start).prop_map(
        |(service, (arguments, (max_connections, max_buffered, computes, slice, max_jobs)))| Header {
            service,
            start: ServiceSettings { arguments, max_connections, max_buffered, computes, slice, max_jobs },
        },
    )
}

/// A turn: nanoseconds since the previous one, window, events, input, and the answer. `None` is a fresh loop.
type Happened = Option<(u32, u32, Vec<Event>, Vec<u8>, Option<TurnOutput>)>;

fn happened() -> impl Strategy<Value = Happened> {
    let events = prop::collection::vec(event(), 0..6);
    let input = prop::collection::vec(any::<u8>(), 0..20);
    let turn = (any::<u32>(), any::<u32>(), events, input, prop::option::of(answer()));
    prop::option::weighted(0.9, turn)
}

/// Writes a recording. Returns the recording, its records, and the positions of the ends of its frames.
fn write(header: &Header, run: &[Happened], end: Option<bool>) -> (Vec<u8>, Vec<Owned>, Vec<usize>) {
    let (mut bytes, mut records) = (Vec::new(), Vec::new());
    let mut writer = Writer::new(header, &mut bytes);
    let (mut now, mut ends) = (Instant::ZERO, Vec::from([bytes.len()]));
    let (mut turns, mut events_so_far) = (0, 0);
    for happened in run {
        match happened {
            None => {
                writer.fresh(&mut bytes);
                records.push(Owned::Fresh);
            }
            Some((passed, window, events, input, answer)) => {
                now = Instant::from_nanos(now.as_nanos() + u64::from(*passed));
                let turn = Turn { now, window: *window, events, input };
                writer.turn(&turn, answer.as_ref(), &mut bytes);
                let answer = answer.as_ref().map(checksum);
                records.push(Record::Turn { turn, answer }.into());
                (turns, events_so_far) = (turns + 1, events_so_far + events.len() as u64);
            }
        }
        ends.push(bytes.len());
    }
    if let Some(is_over) = end {
        writer.end(is_over, &mut bytes);
        records.push(Owned::End(End { turns, events: events_so_far, is_over }));
        ends.push(bytes.len());
    }
    (bytes, records, ends)
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        header in header(),
        run in prop::collection::vec(happened(), 0..8),
        is_over in any::<bool>(),
    ) {
        let (bytes, records, _) = write(&header, &run, Some(is_over));
        prop_assert_eq!(read(&bytes), (Some(header), records, None));
    }

    #[test]
    fn what_is_cut_anywhere_is_read_as_far_as_it_goes(
        header in header(),
        run in prop::collection::vec(happened(), 0..4),
    ) {
        let (bytes, records, ends) = write(&header, &run, Some(true));
        for cut in 0..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let at = ends.iter().rev().find(|end| **end <= cut).map_or(0, |end| *end as u64);
            let (found, read, error) = read(&bytes[..cut]);
            prop_assert_eq!(found.is_some(), whole > 0);
            prop_assert_eq!(&read[..], &records[..whole.saturating_sub(1)]);
            prop_assert_eq!(error, Some(if cut == 0 { Error::Empty } else { Error::Short { at } }));
        }
    }

    #[test]
    fn a_bit_that_is_flipped_anywhere_is_told_at_its_frame(
        header in header(),
        run in prop::collection::vec(happened(), 0..4),
    ) {
        let (bytes, records, ends) = write(&header, &run, Some(true));
        for bit in 0..8 * bytes.len() {
            let mut bent = bytes.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            let whole = ends.iter().filter(|end| **end <= bit / 8).count();
            let (found, read, error) = read(&bent);
            prop_assert_eq!(found.is_some(), whole > 0);
            prop_assert_eq!(&read[..], &records[..whole.saturating_sub(1)]);
            let begins = whole.checked_sub(1).map_or(BEHIND_VERSION, |last| ends[last]) as u64;
            match error {
                Some(Error::Foreign) => prop_assert!(bit / 8 < MAGIC.len()),
                Some(Error::Version(_)) => prop_assert_eq!(bit / 8, MAGIC.len()),
                Some(Error::Nonsense { at, .. }) => prop_assert_eq!(at, begins),
                _ => prop_assert!(false, "{error:?} for bit {bit}"),
            }
        }
    }

    #[test]
    fn a_frame_that_is_missing_or_told_again_or_before_another_is_damage(
        run in prop::collection::vec(happened(), 2..6),
        which in any::<prop::sample::Index>(),
    ) {
        let header = Header { service: String::new(), start: ServiceSettings::default() };
        let (bytes, records, ends) = write(&header, &run, Some(true));
        let which = which.index(ends.len() - 2);
        let (before, rest) = bytes.split_at(ends[which]);
        let (frame, behind) = rest.split_at(ends[which + 1] - ends[which]);
        let next = ends[which + 2] - ends[which + 1];
        let (other, last) = behind.split_at(next);
        for (bent, unharmed) in [
            ([before, behind].concat(), which),
            ([before, frame, frame, behind].concat(), which + 1),
            ([before, other, frame, last].concat(), which),
        ] {
            let (_, read, error) = read(&bent);
            prop_assert_eq!(&read[..], &records[..unharmed]);
            let is_told = matches!(error, Some(Error::Nonsense { at, .. }) if at == ends[unharmed] as u64);
            prop_assert!(is_told, "{error:?}");
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).2.is_some());
    }

    #[test]
    fn what_is_bent_anywhere_is_no_panic(
        header in header(),
        run in prop::collection::vec(happened(), 0..4),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let (mut bytes, ..) = write(&header, &run, Some(true));
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Some(Error::Nonsense { at, .. } | Error::Short { at }) = read(&bytes).2 {
            prop_assert!(at <= bytes.len() as u64);
        }
    }

    #[test]
    fn answers_that_differ_differ_in_their_sums(one in answer(), other in answer()) {
        prop_assert_eq!(one == other, checksum(&one) == checksum(&other));
    }
}

/// Returns a recording whose last frame is `body`, with correct checksums, and the position of `body`.
fn with_frame(body: &[u8]) -> (Vec<u8>, u64) {
    let (mut bytes, ..) =
        write(&Header { service: String::new(), start: ServiceSettings::default() }, &[], None);
    let mut sum = crc32fast::hash(&[&bytes[BEHIND_VERSION..][..4], &bytes[BEHIND_VERSION + HEAD..]].concat());
    let at = bytes.len() + HEAD;
    frame(&mut sum, &mut bytes, |bytes| bytes.extend(body));
    (bytes, at as u64)
}

/// Appends `len` zero bytes, preceded by their number.
fn put_long(len: usize, body: &mut Vec<u8>) {
    let mut left = len;
    while left > 0x7f {
        body.push(0x80 | u8::try_from(left & 0x7f).expect("seven bits"));
        left >>= 7;
    }
    body.push(u8::try_from(left).expect("seven bits"));
    body.resize(body.len() + len, 0);
}

/// A recording of a server with a limit of 0 jobs.
#[test]
fn a_limit_of_no_jobs_is_damage() {
    let (mut bytes, mut sum) = (MAGIC.to_vec(), 0);
    bytes.push(super::VERSION);
    let at = bytes.len() + HEAD;
    frame(&mut sum, &mut bytes, |bytes| bytes.extend([0, 0, 0, 0, 0, 0, 0]));
    let expected = Error::Nonsense { at: at as u64 + 6, what: "a limit of no jobs" };
    assert_eq!(read(&bytes).2, Some(expected));
}

#[test]
fn an_error_says_at_which_byte() {
    let cases: [(&[u8], u64, &str); 11] = [
        (&[], 0, "a frame of nothing"),
        (&[9], 0, "a frame of no known kind"),
        (&[3, 0], 1, "a frame that goes on behind its end"),
        (&[1, 0, 0, 1, 99, 0], 4, "an event of no known kind"),
        (&[1, 0, 0, 1], 3, "more of something than there is"),
        (&[1, 0, 0, 3, 4, 1, 0], 7, "fewer events than there should be"),
        (&[1, 0, 0, 0, 200, 1, 7], 4, "more bytes than there are"),
        (&[1, 0, 0, 0, 0, 1, 2, 3], 5, "no checksum"),
        (&[0, 0, 0, 2], 3, "neither yes nor no"),
        (&[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 0], 1, "no number"),
        (&[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02], 1, "no number"),
    ];
    for (body, offset, what) in cases {
        let (bytes, at) = with_frame(body);
        assert_eq!(read(&bytes).2, Some(Error::Nonsense { at: at + offset, what }));
    }
    let mut long = vec![1, 0, 0, 0];
    put_long(MAX_INPUT + 1, &mut long);
    let (bytes, at) = with_frame(&long);
    assert_eq!(read(&bytes).2, Some(Error::Nonsense { at: at + 4, what: "more input than a turn may have" }));
    // A length that no turn can have, with a correct check byte.
    let (mut bytes, _) = with_frame(&[3]);
    let at = bytes.len() as u64;
    let [a, b, c, ..] = (MAX_FRAME + 1).to_le_bytes();
    bytes.extend([a, b, c, !(a ^ b ^ c)]);
    assert_eq!(read(&bytes).2, Some(Error::Nonsense { at, what: "a frame that is larger than any turn" }));
    // Zeros at the end, as a disk may leave them.
    let (mut bytes, _) = with_frame(&[3]);
    let at = bytes.len() as u64;
    bytes.extend([0; 64]);
    assert_eq!(read(&bytes).2, Some(Error::Nonsense { at, what: "a frame whose length is none" }));
    let (mut bytes, _) = with_frame(&[0, 0, 0, 1]);
    let end = bytes.len() as u64;
    bytes.push(0);
    assert_eq!(read(&bytes).2, Some(Error::Nonsense { at: end, what: "something behind the end" }));
}

#[test]
fn something_else_is_told_at_once() {
    assert_eq!(read(b"#!/bin/sh\n").2, Some(Error::Foreign));
    assert_eq!(read(b"sinbin-rec\x01").2, Some(Error::Version(1)));
    assert_eq!(read(b"sinbin-rec\x02").2, Some(Error::Version(2)));
    assert_eq!(read(b"sinbin-rec\x05").2, Some(Error::Version(5)));
    assert_eq!(read(b"sinbin").2, Some(Error::Short { at: 0 }));
    assert_eq!(read(b"").2, Some(Error::Empty));
}

/// Version 4 has only added events to version 3.
#[test]
fn a_recording_of_the_version_before_can_be_read() {
    let (mut bytes, _) = with_frame(&[0, 0, 0, 1]);
    bytes[MAGIC.len()] = 3;
    let end = Owned::End(End { turns: 0, events: 0, is_over: true });
    let (_, records, error) = read(&bytes);
    assert_eq!((records, error), (vec![end], None));
}

#[test]
fn a_failure_for_no_known_reason_is_damage() {
    let request = [0, 0];
    for (reason, expected) in [(8, None), (9, Some("an error of no known kind"))] {
        let turn = [&[2, 0, 0, 1, 15][..], &request, &[reason, 0]].concat();
        let (bytes, _) = with_frame(&turn);
        let found = match read(&bytes).2 {
            Some(Error::Nonsense { what, .. }) => Some(what),
            // The recording has no end.
            _ => None,
        };
        assert_eq!(found, expected, "{reason}");
    }
}

#[test]
fn an_end_that_counts_other_turns_or_events_is_damage() {
    for (turns, events) in [(115, 0), (0, 7)] {
        let (bytes, _) = with_frame(&[0, turns, events, 1]);
        let recorded = End { turns: turns.into(), events: events.into(), is_over: true };
        let found = End { turns: 0, events: 0, is_over: true };
        assert_eq!(read(&bytes).2, Some(Error::Miscounted { recorded, found }));
    }
}
