//! Runs of the services that sinbin ships, and of the services written as `async fn`s.

mod forward;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Service, Task};

use crate::as_tasks::simulate_lone_tasks;
use crate::client_model::{ClientModel, EchoTalk, FibTalk, UpperTalk};
use crate::plan::{Computes, Plan};
use crate::report::Ended;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::story::Story;
use crate::world::World;

/// Runs a random shipped service by a random plan. The run records its story if `told` is set; the story begins with
/// the service and the plan.
#[must_use]
pub fn shipped(mut rng: Rng, told: bool) -> Ended {
    let plan = Plan::drawn(&mut rng);
    shipped_by(&plan, rng, told)
}

/// Runs a random shipped service by `plan`. The run records its story if `told` is set.
#[must_use]
pub fn shipped_by(plan: &Plan, rng: Rng, told: bool) -> Ended {
    draw(plan, rng, Story::of(told))
}

/// Runs a random shipped service by `plan`, without a story. During the run, `steps` holds the number of steps.
#[must_use]
pub fn shipped_watched(plan: &Plan, rng: Rng, steps: &Arc<AtomicU64>) -> Ended {
    draw(plan, rng, Story::watched(Arc::clone(steps)))
}

/// The number of services to choose from.
const SERVICES: u32 = 12;

/// The number of the service that calls out.
const FORWARDER: u32 = 3;

const NAMES: [&str; SERVICES as usize] = [
    "fib in lines",
    "fib in lines",
    "fib in lines",
    "forwarder",
    "fib, in lines or bare as each client has it",
    "fib, bare",
    "echo",
    "upper",
    "echo as an async fn",
    "echo as an async fn",
    "fib in lines as an async fn",
    "fib in lines as an async fn",
];

fn draw(plan: &Plan, mut rng: Rng, mut story: Story) -> Ended {
    let service = rng.below(SERVICES);
    if service == FORWARDER {
        return forward::run(plan, rng, story);
    }
    story.begin(|| format!("{}; {plan}", NAMES[service as usize]));
    run(service, plan, rng, story)
}

fn run(service: u32, plan: &Plan, rng: Rng, story: Story) -> Ended {
    let idle_timeout = plan.idle_timeout;
    let framing = match service {
        0..=FORWARDER => Framing::Lines,
        4 => Framing::Auto,
        5 => Framing::Bare,
        6 => return simulate(Echo { idle_timeout, ..Echo::default() }, plan, rng, story, |_| EchoTalk),
        7 => return simulate(Upper { idle_timeout, ..Upper::default() }, plan, rng, story, |_| UpperTalk),
        8 | 9 => return run_echo_tasks(plan, rng, story),
        _ => Framing::Lines,
    };
    // Two half lines can form a large number, whose computation would take longer than the rest of the run.
    let rules = Rules { framing, max_n: 18, ..Rules::default() };
    let fib = Fib { rules, idle_timeout, ..Fib::default() };
    let is_lost = plan.faults.failing_jobs > 0 || plan.faults.dying_workers > 0;
    let is_lost = is_lost && plan.computes != Computes::Slices;
    let is_busy = plan.capacity.jobs < plan.clients as usize;
    let client_model = |_: &mut Rng| FibTalk::new(&fib).forgiving(is_busy, is_lost);
    if service < 10 {
        return simulate(fib, plan, rng, story, client_model);
    }
    simulate_lone_tasks(
        async |conn, handle| tasks::fib(&conn, handle, &fib).await,
        plan,
        rng,
        client_model,
        story,
    )
}

fn run_echo_tasks(plan: &Plan, rng: Rng, story: Story) -> Ended {
    let idle = plan.idle_timeout;
    simulate_lone_tasks(
        async |conn, handle| tasks::echo(&conn, handle, idle).await,
        plan,
        rng,
        |_| EchoTalk,
        story,
    )
}

fn simulate<S, T>(service: S, plan: &Plan, rng: Rng, story: Story, talks: impl FnMut(&mut Rng) -> T) -> Ended
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    Simulation::telling(service, plan, rng, talks, story).strict().run_recorded()
}
