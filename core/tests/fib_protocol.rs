//! The Fibonacci protocol, compared with a straightforward parser and with the same bytes in pieces.

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::fib_protocol::{Bad, Framing, MAX_REPLY, Reply, Request, Requests, Rules};
use sinbin_testkit::cases::cases;
use sinbin_testkit::fib_oracle::{Read, asked, fib, line};

const LINES: Rules = Rules { max_n: 45, max_line: 64, framing: Framing::Lines };
const AUTO: Rules = Rules { framing: Framing::Auto, ..LINES };
const BARE: Rules = Rules { framing: Framing::Bare, ..LINES };

/// The ways in which the end of a line can arrive, one string per read.
const ENDS: &[&[&str]] = &[&["\n"], &["\r\n"], &["\r", "\n"]];

/// Returns all requests that the parser finds in `reads`, driven as a connection drives it.
fn parsed(rules: &Rules, reads: &[Read], ended: bool) -> Vec<Request> {
    let mut requests = Requests::default();
    let mut all = Vec::new();
    for read in reads {
        requests.begin_read(rules, &read.bytes, !read.is_cut);
        let mut rest = &read.bytes[..];
        while !rest.is_empty() {
            let (taken, request) = requests.next(rules, rest);
            assert!(taken > 0 || request == Some(Err(Bad::TooLong)), "the parser makes progress");
            rest = &rest[taken..];
            all.extend(request);
            if request == Some(Err(Bad::TooLong)) {
                return all;
            }
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

fn read(bytes: &[u8]) -> Read {
    Read { bytes: bytes.to_vec(), is_cut: false }
}

/// Cuts `input` into reads at these positions, each modulo the length of the input.
fn cut(input: &[u8], places: &[usize]) -> Vec<Read> {
    let mut places: Vec<_> = places.iter().map(|place| place % input.len().max(1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    let pieces = places.windows(2).map(|ends| read(&input[ends[0]..ends[1]]));
    // A read is never empty.
    pieces.filter(|piece| !piece.bytes.is_empty()).collect()
}

fn bytes_one_by_one(input: &[u8]) -> Vec<Read> {
    input.iter().map(|byte| read(&[*byte])).collect()
}

/// Returns `input` as the reads of a connection whose buffer has `size` bytes.
fn bites(input: &[u8], size: usize) -> Vec<Read> {
    let bite = |bite: &[u8]| Read { bytes: bite.to_vec(), is_cut: bite.len() == size };
    input.chunks(size).map(bite).collect()
}

/// Returns a line without its newline. Most lines are integers or close to one.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ \t\r]{0,3}[+-]?0{0,5}[0-9]{1,2}[ \t\r]{0,3}".prop_map(String::into_bytes),
        4 => "[0-9]{1,3}".prop_map(String::into_bytes),
        2 => "[ \t\r\x0b\x0c]{0,2}[+-]{0,2}[0-9]{0,45}[ ]{0,2}".prop_map(String::into_bytes),
        1 => "[ \u{a0}0-9a-z+-]{0,6}".prop_map(String::into_bytes),
        1 => "[0-9 ]{60,70}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..10),
    ]
}

/// Returns lines, sometimes with an incomplete line at the end.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![3 => Just(&b"\n"[..]), 1 => Just(&b"\r\n"[..])];
    (vec((text(), end), 0..12), prop_oneof![Just(Vec::new()), text()]).prop_map(|(lines, tail)| {
        let lines = lines.into_iter().flat_map(|(text, end)| [text, end.to_vec()].concat());
        lines.chain(tail).collect()
    })
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn a_line_says_what_the_standard_library_says(text in text(), max_n in 0..=93_u32) {
        let rules = Rules { max_n, ..LINES };
        let line = [read(&[&text[..], b"\n"].concat())];
        prop_assert_eq!(parsed(&rules, &line, false), asked(&rules, &line, false));
    }

    #[test]
    fn any_bytes_mean_the_same_whole_one_by_one_and_cut_anywhere(
        input in prop_oneof![4 => input(), 1 => vec(any::<u8>(), 0..200)],
        places in vec(any::<usize>(), 0..20),
        ended: bool,
    ) {
        let whole = asked(&LINES, &[read(&input)], ended);
        prop_assert_eq!(&parsed(&LINES, &cut(&input, &[]), ended), &whole);
        prop_assert_eq!(&parsed(&LINES, &bytes_one_by_one(&input), ended), &whole);
        prop_assert_eq!(&parsed(&LINES, &cut(&input, &places), ended), &whole);
    }

    #[test]
    fn once_a_first_line_is_whole_cuts_make_no_difference(
        input in input(),
        places in vec(any::<usize>(), 0..20),
        ended: bool,
    ) {
        let Some(newline) = input.iter().position(|byte| *byte == b'\n') else { return Ok(()) };
        let (first, rest) = input.split_at(newline + 1);
        let whole = asked(&LINES, &[read(&input)], ended);
        for rest in [cut(rest, &places), bytes_one_by_one(rest)] {
            let reads = [vec![read(first)], rest].concat();
            prop_assert_eq!(&parsed(&AUTO, &reads, ended), &whole);
        }
    }

    /// Each read is one request up to the first read with a newline. From that read on, each line is one request. A
    /// read that was cut off forms one request together with the next read.
    #[test]
    fn reads_are_requests_where_the_first_has_no_newline(
        reads in vec((prop_oneof![3 => text(), 1 => input()], prop::bool::weighted(0.25)), 0..8),
        ended: bool,
    ) {
        let reads = reads.into_iter().map(|(bytes, is_cut)| Read { bytes, is_cut });
        let reads: Vec<_> = reads.filter(|read| !read.bytes.is_empty()).collect();
        for rules in [AUTO, BARE] {
            prop_assert_eq!(parsed(&rules, &reads, ended), asked(&rules, &reads, ended));
        }
    }

    /// A newline right behind a bare request ends that request. From then on, requests are lines.
    #[test]
    fn a_line_and_its_end_may_come_apart(
        (bare, text, rest) in ("[0-9]{1,2}", text(), input()),
        end in prop::sample::select(ENDS),
        places in vec(any::<usize>(), 0..20),
        ended: bool,
    ) {
        // The reads before that are bare requests without a newline, as the clients of the talk send them.
        let bare = [bare.into_bytes(), text].map(|text| read(&text));
        let mut reads: Vec<_> = bare.into_iter().filter(|read| !read.bytes.is_empty()).collect();
        if reads.iter().any(|read| read.bytes.contains(&b'\n') || read.bytes == b"\r") {
            return Ok(());
        }
        let requests: Vec<_> = parsed(&BARE, &reads, false);
        if requests.contains(&Err(Bad::TooLong)) {
            return Ok(());
        }
        reads.extend(end.iter().map(|piece| read(piece.as_bytes())));
        reads.extend(cut(&rest, &places));
        let lines = asked(&LINES, &[read(&rest)], ended);
        let expected: Vec<_> = requests.into_iter().chain(lines).collect();
        prop_assert_eq!(&parsed(&AUTO, &reads, ended), &expected);
        prop_assert_eq!(&asked(&AUTO, &reads, ended), &expected);
    }

    /// Bare requests can be followed by lines of which the first arrives with its newline, for any buffer size.
    #[test]
    fn lines_may_follow_bare_requests(
        bare in vec("[0-9]{1,2}", 1..5),
        (first, rest) in ("[0-9]{1,2}\r?", input()),
        (size, places) in (1..10_usize, vec(any::<usize>(), 0..20)),
        ended: bool,
    ) {
        let bare: Vec<_> = bare.iter().map(|text| read(text.as_bytes())).collect();
        let first = [first.as_bytes(), b"\n"].concat();
        let lines = asked(&LINES, &[read(&[&first[..], &rest].concat())], ended);
        let expected = [parsed(&BARE, &bare, false), lines].concat();
        for first in [vec![read(&first)], bites(&first, size)] {
            let reads = [bare.clone(), first, cut(&rest, &places)].concat();
            prop_assert_eq!(&parsed(&AUTO, &reads, ended), &expected);
            prop_assert_eq!(&asked(&AUTO, &reads, ended), &expected);
        }
    }

    /// Cuts do not change the meaning of lines, except for a cut between the digits of the first line.
    #[test]
    fn lines_may_be_cut_anywhere_behind_the_first_digits(
        (first, rest) in ("[0-9]{1,2}\r?", input()),
        places in vec(any::<usize>(), 0..20),
        ended: bool,
    ) {
        let input = [first.as_bytes(), b"\n", &rest].concat();
        let digits = first.trim_end().len();
        let reads = [vec![read(&input[..digits])], cut(&input[digits..], &places)].concat();
        prop_assert_eq!(parsed(&AUTO, &reads, ended), asked(&LINES, &[read(&input)], ended));
    }

    /// The size of the buffer makes no difference.
    #[test]
    fn a_read_may_come_in_bites(text in text(), size in 1..10_usize, input in input(), ended: bool) {
        if !text.is_empty() && !text.contains(&b'\n') && !text.len().is_multiple_of(size) {
            let whole = [read(&text)];
            prop_assert_eq!(parsed(&AUTO, &bites(&text, size), ended), parsed(&AUTO, &whole, ended));
            prop_assert_eq!(parsed(&BARE, &bites(&text, size), ended), parsed(&BARE, &whole, ended));
        }
        if input.contains(&b'\n') {
            let whole = parsed(&AUTO, &[read(&input)], ended);
            prop_assert_eq!(parsed(&AUTO, &bites(&input, size), ended), whole);
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer(
        max_line in 0..80_u16,
        longer in -3..3_i32,
        ended: bool,
    ) {
        let rules = Rules { max_line, ..LINES };
        let len = usize::try_from(i32::from(max_line) + longer).unwrap_or(0);
        let input = [vec![b'0'; len], b"\n7\n".to_vec()].concat();
        let requests = parsed(&rules, &bytes_one_by_one(&input), ended);
        prop_assert_eq!(&requests, &asked(&rules, &[read(&input)], ended));
        prop_assert_eq!(requests == [Err(Bad::TooLong)], longer > 0);
    }
}

/// Tries every way to cut short inputs into reads, and marks each read as filling the buffer or not.
#[test]
fn all_cuts_of_short_inputs_are_what_the_oracle_says() {
    let alphabet = b"3x\r\n";
    let inputs = |len| (0..alphabet.len().pow(len)).map(move |number| input_of(alphabet, len, number));
    for input in (1..=5).flat_map(inputs) {
        // After each byte: the read continues, the read is complete, or the read is cut off.
        for number in 0..3_usize.pow(u32::try_from(input.len()).unwrap()) {
            let reads = reads_of(&input, number);
            for (rules, ended) in [(AUTO, false), (AUTO, true), (BARE, true), (LINES, true)] {
                assert_eq!(parsed(&rules, &reads, ended), asked(&rules, &reads, ended), "{reads:?}");
            }
        }
    }
}

/// Returns the input of `len` letters whose digits in the base of the alphabet are those of `number`.
fn input_of(alphabet: &[u8], len: u32, number: usize) -> Vec<u8> {
    (0..len).map(|at| alphabet[number / alphabet.len().pow(at) % alphabet.len()]).collect()
}

fn reads_of(input: &[u8], mut number: usize) -> Vec<Read> {
    let mut reads = vec![read(b"")];
    for byte in input {
        let last = reads.last_mut().unwrap();
        last.bytes.push(*byte);
        last.is_cut = number % 3 == 2;
        if !number.is_multiple_of(3) {
            reads.push(read(b""));
        }
        number /= 3;
    }
    reads.retain(|read| !read.bytes.is_empty());
    reads
}

#[test]
fn a_newline_behind_a_bare_request_is_no_request() {
    for (pieces, expected) in [
        (&["30", "\r\n1\r\n"][..], &[Ok(30), Ok(1)][..]),
        (&["30", "\n", "1\n2\n"], &[Ok(30), Ok(1), Ok(2)]),
        (&["30", "\r", "\n1\n"], &[Ok(30), Ok(1)]),
        (&["30", "7", "\r\n", "1", "\n"], &[Ok(30), Ok(7), Ok(1)]),
        (&["x", "\n"], &[Err(Bad::NotInteger)]),
        // Telnet's alternative line ending, between bare requests.
        (&["30", "\r", "31", "\r"], &[Ok(30), Ok(31)]),
        // Each further newline ends an empty line.
        (&["30", "\n", "\n"], &[Ok(30), Err(Bad::Empty)]),
        (&["30", "7\n", "\n", "8"], &[Ok(30), Ok(7), Err(Bad::Empty)]),
    ] {
        let reads: Vec<_> = pieces.iter().map(|piece| read(piece.as_bytes())).collect();
        assert_eq!(parsed(&AUTO, &reads, false), expected, "{pieces:?}");
    }
}

#[test]
fn a_newline_in_a_later_read_makes_lines_of_it_and_of_what_follows() {
    for (pieces, expected) in [
        (&["30", "5\n", "6\n7\n"][..], &[Ok(30), Ok(5), Ok(6), Ok(7)][..]),
        (&["3", "0\r\n1\n"], &[Ok(3), Ok(0), Ok(1)]),
        (&["30", "5\n1", "2\n"], &[Ok(30), Ok(5), Ok(12)]),
        (&["30", "31", "5\n1"], &[Ok(30), Ok(31), Ok(5)]),
        // A lone `\r` between the requests changes nothing.
        (&["30", "\r", "5\n6\n"], &[Ok(30), Ok(5), Ok(6)]),
        (&["x", "\ry\n\n"], &[Err(Bad::NotInteger), Err(Bad::NotInteger), Err(Bad::Empty)]),
    ] {
        let reads: Vec<_> = pieces.iter().map(|piece| read(piece.as_bytes())).collect();
        assert_eq!(parsed(&AUTO, &reads, false), expected, "{pieces:?}");
    }
}

#[test]
fn the_end_of_the_stream_ends_half_a_line() {
    for (tail, request) in [
        ("7", Some(Ok(7))),
        (" -7 ", Some(Ok(0))),
        ("x", Some(Err(Bad::NotInteger))),
        ("", None),
        (" \r", None),
    ] {
        let reads = [read(format!("3\n{tail}").as_bytes())];
        let all: Vec<_> = [Ok(3)].into_iter().chain(request).collect();
        assert_eq!(parsed(&LINES, &reads, true), all, "{tail:?}");
        assert_eq!(parsed(&LINES, &reads, false), [Ok(3)], "{tail:?}");
    }
}

/// A read fills the buffer and no bytes follow, so the request is complete.
#[test]
fn a_read_that_fills_the_buffer_ends_when_nothing_follows() {
    for (rules, text, request) in [
        (AUTO, "7", Ok(7)),
        (BARE, "7", Ok(7)),
        (AUTO, " ", Err(Bad::Empty)),
        (BARE, "1\n2", Err(Bad::NotInteger)),
    ] {
        let mut requests = Requests::new();
        requests.begin_read(&rules, text.as_bytes(), false);
        assert_eq!(requests.next(&rules, text.as_bytes()), (text.len(), None));
        assert!(requests.is_cut() && !requests.is_bare());
        requests.end_read();
        assert!(!requests.is_cut() && requests.is_bare());
        assert_eq!(requests.finish(&rules), Some(request));
        assert_eq!(requests.finish(&rules), None);
    }
}

#[test]
fn a_reply_is_one_line_that_fits() {
    use Bad::{Busy, Empty, Late, Lost, NotInteger, TooLarge, TooLong};
    let rules = Rules { max_n: 93, max_line: u16::MAX, framing: Framing::Auto };
    let replies = (0..=93).map(|n| (Reply::Value(fib(n)), Ok(n)));
    let errors =
        [Empty, NotInteger, TooLarge, TooLong, Busy, Lost, Late].map(|bad| (Reply::Error(bad), Err(bad)));
    for (reply, request) in replies.chain(errors) {
        let mut out = [0; MAX_REPLY];
        let len = reply.render(&rules, &mut out);
        assert_eq!(str::from_utf8(&out[..len]), Ok(&*line(&rules, request)));
    }
}

#[test]
fn the_largest_number_fits() {
    assert_eq!(line(&LINES, Ok(93)), "12200160415121876738\n");
    assert_eq!(sinbin_core::fib::MAX_N, 93);
    assert_eq!(fib(93).checked_add(fib(92)), None);
    assert!((0..25).all(|n| sinbin_core::fib::fib(n) == fib(n)));
}
