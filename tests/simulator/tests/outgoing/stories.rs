use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use sinbin_core::task::{AsyncService, Handle, NoWakers, Pool, RunContext};
use sinbin_simulator::client_model::RelayTalk;
use sinbin_simulator::{Network, OFTEN, Plan, Rng, Scripted, Troubles};

use crate::forward::PATIENCE;
use crate::{CALM, MOMENT, forwarder};

/// Runs `$story` on a simulation of the forwarder in a network with `$troubles`, which ends without a failure. Returns
/// its counts of outgoing connections.
macro_rules! with {
    ($troubles:expr, $story:expr) => {{
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let pool = pin!(Pool::growing(8));
        let service = AsyncService::new(handle, pool.as_ref(), |conn| forwarder(conn, handle));
        let mut plan = Plan::friendly(4);
        plan.capacity.sources += 4;
        let network = Network { troubles: $troubles, ..CALM };
        let mut sim = Scripted::new(service, &plan, Rng::seeded(0)).calling(network);
        $story(&mut sim);
        sim.end().outcome.expect("no failure").calls
    }};
}

/// Lets a trouble happen always.
macro_rules! always {
    ($($name:ident),+) => {
        Troubles { $($name: OFTEN,)+ ..Troubles::NONE }
    };
}

/// The answer of an upstream.
fn answer(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.wrapping_mul(5).wrapping_add(1)).collect()
}

#[test]
fn what_a_client_says_is_answered_and_its_end_by_the_end() {
    let calls = with!(Troubles::NONE, |sim: &mut Scripted<_, _>| {
        let client = sim.connect(RelayTalk);
        sim.send(client, b"hello").expect("the bytes fit");
        sim.wait(MOMENT).expect("no failure");
        assert_eq!(sim.take(client), answer(b"hello"));
        sim.half_close(client);
        sim.wait(MOMENT).expect("no failure");
        assert_eq!(sim.receive(client, &mut [0]).ok(), Some(0));
    });
    assert_eq!((calls.connected, calls.completed), (1, 1));
}

#[test]
fn a_client_without_an_upstream_is_cut_off_at_once() {
    let troubles = [always!(refused), always!(unreachable), always!(unresolved), always!(no_sockets)];
    for troubles in troubles {
        let calls = with!(troubles, |sim: &mut Scripted<_, _>| {
            let client = sim.connect(RelayTalk);
            sim.wait(MOMENT).expect("no failure");
            assert_eq!(sim.receive(client, &mut [0]).ok(), Some(0), "{troubles}");
        });
        assert_eq!((calls.begun, calls.failed), (1, 1), "{troubles}");
    }
}

#[test]
fn an_upstream_that_is_too_slow_is_given_up_when_the_time_is_over_and_not_before() {
    // Within these seeds, some attempts take longer than the limit, and others do not.
    let mut ends = [0; 2];
    for seed in 0..20 {
        for troubles in [always!(slow_connects), always!(slow_names)] {
            let run_context = RunContext::new(&NoWakers);
            let handle = Handle::new(&run_context);
            let pool = pin!(Pool::growing(8));
            let service = AsyncService::new(handle, pool.as_ref(), |conn| forwarder(conn, handle));
            let network = Network { troubles, ..CALM };
            let mut sim = Scripted::new(service, &Plan::friendly(4), Rng::seeded(seed)).calling(network);
            let client = sim.connect(RelayTalk);
            sim.send(client, b"hello").expect("the bytes fit");
            sim.wait(PATIENCE - MOMENT).expect("no failure");
            let early = sim.take(client);
            sim.wait(MOMENT * 2).expect("no failure");
            if early.is_empty() {
                let end = sim.receive(client, &mut [0]);
                let is_cut_off = matches!(&end, Ok(0))
                    || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
                assert!(is_cut_off, "seed {seed}: the time is over");
            } else {
                assert_eq!(early, answer(b"hello"), "seed {seed}");
            }
            let calls = sim.end().outcome.expect("no failure").calls;
            ends[usize::from(calls.abandoned == 1)] += 1;
        }
    }
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
}

#[test]
fn who_goes_while_the_upstream_is_called_takes_the_attempt_along() {
    let calls = with!(always!(slow_connects), |sim: &mut Scripted<_, _>| {
        let client = sim.connect(RelayTalk);
        sim.drive().expect("no failure");
        sim.cancel(client);
        sim.wait(Duration::from_micros(1)).expect("no failure");
    });
    assert_eq!(calls.connected + calls.failed + calls.abandoned, 1);
}

#[test]
fn an_upstream_that_resets_or_vanishes_cuts_its_client_off() {
    for (troubles, span) in [(always!(resets), MOMENT), (always!(vanishing), Duration::from_secs(21))] {
        let calls = with!(troubles, |sim: &mut Scripted<_, _>| {
            let client = sim.connect(RelayTalk);
            sim.send(client, &[7; 1000]).expect("the bytes fit");
            sim.wait(span).expect("no failure");
            sim.take(client);
            let end = sim.receive(client, &mut [0]);
            assert!(matches!(end, Ok(0)), "{troubles}: {end:?}");
        });
        assert_eq!((calls.connected, calls.completed), (1, 0), "{troubles}");
    }
}

#[test]
fn an_upstream_that_ends_early_still_receives_everything() {
    let calls = with!(always!(early_ends), |sim: &mut Scripted<_, _>| {
        let client = sim.connect(RelayTalk);
        sim.send(client, &[7; 1000]).expect("the bytes fit");
        sim.wait(MOMENT).expect("no failure");
        sim.take(client);
        assert_eq!(sim.receive(client, &mut [0]).ok(), Some(0), "the upstream has said all");
        assert_eq!(sim.send(client, b"more").ok(), Some(4), "and still listens");
        sim.half_close(client);
        sim.wait(MOMENT).expect("no failure");
    });
    assert_eq!(calls.completed, 1);
}

#[test]
fn the_connection_of_a_client_that_resets_ends_too() {
    let calls = with!(Troubles::NONE, |sim: &mut Scripted<_, _>| {
        let client = sim.connect(RelayTalk);
        sim.send(client, b"hello").expect("the bytes fit");
        sim.wait(MOMENT).expect("no failure");
        assert_eq!(sim.tasks(), 2);
        sim.reset(client);
        sim.wait(MOMENT).expect("no failure");
        assert_eq!(sim.tasks(), 1, "only the listener is left");
    });
    assert_eq!((calls.connected, calls.completed), (1, 0));
}
