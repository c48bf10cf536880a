//! One thing at a time.

use std::time::Duration;

use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Fixed, Instant, Storage};

use crate::client::Leaves;
use crate::net::Serve;
use crate::pool::Pool;
use crate::sim::{ROUND, Sim};

/// Room for everybody.
const ROOMY: Fixed<24, 24, 24, 24, 256> = Fixed;
/// One connection beside the acceptor, and no block to keep input in.
const NO_BLOCK: Fixed<2, 2, 1, 0, 128> = Fixed;

const IDLE: Duration = Duration::from_millis(100);

fn fib<S: Storage>(storage: &S) -> Sim<S> {
    Sim::new(storage, Serve::Fib, Fib::default(), &[])
}

fn fib_by<S: Storage>(storage: &S, framing: Framing) -> Sim<S> {
    let rules = Rules { framing, ..Rules::default() };
    Sim::new(storage, Serve::Fib, Fib { rules, ..Fib::default() }, &[])
}

fn fib_with_idle_timeout<S: Storage>(storage: &S) -> Sim<S> {
    Sim::new(storage, Serve::Fib, Fib { idle_timeout: Some(IDLE), ..Fib::default() }, &[])
}

/// Runs to the end. What the first client got.
fn told<S: Storage>(mut sim: Sim<S>) -> String {
    sim.run();
    let got = sim.clients[0].got.clone();
    sim.shut_down();
    String::from_utf8(got).expect("replies are text")
}

/// When the first connection is closed.
fn closes<S: Storage>(sim: &mut Sim<S>) -> Instant {
    let start = sim.rounds;
    while !sim.net.peers[0].closed {
        sim.round();
        assert!(sim.rounds < start + 100, "it is closed some time");
    }
    sim.now
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut sim = fib(&ROOMY);
    sim.client(b"3\n15\n4\n16\nx\n\n-1\n46\n7", Leaves::HalfClosed, 1000);
    let replies = "2\n610\n3\n987\nerror: not an integer\nerror: an empty line; send an integer\n1\n\
                   error: n is over the limit of 45\n13\n";
    assert_eq!(told(sim), replies);
}

/// The talk's own client: it sends a number without a newline, and waits for the line.
#[test]
fn a_bare_client_is_answered_read_by_read() {
    let mut sim = fib(&ROOMY);
    sim.client(b"15", Leaves::Never, 1000);
    sim.rounds(5);
    assert_eq!(sim.clients[0].got, b"610\n");
    sim.clients[0].script.extend(b"16");
    sim.rounds(5);
    assert_eq!(sim.clients[0].got, b"610\n987\n");
    sim.clients[0].leaves = Leaves::HalfClosed;
    assert_eq!(told(sim), "610\n987\n");
}

/// The error line leaves too little room in the output for another one. Still nothing comes after it.
#[test]
fn a_line_that_is_too_long_is_the_last_however_small_the_output_is() {
    let mut sim = fib(&Fixed::<2, 2, 1, 1, 128>);
    sim.client(&[&[b'0'; 65][..], b"\n7\n"].concat(), Leaves::HalfClosed, 1000);
    // (The simulation would stop at the first wrong byte; that is looked at below.)
    sim.rounds(2);
    let sent: Vec<u8> = sim.clients[0].got.iter().chain(&sim.net.peers[0].outbox).copied().collect();
    assert_eq!(str::from_utf8(&sent), Ok("error: the line is over the limit of 64 bytes; closing\n"));
    assert_eq!(told(sim), "error: the line is over the limit of 64 bytes; closing\n");
}

/// Where no block is left, little is read at once; but that is no cut that the client made.
#[test]
fn a_first_line_is_a_line_where_no_block_is_left() {
    let mut sim = fib_by(&NO_BLOCK, Framing::Auto);
    sim.client(b"+0000000005\n6\n", Leaves::HalfClosed, 1000);
    assert_eq!(told(sim), "5\n8\n");
}

/// The same for a client that sends no newline.
#[test]
fn a_bare_request_is_one_request_where_no_block_is_left() {
    let mut sim = fib_by(&NO_BLOCK, Framing::Bare);
    sim.client(b"+0000000005", Leaves::Answered, 1000);
    assert_eq!(told(sim), "5\n");
}

