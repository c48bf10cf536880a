use std::cell::Cell;

use sinbin_core::IoError;
use sinbin_core::task::{Conn, Error, Handle};
use sinbin_simulator::client_model::{AnyTalk, EchoTalk};
use sinbin_simulator::{Calls, Names, Network, OFTEN, Plan, Rng, Troubles, simulate_callers, simulate_tasks};

use crate::{CALM, UPSTREAM, forwarder, relay};

/// Adds the calls of runs.
fn sum(runs: impl Iterator<Item = Calls>) -> Calls {
    runs.fold(Calls::default(), |sum, calls| Calls {
        begun: sum.begun + calls.begun,
        connected: sum.connected + calls.connected,
        failed: sum.failed + calls.failed,
        abandoned: sum.abandoned + calls.abandoned,
        completed: sum.completed + calls.completed,
    })
}

#[test]
fn the_forwarder_loses_nothing_and_its_attempts_end_in_all_ways() {
    for names in [Names::ByHost, Names::ByService] {
        let calls = sum((0..200).map(|seed| {
            let ended = relay(forwarder, Rng::seeded(seed), |_, network| network.names = names);
            ended.outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")).calls
        }));
        assert_eq!(calls.begun, calls.connected + calls.failed + calls.abandoned);
        let least = [calls.connected, calls.failed, calls.abandoned, calls.completed].into_iter().min();
        assert!(least >= Some(20) && calls.completed < calls.connected, "{names:?}: {calls:?}");
    }
}

#[test]
fn without_troubles_and_faults_everything_is_passed_on() {
    for seed in 0..100 {
        let names = if seed % 2 == 0 { Names::ByHost } else { Names::ByService };
        let ended = relay(forwarder, Rng::seeded(seed), |plan, network| {
            *plan = Plan { clients: 3, visits: 10, requests: 5, ..Plan::friendly(20) };
            plan.capacity.sources += 20;
            *network = Network { names, ..CALM };
        });
        let calls = ended.outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")).calls;
        assert_eq!((calls.begun, calls.completed), (10, 10), "seed {seed}");
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..50 {
        let run = || relay(forwarder, Rng::seeded(seed).recorded(), |_, _| {});
        let first = run();
        assert_eq!(run(), first, "seed {seed}");
        let replayed = relay(forwarder, Rng::replayed(&first.tape), |_, _| {});
        assert_eq!(replayed.outcome, first.outcome, "seed {seed}");
    }
}

#[test]
fn of_several_addresses_the_fastest_is_used() {
    let calls = sum((0..50).map(|seed| {
        let ended = relay(forwarder, Rng::seeded(seed), |plan, network| {
            *plan = Plan { clients: 3, visits: 10, requests: 5, ..Plan::friendly(20) };
            plan.capacity.sources += 40;
            plan.capacity.tasks += 40;
            let troubles = Troubles { slow_connects: OFTEN / 2, ..Troubles::NONE };
            *network = Network { names: Names::ByService, troubles, ..CALM };
        });
        ended.outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")).calls
    }));
    // A slow attempt is joined by the next one, and abandoned when that has succeeded.
    assert!(calls.begun > 550 && calls.abandoned > 50 && calls.completed > 300, "{calls:?}");
}

/// Tries to connect up to three times, and then returns the bytes that it receives.
async fn try_thrice(client: Conn<'_>, handle: Handle<'_>) -> Result<(), Error> {
    for _ in 0..3 {
        if handle.connect(UPSTREAM).await.is_ok() {
            break;
        }
    }
    let mut bytes = [0; 100];
    loop {
        match client.recv(&mut bytes).await? {
            0 => return Ok(()),
            count => client.send_all(&bytes[..count]).await?,
        }
    }
}

#[test]
fn a_service_that_is_no_relay_may_connect_as_often_as_it_likes() {
    let calls = sum((0..100).map(|seed| {
        let mut rng = Rng::seeded(seed);
        let plan = Plan { idle_timeout: None, ..Plan::drawn(&mut rng) };
        let network = Network { relays: false, names: Names::ByHost, ..Network::drawn(&mut rng, None) };
        let ended = simulate_callers(try_thrice, network, &plan, rng, |_| EchoTalk, false);
        ended.outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")).calls
    }));
    assert!(calls.failed > 50 && calls.connected > 50 && calls.completed == 0, "{calls:?}");
}

#[test]
fn a_service_without_a_network_cannot_call_out() {
    let plan = Plan { clients: 2, visits: 2, ..Plan::friendly(4) };
    let refused = Cell::new(0);
    let serve = async |client: Conn<'_>, handle: Handle<'_>| {
        let error = handle.connect("192.0.2.1:80").await.expect_err("there is no network");
        refused.set(refused.get() + usize::from(error.io() == Some(IoError::Unsupported)));
        client.recv(&mut [0]).await.map(|_| ())
    };
    let ended = simulate_tasks(serve, &plan, Rng::seeded(0), |_| AnyTalk, false);
    ended.outcome.expect("no failure");
    assert_eq!(refused.get(), 2);
}

#[test]
fn a_network_says_in_a_line_what_is_drawn() {
    assert_eq!(CALM.to_string(), "names resolved by the host, 5s to connect, no troubles");
    let troubles = Troubles { refused: 3, ..Troubles::NONE };
    let network = Network { names: Names::ByService, connect_timeout: None, troubles, ..CALM };
    assert_eq!(
        network.to_string(),
        "names resolved by the service, no time limit to connect, troubles in 1024: refused 3"
    );
    assert!(Troubles::ALL.to_string().contains("late answers 200, pauses 30, narrow 300"));
}
