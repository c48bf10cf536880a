//! Load and faults together: thousands of resets, slow senders, and SIGTERM during all of it. All received requests are
//! answered, to the byte, and no resource is left.
//!
//! No test here measures time. By default the amount of work is fixed rather than the time, and the tests wait for
//! resources that are released after a delay. With `SINBIN_LOAD_SECONDS=20` the crowd runs for that many seconds in
//! each of its two rounds, and `SINBIN_LOAD_SEED` sets the seed of all randomness. `just bench --only loris` measures
//! how slow senders affect the rate of other clients.

#![cfg(target_os = "linux")]

use std::env;
use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::Signal;
use sinbin_simulator::Rng;
use sinbin_tests::load::{Burst, Crowd, Footprint, Length, Moment, Summary, Talker, Tally, unacknowledged};
use sinbin_tests::{Client, Server, eventually, fib, machine};

/// The number of connections for which the service is designed.
const CONNECTIONS: usize = 8000;

/// The descriptors that this process needs for other purposes, including concurrent tests.
const OTHERS: u64 = 1500;

/// The average number of bursts of each connection in a round.
const BURSTS: usize = 3;

/// The number of connections that send a byte at a time.
const SLOW: usize = 500;

/// The number of normal clients beside them.
const NORMAL: usize = 20;

/// The number of clients that continue while the server stops, and the number of requests of each.
const TALKERS: usize = 100;
const REQUESTS: u32 = 60;

/// The number of seeds of the tests that a signal ends.
const SEEDS: u64 = 6;

/// The most bytes that the tables keep for a slot of a connection after it is closed, including the slot of its job.
const PLACE: u64 = 512;

/// The bytes that a server allocates when it first has work: its own buffers, a worker's stack and heap.
const BEGUN: u64 = 128 * 1024;

/// The most growth of a server's memory from the first round to the second, in percent.
const GROWTH: u64 = 5;

fn setting<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error:?}")))
}

