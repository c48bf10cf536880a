use sinbin_core::echo::Upper;
use sinbin_core::fib_service::Fib;
use sinbin_simulator::client_model::{FibTalk, UpperTalk};
use sinbin_simulator::{Plan, Rng, Scripted};

use crate::{answers_now, answers_to, end, fib, say};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (sim, client) = fib(Fib::default(), &Plan::friendly(1));
    let replies = "2\n610\n3\n987\nerror: not an integer\nerror: an empty line; send an integer\n1\n\
                   error: n is over the limit of 45\n13\n";
    assert_eq!(answers_to(sim, client, b"3\n15\n4\n16\nx\n\n-1\n46\n7"), replies);
}

/// The client of the talk sends a number without a newline, and waits for the line.
#[test]
fn a_bare_client_is_answered_read_by_read() {
    let (mut sim, client) = fib(Fib::default(), &Plan::friendly(1));
    say(&mut sim, client, b"15");
    assert_eq!(answers_now(&mut sim, client), "610\n");
    say(&mut sim, client, b"16");
    assert_eq!(answers_now(&mut sim, client), "987\n");
    assert_eq!(answers_to(sim, client, b""), "");
}

/// Every send is a system call, so empty ones are avoided.
#[test]
fn nothing_is_sent_where_there_is_nothing_to_say() {
    let service = Fib::default();
    let mut sim = Scripted::new(service, &Plan::friendly(3), Rng::seeded(0));
    for says in [&b"1\n15\n2"[..], b"15\n", b""] {
        let client = sim.connect(FibTalk::new(&service));
        say(&mut sim, client, says);
        sim.half_close(client);
    }
    sim.drive().expect("no failure");
    let report = end(sim);
    assert_eq!((report.answers, report.empty_sends), (4, 0));
}

#[test]
fn upper_puts_its_mark_behind_each_read() {
    let mut sim =
        Scripted::new(Upper { idle_timeout: None, ..Upper::default() }, &Plan::friendly(1), Rng::seeded(0));
    let client = sim.connect(UpperTalk);
    say(&mut sim, client, b"hello");
    sim.drive().expect("no failure");
    assert_eq!(sim.take(client), b"HELLO_SB");
    say(&mut sim, client, b" \xe4b");
    sim.drive().expect("no failure");
    assert_eq!(sim.take(client), b" \xe4B_SB");
    end(sim);
}
