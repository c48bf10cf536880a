use std::io::ErrorKind;

use sinbin_core::fib_service::Fib;
use sinbin_core::serve::Linger;
use sinbin_simulator::client_model::FibTalk;
use sinbin_simulator::{ClientId, Faults, OFTEN, Plan, Scripted};

use crate::{JOB, JOB_ANSWER, MOMENT, answers_at_last, answers_to, end, fib, fib_for, is_closed, say};

/// Creates a client whose job is being computed.
fn computing() -> (Scripted<Fib, FibTalk>, ClientId) {
    let (mut sim, client) = fib(Fib::default(), &Plan::friendly(1));
    say(&mut sim, client, JOB);
    sim.wait(MOMENT).expect("no failure");
    assert!(sim.is_computing());
    (sim, client)
}

#[test]
fn who_goes_away_takes_the_job_along() {
    let (mut sim, client) = computing();
    sim.reset(client);
    sim.wait(MOMENT).expect("no failure");
    assert!(!sim.is_computing());
    end(sim);
}

#[test]
fn who_says_that_all_is_sent_does_not_take_the_job_along() {
    let (mut sim, client) = computing();
    sim.half_close(client);
    sim.wait(MOMENT).expect("no failure");
    assert!(sim.is_computing());
    assert_eq!(answers_at_last(sim, client), JOB_ANSWER);
}

/// The three connections wait for input, for capacity to send, and for a job.
#[test]
fn a_connection_that_is_cancelled_is_closed_and_gives_everything_back() {
    let stories = [
        (b"7\n1".to_vec(), 1000, "13\n"),
        (b"x\n".repeat(50), 40, "error: not an integer\nerror: not an inte"),
        ([JOB, b"3\n4\n5\n6\n7\n"].concat(), 1000, ""),
    ];
    for (says, room, answers) in stories {
        let (mut sim, client) = fib(Fib::default(), &Plan::friendly(1));
        sim.narrow(client, room);
        say(&mut sim, client, &says);
        sim.wait(MOMENT).expect("no failure");
        sim.cancel(client);
        sim.wait(MOMENT).expect("no failure");
        assert_eq!(String::from_utf8_lossy(&sim.take(client)), answers);
        assert!(is_closed(&mut sim, client) && !sim.is_computing());
        // The end of every run checks that no block is still lent.
        end(sim);
    }
}

#[test]
fn a_job_that_is_lost_is_an_error_and_the_next_request_is_answered_all_the_same() {
    let service = Fib::default();
    let client_model = FibTalk::new(&service).forgiving(false, true);
    let (mut sim, client) = fib_for(client_model, service, &Plan::friendly(1));
    say(&mut sim, client, JOB);
    say(&mut sim, client, b"7\n");
    sim.wait(MOMENT).expect("no failure");
    assert_eq!(sim.lose_jobs(), 1);
    assert_eq!(answers_to(sim, client, b""), "error: the computation failed\n13\n");
}

/// Creates a client that has sent a line over the limit and more, under the fault that every close of a socket with
/// unread input resets the connection.
fn turned_out() -> (Scripted<Fib, FibTalk>, ClientId) {
    let plan = Plan { faults: Faults { overtaken: OFTEN, ..Faults::default() }, ..Plan::friendly(1) };
    let (mut sim, client) = fib(Fib::default(), &plan);
    say(&mut sim, client, &[b'1'; 60_000]);
    (sim, client)
}

#[test]
fn no_reset_overtakes_the_last_answer_of_who_takes_it_in_time() {
    let (mut sim, client) = turned_out();
    sim.wait(Linger::PATIENCE - MOMENT).expect("no failure");
    let said = sim.take(client);
    assert_eq!(said, b"error: the line is over the limit of 64 bytes; closing\n");
    assert!(is_closed(&mut sim, client));
    end(sim);
}

#[test]
fn a_reset_overtakes_the_last_answer_of_who_does_not_take_it_in_time() {
    let (mut sim, client) = turned_out();
    sim.wait(Linger::PATIENCE + MOMENT).expect("no failure");
    let lost = sim.receive(client, &mut [0]).map_err(|error| error.kind());
    assert_eq!(lost, Err(ErrorKind::ConnectionReset));
    end(sim);
}
