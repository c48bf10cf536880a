//! Services that call out.
//!
//! * `seeds.rs`: random networks, in which a relay must lose nothing.
//! * `flaws.rs`: hosts and relays with flaws, which must be noticed.
//! * `stories.rs`: one trouble at a time, with scripted clients.

mod flaws;
mod seeds;
mod stories;

use std::time::Duration;

use sinbin_core::task::{Conn, Error, Handle};
use sinbin_simulator::client_model::RelayTalk;
use sinbin_simulator::{Ended, Names, Network, Plan, Rng, Troubles, simulate_callers};

#[path = "../../../../wasi-host/guest/forward/src/service.rs"]
mod forward;

/// The name that relays connect to.
const UPSTREAM: &str = "upstream.example:80";

/// A network in which nothing goes wrong, for a relay with the forwarder's time limit.
const CALM: Network = Network {
    relays: true,
    names: Names::ByHost,
    connect_timeout: Some(forward::PATIENCE),
    troubles: Troubles::NONE,
    flaw: None,
};

/// The forwarder.
async fn forwarder(client: Conn<'_>, _: Handle<'_>) -> Result<(), Error> {
    forward::forward(&client, UPSTREAM, |_| {}).await
}

/// Runs a relay by the plan and in the network of a seed, which `change` changes.
fn relay(
    serve: impl AsyncFn(Conn<'_>, Handle<'_>) -> Result<(), Error>,
    mut rng: Rng,
    change: impl Fn(&mut Plan, &mut Network),
) -> Ended {
    let mut plan = Plan { idle_timeout: None, ..Plan::drawn(&mut rng) };
    let mut network = Network::drawn(&mut rng, CALM.connect_timeout);
    change(&mut plan, &mut network);
    simulate_callers(serve, network, &plan, rng, |_| RelayTalk, false)
}

/// Longer than any connection takes to be established, except by troubles.
const MOMENT: Duration = Duration::from_millis(1);
