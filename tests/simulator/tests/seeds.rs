//! Seeds of the shipped services. Seeds that once found a bug are not kept, because a seed means a different run as
//! soon as the simulator changes. Bugs that were found are reproduced in `stories`, as scripted tests.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sinbin_core::echo::Echo;
use sinbin_simulator::client_model::{ClientModel, EchoTalk};
use sinbin_simulator::{
    Ended, Expected, Faults, Plan, Read, Rng, Simulation, shipped, shipped_by, shipped_watched, shrink,
};

/// Returns the number of seeds, which `SINBIN_SEEDS` sets. CI runs more of them with the `simulate` command.
fn seeds() -> u64 {
    let seeds = std::env::var("SINBIN_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    seeds.unwrap_or(500)
}

#[test]
fn some_seeds_go_well() {
    for seed in 0..seeds() {
        let Ended { outcome, .. } = shipped(Rng::seeded(seed), false);
        assert!(outcome.is_ok(), "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_crowd_under_all_faults_goes_well() {
    for seed in 0..3 {
        let Ended { outcome, .. } = shipped_by(&Plan::endless(100, 20_000), Rng::seeded(seed), false);
        let report = outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        assert!(report.steps >= 20_000 && report.answers > 0);
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_so_does_its_tape() {
    for seed in 0..50 {
        let first = shipped(Rng::seeded(seed).recorded(), true);
        assert_eq!(shipped(Rng::seeded(seed).recorded(), true), first, "seed {seed}");
        let replayed = shipped(Rng::replayed(&first.tape), true);
        assert_eq!((replayed.story, replayed.outcome), (first.story, first.outcome), "seed {seed}");
    }
}

#[test]
fn a_story_begins_with_the_service_and_the_plan() {
    for (seed, told) in (0..20).map(|seed| (seed, shipped(Rng::seeded(seed), true).story)) {
        let first = told.lines().next().expect("a line");
        let plan = Plan::drawn(&mut Rng::seeded(seed));
        // The forwarder has no idle timeout.
        let is_forwarder = first.starts_with("forwarder to ");
        let plan = if is_forwarder { Plan { idle_timeout: None, ..plan } } else { plan };
        assert!(first.ends_with(&format!("; {plan}")), "seed {seed}: {first}");
        let is_service = |name| first.contains(name);
        assert!(is_forwarder || ["fib", "echo", "upper"].into_iter().any(is_service), "{first}");
    }
}

#[test]
fn a_plan_says_in_a_line_what_is_drawn() {
    let plan = Plan::endless(3, 100);
    let calm =
        Plan { faults: Faults::default(), visits: 5, stops_at: Some(7), idle_timeout: None, ..plan.clone() };
    assert_eq!(
        calm.to_string(),
        "3 clients at a time, 5 visits, up to 100 requests each; jobs by 2 workers, no idle timeout, asked to stop after 7 \
         steps, 30s to drain; room for 8 connections, 12 tasks, 12 sources, 1 jobs, 2 blocks of 1024 bytes; no faults"
    );
    let all = plan.to_string();
    assert!(
        all.contains(", idle timeout 50ms, 30s to drain; ")
            && all.contains("; faults in 1024: short reads 400, "),
        "{all}"
    );
}

#[test]
fn a_run_that_is_watched_is_the_same_and_says_how_far_it_is() {
    let (plan, steps) = (Plan::endless(10, 2000), Arc::default());
    let watched = shipped_watched(&plan, Rng::seeded(1), &steps);
    assert_eq!(watched, shipped_by(&plan, Rng::seeded(1), false));
    let counted = watched.outcome.expect("no failure").steps;
    assert_eq!(steps.load(Ordering::Relaxed), counted);
}

/// Expects answers that no service gives.
struct Wrong;

impl ClientModel for Wrong {
    fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>) {
        EchoTalk.say(rng, text);
    }

    fn heard(&mut self, read: Read<'_>, expected: &mut Expected) {
        if let Read::Bytes { bytes, .. } = read {
            // The expected answer differs where a byte is 77.
            let twist = |byte: &u8| if *byte == 77 { 78 } else { *byte };
            expected.answer(bytes.iter().map(twist).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_wrong_answer_is_found_and_its_run_is_cut_short() {
    let run = |mut rng: Rng| {
        let plan = Plan::drawn(&mut rng);
        let echo = Echo { idle_timeout: plan.idle_timeout, ..Echo::default() };
        Simulation::new(echo, &plan, rng, |_: &mut Rng| Wrong).run_recorded()
    };
    // A run that fails within a few steps cannot be cut shorter.
    let is_long = |ended: &Ended| ended.outcome.as_ref().is_err_and(|failure| failure.step > 50);
    let found = (0..100).map(|seed| run(Rng::seeded(seed).recorded())).find(is_long);
    let found = found.expect("a byte of many is 77");
    let short = shrink(&found.tape, |tape| run(Rng::replayed(tape)).outcome.is_err());
    assert!(short.len() < found.tape.len() / 2, "{} of {}", short.len(), found.tape.len());
    let failure = run(Rng::replayed(&short)).outcome.expect_err("the short run fails");
    assert!(failure.what.contains("is owed, and"), "{failure}");
    let before = found.outcome.expect_err("it failed").step;
    assert!(failure.step <= before, "{failure}, and the long run after {before}");
}
