//! The Fibonacci protocol compared with its oracle.

use sinbin_core::fib_protocol::{Bad, Framing, MAX_REPLY, Reply, Request, Requests, Rules};
use sinbin_testkit::fib_oracle::{Read, asked, line};
use sinbin_testkit::tape::Tape;

/// The end of a read.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    /// The read was shorter than the buffer.
    Whole,
    /// The read filled the buffer, and more follows.
    Cut,
    /// The read filled the buffer, and nothing followed.
    Fitting,
}

struct Piece {
    bytes: Vec<u8>,
    end: End,
}

/// Checks the parser with arbitrary bytes, cut into arbitrary reads, with each framing and any rules: the requests are
/// those of the oracle. With line framing they are independent of the cuts. Each request has the oracle's reply.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn fib(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let framing = tape.one_of(&[Framing::Lines, Framing::Auto, Framing::Bare]);
    let max_n = u32::try_from(93 - tape.below(94)).unwrap_or(0);
    let max_line = match tape.below(3) {
        0 => 64,
        1 => tape.any::<u8>().into(),
        _ => tape.any(),
    };
    let rules = Rules { max_n, max_line, framing };
    let ended = tape.once_in(2);
    let pieces = pieces(&mut tape);
    let reads: Vec<_> = pieces.iter().map(read).collect();
    let expected = asked(&rules, &reads, ended);
    assert_eq!(parsed(&rules, &pieces, ended), expected, "{rules:?}, {reads:?}");
    expected.iter().for_each(|request| answer(&rules, *request));
    by_lines(&Rules { framing: Framing::Lines, ..rules }, &reads, ended);
}

/// Reads pieces from the tape: each is a byte with its length and its end, followed by its bytes.
fn pieces(tape: &mut Tape<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while !tape.is_over() {
        let head: u8 = tape.any();
        let end = match head >> 6 {
            0 | 1 => End::Whole,
            2 => End::Cut,
            _ => End::Fitting,
        };
        let bytes = tape.piece(usize::from(head & 0x3f) + 1).to_vec();
        pieces.push(Piece { bytes, end });
    }
    // A read returns at least one byte.
    pieces.retain(|piece| !piece.bytes.is_empty());
    pieces
}

fn read(piece: &Piece) -> Read {
    Read { bytes: piece.bytes.clone(), is_cut: piece.end == End::Cut }
}

/// Checks that the lines depend only on the bytes, and not on the reads.
fn by_lines(rules: &Rules, reads: &[Read], ended: bool) {
    let input = sinbin_testkit::fib_oracle::bytes(reads);
    let whole = Piece { bytes: input.clone(), end: End::Whole };
    let one_by_one: Vec<_> = input.iter().map(|byte| Piece { bytes: vec![*byte], end: End::Whole }).collect();
    let expected = asked(rules, &[read(&whole)], ended);
    assert_eq!(parsed(rules, &[whole], ended), expected, "in one piece: {input:?}");
    assert_eq!(parsed(rules, &one_by_one, ended), expected, "one by one: {input:?}");
}

/// Returns all requests that the parser makes of `pieces`, driven as by a connection.
fn parsed(rules: &Rules, pieces: &[Piece], ended: bool) -> Vec<Request> {
    let mut requests = Requests::new();
    let mut all = Vec::new();
    for piece in pieces {
        requests.begin_read(rules, &piece.bytes, piece.end == End::Whole);
        let mut rest = &piece.bytes[..];
        while !rest.is_empty() {
            let (taken, request) = requests.next(rules, rest);
            assert!(taken > 0 || request == Some(Err(Bad::TooLong)), "it makes progress");
            rest = &rest[taken..];
            all.extend(request);
            if request == Some(Err(Bad::TooLong)) {
                return all;
            }
        }
        if piece.end == End::Fitting && requests.is_cut() {
            requests.end_read();
        }
        if requests.is_bare() {
            all.extend(requests.finish(rules));
        }
    }
    if ended {
        all.extend(requests.finish(rules));
    }
    all
}

fn answer(rules: &Rules, request: Request) {
    let reply = match request {
        Ok(n) => Reply::Value(sinbin_testkit::fib_oracle::fib(n)),
        Err(bad) => Reply::Error(bad),
    };
    let mut out = [0; MAX_REPLY];
    let len = reply.render(rules, &mut out);
    assert_eq!(str::from_utf8(&out[..len]), Ok(&*line(rules, request)));
}
