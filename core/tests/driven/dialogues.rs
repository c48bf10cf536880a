//! A driven loop with a driver that keeps the contract but uses all the freedom that it leaves: input arrives in
//! pieces, output blocks anywhere, clients break off, jobs complete in any order with slices of any size, and events
//! name handles that do not exist. Every client receives exactly its answers, and nothing is left at the end.

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::driven::{Command, Compute, Driven, Event, SourceHandle};
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Instant, Interest, JobId, Limits, Rest};
use sinbin_testkit::cases::cases;
use sinbin_testkit::driver::{Driver, Sizes};
use sinbin_testkit::fib_oracle::{Read, asked, line};
use sinbin_testkit::tape::Tape;

fn script() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![6 => "(1|2|10|7)\n", 3 => "1[1-8]\n", 2 => "(x|99| )\n"];
    (vec(line, 0..60), "[0-9]?").prop_map(|(lines, tail)| (lines.concat() + &tail).into_bytes())
}

fn tape() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..2_000), vec(prop_oneof![Just(0), any::<u8>()], 0..2_000)]
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn every_client_gets_its_answers(
        scripts in vec(script(), 1..6),
        room in 1_usize..8,
        blocks in 0_usize..4,
        window in prop_oneof![Just(64 * 1024), 1_usize..300],
        compute in prop_oneof![Just(Compute::Driver { slice: 500 }), Just(Compute::Here { slice: 500 })],
        tape in tape(),
    ) {
        // The acceptor needs a task as well.
        let limits = Limits::new(room + 1, blocks, 256);
        let sizes = Sizes { limits, window, compute, ghosts: true };
        let rules = Rules { framing: Framing::Lines, ..Rules::default() };
        let fib = Fib { rules, ..Fib::default() };
        let clients = Driver::new(fib, &sizes, &scripts, Tape::new(&tape)).run();
        for (client, script) in clients.iter().zip(scripts) {
            let read = Read { bytes: script, is_cut: false };
            let answers = asked(&rules, &[read], true).into_iter().map(|request| line(&rules, request));
            client.check(answers.collect::<String>().as_bytes());
        }
    }
}

#[test]
fn events_that_mean_nothing_are_ignored_and_counted() {
    let mut driven = Driven::new(Fib::default(), &Limits::new(3, 1, 256), Compute::Driver { slice: 1 });
    let handle = SourceHandle(1);
    let events = [
        Event::Listener(SourceHandle(0)),
        // The handle is already in use.
        Event::Listener(SourceHandle(0)),
        // The handle names no listener.
        Event::Accepted { listener: handle, connection: SourceHandle(2), len: 0 },
        // The index exceeds every table.
        Event::Accepted { listener: SourceHandle(0), connection: SourceHandle(1 << 20), len: 0 },
        Event::Accepted { listener: SourceHandle(0), connection: handle, len: 0 },
        // The event claims more bytes than the input has. The bytes remain for the next event.
        Event::Received { source: handle, len: u32::MAX },
        Event::Hangup(SourceHandle(5 << 32 | 1)),
        Event::Computed { job: JobId::from_bits(3), len: 0 },
        Event::Lost(JobId::from_bits(u64::MAX)),
    ];
    let answer = driven.turn(Instant::ZERO, 100, events, b"abc".to_vec());
    assert_eq!(driven.counts().ignored, 7);
    assert_eq!(answer.room, 1);
    let watch = |source, interest| Command::Watch { source, interest };
    // Connections that can't be accepted are closed.
    let closed = [Command::Close(SourceHandle(2)), Command::Close(SourceHandle(1 << 20))];
    let watched = [watch(SourceHandle(0), Interest::RECV), watch(handle, Interest::RECV)];
    assert_eq!(answer.commands, [closed, watched].concat());
}

/// A connection that arrives through a connection instead of a listener is closed. No task would ever accept it.
#[test]
fn a_connection_that_comes_by_a_connection_is_turned_away() {
    let mut driven = Driven::new(Fib::default(), &Limits::new(4, 1, 256), Compute::Driver { slice: 1 });
    let (listener, client, other) = (SourceHandle(0), SourceHandle(1), SourceHandle(2));
    let accepted = |listener, connection| Event::Accepted { listener, connection, len: 0 };
    driven.turn(Instant::ZERO, 100, [Event::Listener(listener), accepted(listener, client)], Vec::new());
    let answer = driven.turn(Instant::ZERO, 100, [accepted(client, other)], Vec::new());
    assert_eq!(answer.commands, [Command::Close(other)]);
    assert_eq!((answer.room, driven.counts().ignored), (2, 1));
    let answer = driven.turn(Instant::ZERO, 100, [Event::Failed(client), Event::Stop], Vec::new());
    assert_eq!(answer.rest, Rest::Empty);
}