/// It is known to be whole only when nothing follows; and then its answer is stuck.
#[test]
fn a_bare_request_that_fills_a_bite_is_answered_though_the_answer_is_stuck() {
    for framing in [Framing::Auto, Framing::Bare] {
        let mut sim = fib_by(&NO_BLOCK, framing);
        sim.client(b"+0000005", Leaves::Never, 0);
        sim.rounds(5);
        sim.clients[0].script.extend(b"7");
        sim.rounds(5);
        sim.net.peers[0].room = 1000;
        sim.rounds(10);
        assert_eq!(sim.clients[0].got.escape_ascii().to_string(), "5\\n13\\n", "{framing:?}");
    }
}

/// The service stops before the client's first read is known to be whole. (The simulator found this.)
#[test]
fn a_bare_request_that_fills_a_bite_is_answered_though_the_service_stops() {
    for framing in [Framing::Auto, Framing::Bare] {
        let mut sim = fib_by(&NO_BLOCK, framing);
        sim.net.stopping = true;
        let client = sim.client(b"+0000005", Leaves::Never, 1000);
        sim.rounds(10);
        assert_eq!(sim.clients[client].got, b"5\n", "{framing:?}");
        assert!(sim.net.peers[client].closed);
    }
}

/// A send is a system call.
#[test]
fn nothing_is_sent_where_there_is_nothing_to_say() {
    let mut sim = fib(&ROOMY);
    sim.client(b"1\n15\n2", Leaves::Answered, 1000);
    sim.client(b"15\n", Leaves::HalfClosed, 1000);
    sim.client(b"", Leaves::HalfClosed, 1000);
    sim.run();
    assert_eq!(sim.net.empty_sends, 0);
}

#[test]
fn who_never_reads_is_not_read_from_and_holds_up_nobody() {
    let mut sim = fib(&ROOMY);
    let greedy = sim.client(&b"1\n".repeat(4000), Leaves::HalfClosed, 50);
    let other = sim.client(&b"9\n".repeat(200), Leaves::HalfClosed, 50);
    sim.clients[greedy].reads = false;
    sim.rounds(200);
    assert_eq!(sim.clients[other].got, b"34\n".repeat(200));
    let taken = sim.net.peers[greedy].taken();
    assert!(taken <= 50 + 256, "{taken} bytes were taken of a client that takes none");
    sim.clients[greedy].reads = true;
    assert_eq!(told(sim), "1\n".repeat(4000));
}

#[test]
fn a_silent_connection_is_closed_at_its_deadline_and_not_before() {
    for serve in [Serve::Fib, Serve::Echo, Serve::Upper] {
        let mut sim = fib_with_idle_timeout(&ROOMY);
        sim.net.serve = serve;
        sim.client(b"1\n", Leaves::Never, 1000);
        while sim.net.peers[0].reads.is_empty() {
            sim.round();
        }
        let heard = sim.now;
        assert_eq!(closes(&mut sim), heard + IDLE, "{serve:?}");
        assert!(sim.net.peers[0].sent > 0, "{serve:?}");
    }
}

#[test]
fn each_request_moves_the_deadline() {
    let mut sim = fib_with_idle_timeout(&ROOMY);
    sim.client(b"1\n", Leaves::Never, 1000);
    for _ in 0..10 {
        sim.rounds(9);
        sim.clients[0].script.extend(b"1\n");
    }
    sim.rounds(5);
    assert_eq!(sim.clients[0].got, b"1\n".repeat(11));
    assert!(closes(&mut sim) >= Instant::ZERO + 10 * 9 * ROUND + IDLE);
}

#[test]
fn who_takes_nothing_is_closed_at_its_deadline() {
    for serve in [Serve::Fib, Serve::Echo, Serve::Upper] {
        let mut sim = fib_with_idle_timeout(&ROOMY);
        sim.net.serve = serve;
        sim.client(&b"1\n".repeat(100), Leaves::Never, 20);
        sim.clients[0].reads = false;
        assert!(closes(&mut sim) <= Instant::ZERO + IDLE + ROUND * 5, "{serve:?}");
        assert_eq!(sim.executor.blocks_lent(), 0, "{serve:?}");
    }
}

#[test]
fn the_time_of_a_job_does_not_count() {
    let mut sim = fib_with_idle_timeout(&ROOMY);
    sim.client(b"15\n", Leaves::Answered, 1000);
    sim.works = false;
    sim.rounds(100);
    assert!(!sim.net.peers[0].closed);
    sim.works = true;
    assert_eq!(told(sim), "610\n");
}

