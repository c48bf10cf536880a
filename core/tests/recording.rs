//! Recordings through the public interface. The properties for arbitrary bytes are tested beside the code.

use sinbin_core::Instant;
use sinbin_core::driven::ServiceSettings;
use sinbin_core::driven::recording::{Decoder, End, Error, Header, Record, Turn, Writer};

fn header() -> Header {
    Header {
        service: "echo".to_owned(),
        start: ServiceSettings { max_connections: 7, ..ServiceSettings::default() },
    }
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
    assert_eq!(says(Error::Empty), "it is empty");
    assert_eq!(says(Error::Short { at: 0 }), "it ends within its header");
    assert_eq!(says(Error::Short { at: 3 }), "it is cut short behind byte 3");
    let (recorded, found) =
        (End { turns: 115, events: 200, is_over: true }, End { turns: 59, events: 98, is_over: true });
    assert_eq!(
        says(Error::Miscounted { recorded, found }),
        "it is damaged: 115 turns with 200 events were recorded, and 59 with 98 are here"
    );
    assert_eq!(says(Error::Nonsense { at: 4, what: "nothing" }), "it is damaged at byte 4: nothing");
    assert!(says(Error::Version(9)).starts_with("it is a recording of version 9, and versions 3 to "));
}
