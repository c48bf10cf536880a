//! Runs of the services that sinbin ships, and of the same as `async fn`s.

mod tasks;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Service, Task};

use crate::as_tasks::simulate_lone_tasks;
use crate::luck::Luck;
use crate::plan::{Computes, Plan};
use crate::report::Ended;
use crate::run::Simulation;
use crate::story::Story;
use crate::talk::{EchoTalk, FibTalk, Talk, UpperTalk};
use crate::world::World;

/// One of the shipped services, as luck will have it, by a plan that luck draws; told as a story if that is asked for,
/// which begins with the service and the plan.
#[must_use]
pub fn shipped(mut luck: Luck, told: bool) -> Ended {
    let plan = Plan::drawn(&mut luck);
    shipped_by(&plan, luck, told)
}

/// The same by a plan of the caller's.
#[must_use]
pub fn shipped_by(plan: &Plan, luck: Luck, told: bool) -> Ended {
    draw(plan, luck, Story::of(told))
}

/// The same without a story. While it runs, `steps` says how many steps there were so far.
#[must_use]
pub fn shipped_watched(plan: &Plan, luck: Luck, steps: &Arc<AtomicU64>) -> Ended {
    draw(plan, luck, Story::watched(Arc::clone(steps)))
}

/// How many services there are to choose from.
const SERVICES: u32 = 12;

const NAMES: [&str; SERVICES as usize] = [
    "fib in lines",
    "fib in lines",
    "fib in lines",
    "fib in lines",
    "fib, in lines or bare as each client has it",
    "fib, bare",
    "echo",
    "upper",
    "echo as an async fn",
    "echo as an async fn",
    "fib in lines as an async fn",
    "fib in lines as an async fn",
];

fn draw(plan: &Plan, mut luck: Luck, mut story: Story) -> Ended {
    let service = luck.below(SERVICES);
    story.begin(|| format!("{}; {plan}", NAMES[service as usize]));
    run(service, plan, luck, story)
}

fn run(service: u32, plan: &Plan, luck: Luck, story: Story) -> Ended {
    let idle_timeout = plan.idle_timeout;
    let framing = match service {
        0..4 => Framing::Lines,
        4 => Framing::Auto,
        5 => Framing::Bare,
        6 => return simulate(Echo { idle_timeout, ..Echo::default() }, plan, luck, story, |_| EchoTalk),
        7 => return simulate(Upper { idle_timeout, ..Upper::default() }, plan, luck, story, |_| UpperTalk),
        8 | 9 => return run_echo_tasks(plan, luck, story),
        _ => Framing::Lines,
    };
    // Half a line and another are a large number: to compute it would take longer than all the rest.
    let rules = Rules { framing, max_n: 18, ..Rules::default() };
    let fib = Fib { rules, idle_timeout, ..Fib::default() };
    let is_lost = plan.faults.failing_jobs > 0 || plan.faults.dying_workers > 0;
    let is_lost = is_lost && plan.computes != Computes::Slices;
    let is_busy = plan.rooms.jobs < plan.clients as usize;
    let talk = |_: &mut Luck| FibTalk::new(&fib).forgiving(is_busy, is_lost);
    if service < 10 {
        return simulate(fib, plan, luck, story, talk);
    }
    simulate_lone_tasks(async |conn, on| tasks::fib(&conn, on, &fib).await, plan, luck, talk, story)
}

fn run_echo_tasks(plan: &Plan, luck: Luck, story: Story) -> Ended {
    let idle = plan.idle_timeout;
    simulate_lone_tasks(async |conn, on| tasks::echo(&conn, on, idle).await, plan, luck, |_| EchoTalk, story)
}

fn simulate<S, T>(
    service: S,
    plan: &Plan,
    luck: Luck,
    story: Story,
    talks: impl FnMut(&mut Luck) -> T,
) -> Ended
where
    S: Service<Conn: Task<World<S, T>>>,
    T: Talk,
{
    Simulation::telling(service, plan, luck, talks, story).strict().run_recorded()
}