#[test]
fn who_goes_away_takes_the_job_along_and_who_says_that_all_is_sent_does_not() {
    for (leaves, stays) in [(Leaves::Reset(0), false), (Leaves::HalfClosed, true)] {
        let mut sim = fib(&ROOMY);
        sim.net.pool = Pool::threads();
        sim.client(b"15\n", Leaves::Never, 1000);
        sim.works = false;
        sim.rounds(3);
        assert!(!sim.net.pool.is_idle());
        sim.clients[0].leaves = leaves;
        sim.rounds(3);
        assert_eq!(sim.net.pool.is_idle(), !stays, "{leaves:?}");
        sim.works = true;
        assert_eq!(told(sim), if stays { "610\n" } else { "" }, "{leaves:?}");
    }
}

/// Whatever it waits for: bytes, room, or a job.
#[test]
fn a_connection_that_is_cancelled_is_closed_and_gives_everything_back() {
    for (script, room) in [(&b"7\n1"[..], 1000), (&b"x\n".repeat(50), 40), (b"15\n3\n4\n5\n6\n7\n", 1000)] {
        let mut sim = fib(&ROOMY);
        sim.works = false;
        sim.client(script, Leaves::Never, room);
        sim.clients[0].reads = false;
        sim.rounds(5);
        assert!(!sim.net.peers[0].closed);
        let tasks: Vec<_> = sim.executor.kernel.tasks().map(|task| task.id).collect();
        assert!(sim.executor.kernel.cancel(tasks[1]), "the first is the acceptor");
        sim.net.peers[0].cancelled = true;
        sim.round();
        assert!(sim.net.peers[0].closed && sim.net.pool.is_idle());
        assert_eq!(sim.executor.blocks_lent(), 0);
    }
}

#[test]
fn without_a_place_for_a_job_the_next_request_is_answered_all_the_same() {
    let mut sim = fib(&Fixed::<2, 2, 0, 1, 128>);
    sim.jobs_may_fail = true;
    sim.client(b"15\n7\n", Leaves::HalfClosed, 1000);
    assert_eq!(told(sim), "error: too many jobs; try again later\n13\n");
}

#[test]
fn a_job_that_is_lost_is_an_error_and_the_next_request_is_answered_all_the_same() {
    let mut sim = fib(&ROOMY);
    sim.net.pool = Pool::threads();
    sim.jobs_may_fail = true;
    sim.works = false;
    sim.client(b"15\n7\n", Leaves::HalfClosed, 1000);
    sim.rounds(3);
    let lost = sim.net.pool.lose().expect("it is being computed");
    assert!(sim.executor.kernel.end_job(lost));
    assert_eq!(told(sim), "error: the computation failed\n13\n");
}

#[test]
fn more_clients_at_once_than_a_step_can_spawn_are_all_served() {
    let mut sim = fib(&ROOMY);
    for _ in 0..20 {
        sim.client(b"7\n", Leaves::Answered, 1000);
    }
    sim.rounds(10);
    assert!(sim.is_over(), "nobody had to wait for a second look at the listener");
    assert_eq!(told(sim), "13\n");
}

#[test]
fn who_finds_no_place_waits_until_another_leaves() {
    let mut sim = fib(&Fixed::<2, 2, 1, 1, 128>);
    let first = sim.client(b"7\n", Leaves::Never, 1000);
    let second = sim.client(b"8\n", Leaves::Answered, 1000);
    sim.rounds(50);
    assert_eq!(sim.net.backlog, [second]);
    sim.clients[first].leaves = Leaves::HalfClosed;
    sim.run();
    assert_eq!(sim.clients[second].got, b"21\n");
    sim.shut_down();
}

#[test]
fn an_acceptor_that_waits_for_a_place_ends_with_its_listener() {
    let mut sim = fib(&Fixed::<2, 2, 1, 1, 128>);
    sim.client(b"7\n", Leaves::Never, 1000);
    sim.client(b"8\n", Leaves::Never, 1000);
    sim.rounds(5);
    assert_eq!(sim.executor.kernel.tasks().count(), 2);
    let listener = sim.net.listener.take().expect("it listens");
    assert!(sim.executor.kernel.close(listener));
    sim.round();
    assert_eq!(sim.executor.kernel.tasks().count(), 1);
}

#[test]
fn upper_puts_its_mark_behind_each_read() {
    let mut sim = Sim::new(&ROOMY, Serve::Upper, Fib::default(), &[]);
    sim.client(b"hello", Leaves::Never, 1000);
    sim.rounds(5);
    sim.clients[0].script.extend(b" \xe4b");
    sim.rounds(5);
    assert_eq!(sim.clients[0].got, b"HELLO_SB \xe4B_SB");
}
