//! Recordings as their users have them; what must hold of any bytes is tested beside the code.

use sinbin_core::Instant;
use sinbin_core::driven::Start;
use sinbin_core::driven::recording::{Decoder, Error, Header, Record, Turn, Writer};

fn header() -> Header {
    Header { service: "echo".to_owned(), start: Start { max_connections: 7, ..Start::default() } }
}

#[test]
fn a_frame_is_whole_when_its_last_byte_is_there() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&header(), &mut bytes);
    let mut decoder = Decoder::default();
    assert!((0..bytes.len()).all(|len| decoder.is_whole(&bytes[..len]) == Ok(false)));
    assert_eq!(decoder.is_whole(&bytes), Ok(true));
    let (found, rest) = decoder.header(&bytes).expect("it is whole");
    assert_eq!((found, rest), (header(), &[][..]));

    let turn = Turn { now: Instant::from_nanos(5), window: 9, events: &[], input: b"" };
    let mut bytes = Vec::new();
    writer.turn(&turn, None, &mut bytes);
    assert_eq!(writer.turns(), 1);
    assert!((0..bytes.len()).all(|len| decoder.is_whole(&bytes[..len]) == Ok(false)));
    assert_eq!(decoder.is_whole(&bytes), Ok(true));
    let (record, _) = decoder.record(&bytes).expect("it is whole");
    assert!(matches!(record, Record::Turn { answer: None, .. }));
}

#[test]
fn what_is_no_recording_is_told_where_and_why() {
    let decoder = Decoder::new();
    assert_eq!(decoder.is_whole(b"GET / HTTP/1.1\r\n"), Err(Error::Foreign));
    let says = |error: Error| error.to_string();
    assert_eq!(says(Error::Foreign), "it is no recording");
    assert_eq!(says(Error::Short { at: 3 }), "it is cut short behind byte 3");
    assert_eq!(says(Error::Nonsense { at: 4, what: "nothing" }), "it is damaged at byte 4: nothing");
    assert!(says(Error::Version(9)).starts_with("it is a recording of version 9, and version "));
}

#[test]
fn a_number_of_more_than_64_bits_is_damage() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&header(), &mut bytes);
    let mut decoder = Decoder::new();
    decoder.header(&bytes).expect("it is whole");
    let mut turn = Vec::new();
    writer.turn(&Turn { now: Instant::ZERO, window: 9, events: &[], input: b"" }, None, &mut turn);
    // A frame of that kind, of 20 bytes of a number that does not end.
    let endless = [&[21, 0, 0, 0, turn[4]][..], &[0x80; 9], &[0x81; 11]].concat();
    let record = decoder.record(&endless);
    assert!(matches!(record, Err(Error::Nonsense { .. })), "{record:?}");
}
