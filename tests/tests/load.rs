//! Load and faults together: resets by the thousand, senders that take their time, SIGTERM in the midst of it all. What
//! was asked is answered, to the byte, and nothing is left behind.
//!
//! No test here measures time: by default there is so much to do, and not for so long; and what goes back to the system in
//! time is waited for. `SINBIN_LOAD_SECONDS=20` has the
//! crowd go on for so many seconds in each of its two rounds, and `SINBIN_LOAD_SEED` chooses what is random. What slow
//! senders do to the rate of others is measured by `just bench --only loris`.

#![cfg(target_os = "linux")]

use std::env;
use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::Signal;
use sinbin_simulator::Rng;
use sinbin_tests::load::{Burst, Crowd, Footprint, Length, Moment, Summary, Talker, Tally, unacknowledged};
use sinbin_tests::{Client, Server, eventually, fib, machine};

/// What the service is made for.
const CONNECTIONS: usize = 8000;

/// Descriptors that this process has for other things, among them those of the tests beside this one.
const OTHERS: u64 = 1500;

/// Bursts of requests for each connection in a round, on average.
const BURSTS: usize = 3;

/// Connections that send a byte at a time.
const SLOW: usize = 500;

/// Clients beside them.
const NORMAL: usize = 20;

/// Clients that go on while the server stops, and what each has to ask.
const TALKERS: usize = 100;
const REQUESTS: u32 = 60;

/// Seeds of the tests that a signal ends.
const SEEDS: u64 = 6;

/// What the tables keep of a place for a connection, at most, when it has gone: in bytes, its job's place among them.
const PLACE: u64 = 512;

/// What a server has as soon as it has something to do: its own buffers, the stack of a worker and its heap.
const BEGUN: u64 = 128 * 1024;

/// How much larger than after the first round a server may be after the second, in percent.
const GROWTH: u64 = 5;

fn setting<T: FromStr<Err: Debug>>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error:?}")))
}

/// The seeds of a test that has `count` of them by itself.
fn seeds(count: u64) -> Vec<u64> {
    match setting("SINBIN_LOAD_SEED") {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

/// A server that reads lines however they are cut, and whose drain does not end by the clock.
fn server(args: &[&str]) -> Server {
    Server::fib(&[&["--framing", "lines", "--drain-timeout", "1h"], args].concat())
}

/// Runs two equal rounds of so many connections, and compares what the server holds after them. The first one grows what
/// is kept for the next time, which is the allocator's and the tables' high-water mark: so the second must find all that
/// it needs. Buffers are not kept.
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

    // Each of them may have a job at the same time.
    let server = server(&["--max-connections", "8000", "--max-jobs", "8000", "--workers", "1"]);
    let rounds = holds_no_more_after(&server, count, |idle| {
        let crowd = Crowd::connect(server.address(), count, Rng::seeded(seed));
        eventually("all of them at once", || Footprint::descriptors(&server) == idle.descriptors + count);
        let tally = crowd.run(length);
        println!("{tally:?}");
        // Whoever comes now is answered, and no worker is held by the job of somebody who has gone.
        server.client().ask(24);
        tally
    });
    let ended = server.stop();
    let summary = Summary::of(&ended);
    println!("{}", summary.line());
    check_counts(&summary, &rounds);
}

/// Whether what the server says that it did is what the clients did.
fn check_counts(summary: &Summary<'_>, rounds: &[Tally]) {
    let sum = |of: fn(&Tally) -> usize| rounds.iter().map(of).sum::<usize>();
    let during_job = sum(|round| round.resets.get(&Moment::DuringJob).copied().unwrap_or(0));
    let resets = sum(|round| round.resets.values().sum());
    let made = sum(|round| round.connections);
    let cancelled = summary.number("jobs cancelled");
    assert!(rounds.iter().all(|round| round.resets.len() == 5), "resets at all moments: {rounds:?}");
    assert!(cancelled >= during_job, "{during_job} endless jobs are cancelled: {}", summary.line());
    assert!(cancelled <= resets, "jobs of nobody else are: {}", summary.line());
    assert!(summary.number("connections failed") <= resets, "others do not fail: {}", summary.line());
    // The crowd's and one more a round; perhaps without some that were gone before they were accepted.
    let (served, made) = (summary.number("connections"), made + rounds.len());
    assert!(served <= made && served + resets >= made, "{made} were made: {}", summary.line());
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
            // Every slow one is in the midst of something now.
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

/// Some lines, the last of which is never ended.
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
    assert_eq!(client.bytes(burst.answers.len()), burst.answers, "what a normal client asked");
}

#[test]
fn sigterm_under_load_loses_no_answer_to_what_was_received() {
    for seed in seeds(SEEDS) {
        let (server, mut talkers, mut rng) = talk(seed);
        send_for_a_while(&mut talkers, &mut rng);
        // All that was sent is with the server now, be it that it has read it or not, and no more comes.
        eventually("the system to take it all", || {
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
        assert!(summary.number("bytes in") <= sent, "{sent} were sent: {}", summary.line());
    }
}

/// A server, with a worker if the seed is even, and clients that have much to ask.
fn talk(seed: u64) -> (Server, Vec<Talker>, Rng) {
    let server = server(&["--workers", if seed.is_multiple_of(2) { "1" } else { "0" }]);
    let mut rng = Rng::seeded(seed);
    let talkers = (0..TALKERS).map(|_| {
        let mut burst = Burst::random(&mut rng, REQUESTS, 25);
        // At the end there is a line that is never ended: no request.
        burst.requests.push(b'1');
        Talker::connect(server.address(), burst)
    });
    let talkers = talkers.collect();
    (server, talkers, rng)
}

/// Sends pieces of all in no order, up to a moment that luck chooses: nothing sent yet, all of it, or in between.
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

/// Bytes that all have sent and received.
fn totals(talkers: &[Talker]) -> (usize, usize) {
    let sent = talkers.iter().map(Talker::sent).sum();
    (sent, talkers.iter().map(|talker| talker.received().len()).sum())
}

#[track_caller]
fn assert_same(got: &[u8], due: &[u8], what: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(got == due, "{what}: {:?} came, and not {:?}", text(got), text(due));
}
