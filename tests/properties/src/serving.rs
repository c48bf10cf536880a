//! Whole services under a driver that keeps the rules: each client receives exactly the bytes that it is owed.

use sinbin_core::Limits;
use sinbin_core::driven::Compute;
use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_testkit::driver::{Client, Driver, Sizes};
use sinbin_testkit::fib_oracle::{Read, asked, line};
use sinbin_testkit::tape::Tape;

/// The largest request. Larger ones would need too many slices.
const MAX_N: u32 = 18;

/// Checks the services [`Echo`] and [`Upper`]: clients receive the bytes that they send, or, from [`Upper`], those in
/// upper case with `_SB` behind each read. This holds for any cuts, windows and stuck outputs. Clients that break off
/// have received a prefix of that.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn echo(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let shouts = tape.once_in(2);
    let sizes = sizes(&mut tape);
    let mut scripts = scripts(&mut tape);
    if shouts {
        // Replaces underscores, so that every `_SB` comes from the service.
        let other = |byte: &mut u8| *byte = if *byte == b'_' { b'-' } else { *byte };
        scripts.iter_mut().flatten().for_each(other);
        let clients = Driver::new(Upper::default(), &sizes, &scripts, tape).run();
        clients.iter().zip(&scripts).for_each(|(client, script)| check_upper(client, script));
    } else {
        let clients = Driver::new(Echo::default(), &sizes, &scripts, tape).run();
        clients.iter().zip(&scripts).for_each(|(client, script)| client.check(script));
    }
}

/// Checks that the Fibonacci service answers as the oracle does, including jobs.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn service(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let max_n = u32::try_from(tape.below(19)).map_or(MAX_N, |less| MAX_N - less);
    let max_line = 64 - u16::try_from(tape.below(65)).unwrap_or(0);
    let rules = Rules { max_n, max_line, framing: Framing::Lines };
    let loop_n = u32::try_from(tape.below(12)).unwrap_or(0);
    let sizes = sizes(&mut tape);
    let scripts = scripts(&mut tape);
    let fib = Fib { rules, loop_n, ..Fib::default() };
    let clients = Driver::new(fib, &sizes, &scripts, tape).run();
    for (client, script) in clients.iter().zip(&scripts) {
        let read = Read { bytes: script.clone(), is_cut: false };
        let replies = asked(&rules, &[read], true).into_iter().map(|request| line(&rules, request));
        client.check(replies.collect::<String>().as_bytes());
    }
}

fn sizes(tape: &mut Tape<'_>) -> Sizes {
    // The acceptor takes one task.
    let tasks = 8 - tape.below(7);
    let limits = Limits::new(tasks, tape.below(4), 128 + tape.below(200));
    let window = match tape.below(4) {
        0 => 64 * 1024,
        1 => 1,
        2 => 1 + tape.below(256),
        _ => 1 + tape.below(16),
    };
    let slice = 500;
    let compute = tape.one_of(&[Compute::Driver { slice }, Compute::Here { slice }]);
    Sizes { limits, window, compute, ghosts: false }
}

fn scripts(tape: &mut Tape<'_>) -> Vec<Vec<u8>> {
    let count = 1 + tape.below(5);
    let script = |_| {
        let len = usize::from(tape.any::<u8>()) * tape.one_of(&[1, 8]);
        tape.piece(len).to_vec()
    };
    (0..count).map(script).collect()
}

/// Checks that each read ends in `_SB`, and that no read is empty.
fn check_upper(client: &Client, script: &[u8]) {
    let mut said = Vec::new();
    let mut got = &client.got[..];
    while let Some(end) = got.windows(3).position(|window| window == b"_SB") {
        assert!(end > 0, "an answer without input: {:?}", client.got);
        said.extend_from_slice(&got[..end]);
        got = &got[end + 3..];
    }
    if client.has_broken {
        let half = got.iter().position(|byte| *byte == b'_').unwrap_or(got.len());
        assert!(b"_SB".starts_with(&got[half..]), "a wrong suffix: {got:?}");
        said.extend_from_slice(&got[..half]);
        assert!(script.to_ascii_uppercase().starts_with(&said));
    } else {
        assert!(got.is_empty(), "an answer without its suffix: {got:?}");
        assert_eq!(said, script.to_ascii_uppercase());
    }
}