/// Returns the seeds of a test that has `count` of them by default.
fn seeds(count: u64) -> Vec<u64> {
    match setting("SINBIN_LOAD_SEED") {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

/// Starts a server that accepts lines in any pieces, and whose drain does not end by its timeout.
fn server(args: &[&str]) -> Server {
    Server::fib(&[&["--framing", "lines", "--drain-timeout", "1h"], args].concat())
}

/// Runs two equal rounds with `connections` connections, and compares the server's resources after them. The first
/// round grows the memory that is kept for reuse, which is the high-water mark of the allocator and the tables.
/// The second round must not need more. Buffers are not kept.
fn holds_no_more_after<R>(
    server: &Server,
    connections: usize,
    mut round: impl FnMut(Footprint) -> R,
) -> [R; 2] {
    let idle = Footprint::of(server);
    let first = round(idle);
    let before = idle.again(server);
    let second = round(idle);
    let after = idle.again(server);
    println!("idle {idle:?}; after a round {before:?}; after another {after:?}");
    let most = idle.memory + BEGUN + PLACE * connections as u64;
    assert!(before.memory <= most, "more than {most} for {connections} connections: {idle:?}, {before:?}");
    let limit = before.memory + before.memory * GROWTH / 100;
    assert!(after.memory <= limit, "it grew by more than {GROWTH} %: {before:?}, {after:?}");
    [first, second]
}

#[test]
fn thousands_of_connections_of_which_one_in_ten_is_reset_leave_nothing_behind() {
    let limit = machine::raise_descriptor_limit().saturating_sub(OTHERS);
    let count = usize::try_from(limit).map_or(CONNECTIONS, |limit| limit.min(CONNECTIONS));
    assert!(count >= 500, "the hard limit of descriptors is too low for a crowd: {limit} (see ulimit -Hn)");
    let seed = seeds(1)[0];
    let seconds = setting("SINBIN_LOAD_SECONDS").map(Duration::from_secs);
    let length = seconds.map_or(Length::Bursts(count * BURSTS), Length::Span);
    println!("{count} connections, {length:?}, seed {seed}");

    // All of them may have a job at the same time.
    let server = server(&["--max-connections", "8000", "--max-jobs", "8000", "--workers", "1"]);
    let rounds = holds_no_more_after(&server, count, |idle| {
        let crowd = Crowd::connect(server.address(), count, Rng::seeded(seed));
        eventually("all connections at once", || Footprint::descriptors(&server) == idle.descriptors + count);
        let tally = crowd.run(length);
        println!("{tally:?}");
        // A new client is answered, and no worker still computes the job of a client that has left.
        server.client().ask(24);
        tally
    });
    let ended = server.stop();
    let summary = Summary::of(&ended);
    println!("{}", summary.line());
    check_counts(&summary, &rounds);
}

/// Asserts that the server's counts match those of the clients.
fn check_counts(summary: &Summary<'_>, rounds: &[Tally]) {
    let sum = |of: fn(&Tally) -> usize| rounds.iter().map(of).sum::<usize>();
    let during_job = sum(|round| round.resets.get(&Moment::DuringJob).copied().unwrap_or(0));
    let resets = sum(|round| round.resets.values().sum());
    let made = sum(|round| round.connections);
    let cancelled = summary.number("jobs cancelled");
    assert!(rounds.iter().all(|round| round.resets.len() == 5), "resets at all moments: {rounds:?}");
    assert!(cancelled >= during_job, "{during_job} endless jobs are cancelled: {}", summary.line());
    assert!(cancelled <= resets, "no jobs of other clients are: {}", summary.line());
    assert!(
        summary.number("connections failed") <= resets,
        "only reset connections fail: {}",
        summary.line()
    );
    // The connections of the crowd, and one more for each round. Some may have been reset before they were accepted.
    let (served, made) = (summary.number("connections"), made + rounds.len());
    assert!(served <= made && served + resets >= made, "{made} connections were made: {}", summary.line());
}

#[test]
fn slow_senders_harm_nobody() {
    machine::raise_descriptor_limit();
    let server = server(&["--workers", "1"]);
    let seed = seeds(1)[0];
    let _ = holds_no_more_after(&server, SLOW + NORMAL, |_| {
        let mut rng = Rng::seeded(seed);
        let mut slow: Vec<_> = (0..SLOW).map(|_| (server.client(), slow_words(&mut rng))).collect();
        let mut normal: Vec<_> = (0..NORMAL).map(|_| server.client()).collect();
        let longest = slow.iter().map(|(_, words)| words.len()).max().unwrap_or(0);
        for step in 0..longest {
            for (client, words) in &mut slow {
                if let Some(byte) = words.get(step) {
                    client.send([*byte]);
                }
            }
            // Every slow client is in the middle of something now.
            normal.iter_mut().for_each(|client| exchange(client, &mut rng));
        }
        for (client, words) in &mut slow {
            client.end();
            assert_eq!(client.rest(), answers(words), "{}", String::from_utf8_lossy(words));
        }
    });
    let ended = server.stop();
    assert!(!Summary::of(&ended).line().contains("failed"), "{}", ended.stdout);
}

/// Returns some lines, the last of which has no newline.
fn slow_words(rng: &mut Rng) -> Vec<u8> {
    let mut words = Burst::random(rng, 4, 24).requests;
    words.extend(rng.below(25).to_string().bytes());
    words
}

fn answers(words: &[u8]) -> String {
    // The end of the stream ends the last line.
    let lines = std::str::from_utf8(words).expect("digits").lines();
    lines.map(|line| format!("{}\n", fib(line.parse().expect("a number")))).collect()
}

fn exchange(client: &mut Client, rng: &mut Rng) {
    let burst = Burst::random(rng, 4, 20);
    client.send(&burst.requests);
    assert_eq!(client.bytes(burst.answers.len()), burst.answers, "the answers to a normal client");
}

#[test]
fn sigterm_under_load_loses_no_answer_to_what_was_received() {
    for seed in seeds(SEEDS) {
        let (server, mut talkers, mut rng) = talk(seed);
        send_for_a_while(&mut talkers, &mut rng);
        // The server's system has received all bytes that were sent, whether the server has read them or not, and no
        // more follow.
        eventually("the system to receive everything", || {
            unacknowledged(server.address()).values().sum::<usize>() == 0
        });
        server.signal(Signal::TERM);
        talkers.iter_mut().for_each(Talker::take_rest);
        for talker in &talkers {
            let due = talker.burst().answers_to(talker.sent());
            assert_same(talker.received(), due, &format!("seed {seed}"));
        }
        let (sent, received) = totals(&talkers);
        drop(talkers);
        let ended = server.wait();
        let summary = Summary::of(&ended);
        println!("seed {seed}: {sent} bytes of requests, {received} of answers; {}", summary.line());
        assert_eq!(summary.number("bytes in"), sent, "{}", summary.line());
        assert_eq!(summary.number("bytes out"), received, "{}", summary.line());
    }
}

#[test]
fn clients_that_send_on_through_a_sigterm_get_all_answers_to_what_came_before_it() {
    for seed in seeds(SEEDS) {
        let (server, mut talkers, mut rng) = talk(seed);
        send_for_a_while(&mut talkers, &mut rng);
        let underway = unacknowledged(server.address());
        let there = |talker: &Talker| talker.sent() - underway.get(&talker.port()).copied().unwrap_or(0);
        let there: Vec<_> = talkers.iter().map(there).collect();
        server.signal(Signal::TERM);
        while talkers.iter().any(Talker::goes_on) {
            talkers.iter_mut().for_each(|talker| talker.send_piece(&mut rng));
        }
        talkers.iter_mut().for_each(Talker::take_rest);
        let mut beyond = 0;
        for (talker, there) in talkers.iter().zip(there) {
            let (burst, received) = (talker.burst(), talker.received());
            let least = burst.answers_to(there).len();
            assert!(received.len() >= least, "seed {seed}: {} of {least} bytes", received.len());
            assert!(received.last().is_none_or(|byte| *byte == b'\n'), "seed {seed}: half an answer");
            let most = burst.answers_to(talker.sent());
            assert_same(received, &most[..received.len().min(most.len())], &format!("seed {seed}"));
            beyond += received.len() - least;
        }
        let (sent, received) = totals(&talkers);
        drop(talkers);
        let ended = server.wait();
        let summary = Summary::of(&ended);
        println!("seed {seed}: {received} bytes of answers, {beyond} beyond the signal; {}", summary.line());
        assert_eq!(summary.number("bytes out"), received, "{}", summary.line());
        assert!(summary.number("bytes in") <= sent, "{sent} bytes were sent: {}", summary.line());
    }
}

/// Starts a server, with a worker if the seed is even, and connects clients with many requests.
fn talk(seed: u64) -> (Server, Vec<Talker>, Rng) {
    let server = server(&["--workers", if seed.is_multiple_of(2) { "1" } else { "0" }]);
    let mut rng = Rng::seeded(seed);
    let talkers = (0..TALKERS).map(|_| {
        let mut burst = Burst::random(&mut rng, REQUESTS, 25);
        // The last line has no newline, so it is no request.
        burst.requests.push(b'1');
        Talker::connect(server.address(), burst)
    });
    let talkers = talkers.collect();
    (server, talkers, rng)
}

/// Sends pieces of all clients in random order, up to a random moment: before the first byte, after the last, or
/// between.
fn send_for_a_while(talkers: &mut [Talker], rng: &mut Rng) {
    let all = talkers.iter().map(|talker| talker.burst().requests.len()).sum::<usize>();
    let enough = rng.below(u32::try_from(all).expect("some kilobytes") + 1) as usize;
    let mut sent = 0;
    while sent < enough {
        let choice = rng.below(u32::try_from(talkers.len()).expect("some clients"));
        let talker = &mut talkers[choice as usize];
        let before = talker.sent();
        talker.send_piece(rng);
        sent += talker.sent() - before;
    }
}

/// Returns the numbers of bytes that all clients have sent and received.
fn totals(talkers: &[Talker]) -> (usize, usize) {
    let sent = talkers.iter().map(Talker::sent).sum();
    (sent, talkers.iter().map(|talker| talker.received().len()).sum())
}

#[track_caller]
fn assert_same(got: &[u8], due: &[u8], what: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(got == due, "{what}: received {:?} instead of {:?}", text(got), text(due));
}
