//! Scripted clients in virtual time.

use std::io::ErrorKind;
use std::time::Duration;

use sinbin_core::echo::Echo;
use sinbin_core::fib_protocol::Rules;
use sinbin_core::fib_service::Fib;
use sinbin_core::serve::Linger;
use sinbin_core::{Service, Task};
use sinbin_simulator::client_model::{AnyTalk, ClientModel, EchoTalk, FibTalk};
use sinbin_simulator::{ClientId, Computes, Expected, Faults, Plan, Read, Rng, Scripted, World};

/// Creates a simulation of the Fibonacci service, and a client of it.
fn fib(service: Fib, plan: &Plan) -> (Scripted<Fib, FibTalk>, ClientId) {
    let mut sim = Scripted::new(service, plan, Rng::seeded(0)).strict();
    let client = sim.connect(FibTalk::new(&service));
    (sim, client)
}

fn with_idle_timeout(timeout: Duration) -> (Echo, Plan) {
    let idle_timeout = Some(timeout);
    (Echo { idle_timeout, ..Echo::default() }, Plan { idle_timeout, ..Plan::friendly(10) })
}

#[track_caller]
fn end<S: Service<Conn: Task<World<S, T>>>, T: ClientModel>(sim: Scripted<S, T>) {
    let ended = sim.end();
    assert!(ended.outcome.is_ok(), "{:?}", ended.outcome);
}

#[test]
fn a_question_is_answered_and_the_end_by_the_end() {
    let (mut sim, ann) = fib(Fib::default(), &Plan::friendly(1));
    assert_eq!(sim.send(ann, b"20\n").ok(), Some(3));
    assert_eq!(sim.take(ann), b"", "the service only runs when driven");
    sim.drive().expect("no failure");
    assert_eq!(sim.take(ann), b"6765\n");
    let nothing = sim.receive(ann, &mut [0; 9]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(ErrorKind::WouldBlock));
    sim.half_close(ann);
    sim.drive().expect("no failure");
    assert_eq!(sim.receive(ann, &mut [0; 9]).ok(), Some(0));
    end(sim);
}

#[test]
fn jobs_take_time_and_others_are_answered_meanwhile() {
    for computes in [Computes::Workers(1), Computes::Slices] {
        let service = Fib { rules: Rules { max_n: 93, ..Rules::default() }, ..Fib::default() };
        let (mut sim, slow) = fib(service, &Plan { computes, ..Plan::friendly(2) });
        let fast = sim.connect(FibTalk::new(&service));
        sim.send(slow, b"93\n").expect("the bytes fit");
        for _ in 0..10 {
            sim.send(fast, b"20\n").expect("the bytes fit");
            let before = sim.now();
            sim.wait(Duration::from_millis(2)).expect("no failure");
            assert!(sim.now() >= before + Duration::from_millis(2));
            assert_eq!(sim.take(fast), b"6765\n", "{computes:?}");
        }
        sim.reset(slow);
        end(sim);
    }
}

#[test]
fn who_is_silent_is_closed_when_his_time_is_over_and_not_before() {
    let (service, plan) = with_idle_timeout(Duration::from_secs(60));
    let mut sim = Scripted::new(service, &plan, Rng::seeded(0)).strict();
    let client = sim.connect(EchoTalk);
    sim.drive().expect("no failure");
    assert!(sim.now() < Duration::from_millis(1), "nothing is waited for: {:?}", sim.now());
    sim.wait(Duration::from_millis(59_990)).expect("no failure");
    let early = sim.receive(client, &mut [0]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock));
    sim.wait(Duration::from_millis(20)).expect("no failure");
    assert_eq!(sim.receive(client, &mut [0]).ok(), Some(0));
    end(sim);
}

#[test]
fn a_step_in_which_a_task_did_something_lets_no_more_than_a_moment_pass() {
    let service = Echo { idle_timeout: None, ..Echo::default() };
    let mut sim = Scripted::new(service, &Plan::friendly(1), Rng::seeded(0)).strict();
    let client = sim.connect(EchoTalk);
    sim.drive().expect("no failure");
    sim.send(client, b"hello").expect("the bytes fit");
    let begin = sim.now();
    while sim.take(client).is_empty() {
        assert_eq!(
            sim.step(begin + Duration::from_secs(1)),
            Ok(true),
            "something happens until it is answered"
        );
    }
    assert!(sim.now() < begin + Duration::from_millis(1), "{:?}", sim.now() - begin);
    end(sim);
}

#[test]
fn a_reader_that_is_stuck_is_not_read_from() {
    let service = Echo { idle_timeout: None, ..Echo::default() };
    let mut sim = Scripted::new(service, &Plan::friendly(1), Rng::seeded(0)).strict();
    let client = sim.connect(EchoTalk);
    let mut sent = 0;
    let error = loop {
        match sim.send(client, &[b'x'; 4096]) {
            Ok(count) => sent += count,
            Err(error) => break error.kind(),
        }
        sim.drive().expect("no failure");
    };
    assert_eq!(error, ErrorKind::WouldBlock);
    assert!((1 << 17..1 << 18).contains(&sent), "two sockets and a block: {sent}");
    let mut got = 0;
    while got < sent {
        let more = sim.take(client).len();
        assert!(more > 0, "nothing follows {got} of {sent} bytes");
        got += more;
        sim.drive().expect("no failure");
    }
    assert_eq!(got, sent);
    end(sim);
}

