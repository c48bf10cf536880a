//! The port forwarder, which calls out: the one of the guest `forward`, without its guest.

use sinbin_core::task::{Conn, Handle};

use crate::as_tasks::simulate_lone_callers;
use crate::client_model::RelayTalk;
use crate::network::Network;
use crate::plan::Plan;
use crate::report::Ended;
use crate::rng::Rng;
use crate::story::Story;

#[path = "../../../../wasi-host/guest/forward/src/service.rs"]
mod service;

/// Runs the forwarder into a random network. It has no idle timeout.
pub(super) fn run(plan: &Plan, mut rng: Rng, mut story: Story) -> Ended {
    let network = Network::drawn(&mut rng, Some(service::PATIENCE));
    let plan = Plan { idle_timeout: None, ..plan.clone() };
    let to = if rng.below(4) == 3 { "192.0.2.1:80" } else { "upstream.example:80" };
    story.begin(|| format!("forwarder to {to}, {network}; {plan}"));
    let serve = async |client: Conn<'_>, _: Handle<'_>| service::forward(&client, to, |_| {}).await;
    simulate_lone_callers(serve, network, &plan, rng, |_| RelayTalk, story)
}
