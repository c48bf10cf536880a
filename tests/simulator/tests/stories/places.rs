use std::time::Duration;

use sinbin_core::fib_protocol::Framing;
use sinbin_core::fib_service::Fib;
use sinbin_simulator::client_model::FibTalk;
use sinbin_simulator::{Capacity, Plan, Rng, Scripted};

use crate::{MOMENT, alone, answers_now, answers_to, by, end, fib, fib_for, is_closed, say};

/// The error line leaves too little capacity in the output for another one. Nothing may follow it in any case.
#[test]
fn a_line_that_is_too_long_is_the_last_however_small_the_output_is() {
    let (sim, client) = fib(Fib::default(), &alone(1));
    let says = [&[b'0'; 65][..], b"\n7\n"].concat();
    assert_eq!(answers_to(sim, client, &says), "error: the line is over the limit of 64 bytes; closing\n");
}

/// Without a free block, reads are small. The parser must not take that for a cut that the client made.
#[test]
fn a_first_line_is_a_line_where_no_block_is_left() {
    let (sim, client) = fib(by(Framing::Auto), &alone(0));
    assert_eq!(answers_to(sim, client, b"+0000000005\n6\n"), "5\n8\n");
}

/// A client that sends no newline, without a free block.
#[test]
fn a_bare_request_is_one_request_where_no_block_is_left() {
    let (mut sim, client) = fib(by(Framing::Bare), &alone(0));
    say(&mut sim, client, b"+0000000005");
    assert_eq!(answers_now(&mut sim, client), "5\n");
    assert_eq!(answers_to(sim, client, b""), "");
}

/// Without a free block, the line behind a bare request is read in small pieces.
#[test]
fn lines_may_follow_a_bare_request_where_no_block_is_left() {
    let (mut sim, client) = fib(by(Framing::Auto), &alone(0));
    say(&mut sim, client, b"3");
    assert_eq!(answers_now(&mut sim, client), "2\n");
    say(&mut sim, client, b"+0000000005\n6\n7\n");
    assert_eq!(answers_now(&mut sim, client), "5\n8\n13\n");
    assert_eq!(answers_to(sim, client, b"\n4"), "error: an empty line; send an integer\n3\n");
}

/// The request is known to be complete only when nothing follows, and at that time its answer is stuck.
#[test]
fn a_bare_request_that_fills_a_bite_is_answered_though_the_answer_is_stuck() {
    for framing in [Framing::Auto, Framing::Bare] {
        let (mut sim, client) = fib(by(framing), &alone(0));
        sim.narrow(client, 0);
        say(&mut sim, client, b"+0000005");
        assert_eq!(answers_now(&mut sim, client), "", "{framing:?}");
        say(&mut sim, client, b"7");
        assert_eq!(answers_now(&mut sim, client), "", "{framing:?}");
        sim.narrow(client, 1000);
        assert_eq!(answers_now(&mut sim, client), "5\n13\n", "{framing:?}");
        end(sim);
    }
}

/// The service stops before the client's first read is known to be complete.
#[test]
fn a_bare_request_that_fills_a_bite_is_answered_though_the_service_stops() {
    for framing in [Framing::Auto, Framing::Bare] {
        let (mut sim, client) = fib(by(framing), &alone(0));
        sim.drive().expect("no failure");
        say(&mut sim, client, b"+0000005");
        sim.stop();
        assert_eq!(answers_now(&mut sim, client), "5\n", "{framing:?}");
        assert!(is_closed(&mut sim, client), "{framing:?}");
        end(sim);
    }
}

#[test]
fn who_never_reads_is_not_read_from_and_holds_up_nobody() {
    let service = Fib::default();
    let plan = Plan::friendly(2);
    let plan = Plan { capacity: Capacity { block_size: 256, ..plan.capacity }, ..plan };
    let mut sim = Scripted::new(service, &plan, Rng::seeded(0)).strict();
    let [greedy, other] = [(); 2].map(|()| sim.connect(FibTalk::new(&service)));
    for client in [greedy, other] {
        sim.narrow(client, 50);
    }
    let (much, some) = ("1\n".repeat(4000), "9\n".repeat(200));
    say(&mut sim, greedy, much.as_bytes());
    say(&mut sim, other, some.as_bytes());
    let mut answers = String::new();
    while answers.len() < 3 * 200 {
        let more = answers_now(&mut sim, other);
        assert!(!more.is_empty(), "no more answers after {} bytes", answers.len());
        answers += &more;
    }
    assert_eq!(answers, "34\n".repeat(200));
    let taken = much.len() - sim.unread(greedy);
    assert!(taken <= 50 + 256, "{taken} bytes were read from a client that reads none");
    assert_eq!(answers_to(sim, greedy, b""), much, "each request equals its answer");
}

#[test]
fn without_a_place_for_a_job_the_next_request_is_answered_all_the_same() {
    let service = Fib::default();
    let plan = alone(1);
    let plan = Plan { capacity: Capacity { jobs: 0, ..plan.capacity }, ..plan };
    let (sim, client) = fib_for(FibTalk::new(&service).forgiving(true, false), service, &plan);
    assert_eq!(answers_to(sim, client, b"15\n7\n"), "error: too many jobs; try again later\n13\n");
}

#[test]
fn more_clients_at_once_than_a_step_can_spawn_are_all_served() {
    let service = Fib::default();
    let mut sim = Scripted::new(service, &Plan::friendly(20), Rng::seeded(0)).strict();
    let clients = [(); 20].map(|()| sim.connect(FibTalk::new(&service)));
    for client in clients {
        say(&mut sim, client, b"7\n");
    }
    sim.drive().expect("no failure");
    assert!(clients.iter().all(|client| sim.take(*client) == b"13\n"));
    assert!(sim.now() < MOMENT, "no client waited for a second poll of the listener: {:?}", sim.now());
    end(sim);
}

#[test]
fn an_acceptor_that_waits_for_a_place_ends_with_its_listener() {
    let service = Fib::default();
    let mut sim = Scripted::new(service, &alone(1), Rng::seeded(0)).strict();
    let [served, waits] = [(); 2].map(|()| sim.connect(FibTalk::new(&service)));
    sim.wait(Duration::from_secs(1)).expect("no failure");
    assert_eq!(sim.tasks(), 2);
    sim.close_listener();
    sim.drive().expect("no failure");
    assert_eq!(sim.tasks(), 1);
    assert!(sim.receive(waits, &mut [0]).is_err(), "it is refused");
    say(&mut sim, served, b"7\n");
    assert_eq!(answers_now(&mut sim, served), "13\n");
    end(sim);
}

#[test]
fn an_acceptor_that_is_about_to_run_when_its_listener_is_closed_does_not_fail() {
    let mut sim = Scripted::told(Fib::default(), &alone(1), Rng::seeded(0)).strict();
    sim.drive().expect("no failure");
    let waits = sim.connect(FibTalk::new(&Fib::default()));
    assert_eq!(sim.step(sim.now()), Ok(true), "its listener is ready, and it has not run yet");
    sim.close_listener();
    sim.drive().expect("no failure");
    assert!(sim.receive(waits, &mut [0]).is_err(), "it is refused");
    let ended = sim.end();
    assert!(ended.outcome.is_ok(), "{:?}", ended.outcome);
    assert!(ended.story.contains("task 0.1 ends"), "{}", ended.story);
}