#[test]
fn who_closes_with_something_unread_resets_and_so_does_who_is_sent_something_later() {
    let service = Echo { idle_timeout: None, ..Echo::default() };
    let mut sim = Scripted::told(service, &Plan::friendly(2), Rng::seeded(0)).strict();
    let [early, late] = [(); 2].map(|()| sim.connect(EchoTalk));
    sim.send(early, b"unread").expect("the bytes fit");
    sim.drive().expect("no failure");
    sim.close(early);
    sim.send(late, b"sent later").expect("the bytes fit");
    sim.close(late);
    sim.drive().expect("no failure");
    for client in [early, late] {
        let gone = sim.send(client, b"x").map_err(|error| error.kind());
        assert_eq!(gone, Err(ErrorKind::ConnectionReset));
    }
    let ended = sim.end();
    assert!(ended.outcome.is_ok(), "{:?}", ended.outcome);
    for line in ["client 0 closes", "client 0 has gone, and resets", "client 1 has gone, and resets"] {
        assert!(ended.story.contains(line), "{line}: {}", ended.story);
    }
}

#[test]
fn who_sends_on_after_the_last_answer_gets_it_and_the_end() {
    let (mut sim, client) = fib(Fib::default(), &Plan::friendly(1));
    sim.send(client, &[b'1'; 60_000]).expect("the bytes fit");
    sim.drive().expect("no failure");
    let said = sim.take(client);
    assert_eq!(said, b"error: the line is over the limit of 64 bytes; closing\n");
    assert_eq!(sim.receive(client, &mut [0]).ok(), Some(0));
    assert_eq!(sim.send(client, b"1").ok(), Some(1), "the connection lingers");
    sim.wait(Linger::PATIENCE + Duration::from_millis(1)).expect("no failure");
    let late = sim.send(client, b"1").map_err(|error| error.kind());
    assert_eq!(late, Err(ErrorKind::BrokenPipe), "the linger time has ended");
    end(sim);
}

#[test]
fn who_finds_no_room_waits_until_somebody_goes() {
    let service = Echo { idle_timeout: None, ..Echo::default() };
    let mut sim = Scripted::new(service, &Plan::friendly(1), Rng::seeded(0)).strict();
    let [first, second] = [(); 2].map(|()| sim.connect(EchoTalk));
    sim.send(second, b"hello").expect("the bytes fit");
    sim.wait(Duration::from_secs(1)).expect("no failure");
    assert_eq!(sim.take(second), b"");
    sim.close(first);
    sim.wait(Duration::from_secs(1)).expect("no failure");
    assert_eq!(sim.take(second), b"hello");
    end(sim);
}

/// Expects twice the bytes that the client sends.
struct Doubled;

impl ClientModel for Doubled {
    fn say(&mut self, _: &mut Rng, _: &mut Vec<u8>) {}

    fn heard(&mut self, read: Read<'_>, expected: &mut Expected) {
        if let Read::Bytes { bytes, .. } = read {
            expected.answer([bytes, bytes].concat());
        }
    }
}

#[test]
fn a_wrong_answer_is_a_failure_from_then_on() {
    let service = Echo { idle_timeout: None, ..Echo::default() };
    let mut sim = Scripted::new(service, &Plan::friendly(1), Rng::seeded(0)).strict();
    let client = sim.connect(Doubled);
    sim.send(client, b"one").expect("the bytes fit");
    sim.drive().expect("half an answer is not wrong");
    sim.send(client, b"two").expect("the bytes fit");
    let failure = sim.drive().expect_err("a wrong answer");
    assert_eq!(failure.what, "client 0: \"one\" is owed, and \"two\" is sent");
    assert_eq!(sim.wait(Duration::from_secs(1)), Err(failure.clone()));
    assert_eq!(sim.end().outcome, Err(failure));
}

#[test]
fn without_an_oracle_the_script_looks_itself() {
    let service = Echo { idle_timeout: None, ..Echo::default() };
    let mut sim = Scripted::new(service, &Plan::friendly(1), Rng::seeded(0)).strict();
    let client = sim.connect(AnyTalk);
    sim.send(client, b"one").expect("the bytes fit");
    sim.drive().expect("no failure");
    assert_eq!(sim.take(client), b"one");
    end(sim);
}

/// Holds a conversation under the faults of a seed, except those that change answers. Returns the checksum of the run.
fn with_faults(seed: u64) -> u64 {
    let service = Fib::default();
    let faults =
        Faults { accepts: 0, resets: 0, squatters: 0, failing_jobs: 0, dying_workers: 0, ..Faults::ALL };
    let faults = Faults { cancels: 0, short_reads: 0, ..faults };
    let plan = Plan { faults, max_pause: 100_000, ..Plan::friendly(4) };
    let mut sim = Scripted::new(service, &plan, Rng::seeded(seed)).strict();
    let clients = [(); 4].map(|()| sim.connect(FibTalk::new(&service)));
    for client in clients {
        // A fault may cut the bytes into pieces, which are all sent before the service runs.
        let mut bytes = &b"15\n7\n19\n"[..];
        while !bytes.is_empty() {
            bytes = &bytes[sim.send(client, bytes).expect("the bytes fit")..];
        }
    }
    let mut answers = clients.map(|client| (client, Vec::<u8>::new()));
    while answers.iter().any(|(_, answers)| answers.len() < 12) {
        sim.drive().expect("no failure");
        let more = answers.iter_mut().map(|(client, answers)| {
            let more = sim.take(*client);
            answers.extend(&more);
            more.len()
        });
        assert!(more.sum::<usize>() > 0, "no answer follows {answers:?}");
    }
    assert!(answers.iter().all(|(_, answers)| answers == b"610\n13\n4181\n"));
    sim.end().outcome.expect("no failure").sum
}

#[test]
fn bad_luck_changes_no_answer_and_a_seed_is_a_run() {
    let sums: Vec<_> = (0..50).map(with_faults).collect();
    let again: Vec<_> = (0..50).map(with_faults).collect();
    assert_eq!(sums, again);
    assert_ne!(sums[0], sums[1]);
}
