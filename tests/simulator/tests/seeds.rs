//! Seeds of the shipped services: some that are run each time, and those that once found something.

use sinbin_core::echo::Echo;
use sinbin_simulator::talk::{EchoTalk, Talk};
use sinbin_simulator::{Ended, Luck, Owed, Plan, Read, Simulation, shipped, shipped_by, shrink};

/// `SINBIN_SEEDS` says how many; CI runs more of them by the command.
fn seeds() -> u64 {
    let seeds = std::env::var("SINBIN_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    seeds.unwrap_or(500)
}

#[test]
fn some_seeds_go_well() {
    for seed in 0..seeds() {
        let Ended { outcome, .. } = shipped(Luck::seeded(seed), false);
        assert!(outcome.is_ok(), "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_crowd_under_all_faults_goes_well() {
    for seed in 0..3 {
        let Ended { outcome, .. } = shipped_by(&Plan::endless(100, 20_000), Luck::seeded(seed), false);
        let report = outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        assert!(report.steps >= 20_000 && report.answers > 0);
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_so_does_its_tape() {
    for seed in 0..50 {
        let first = shipped(Luck::seeded(seed).recorded(), true);
        assert_eq!(shipped(Luck::seeded(seed).recorded(), true), first, "seed {seed}");
        let replayed = shipped(Luck::replayed(&first.tape), true);
        assert_eq!((replayed.story, replayed.outcome), (first.story, first.outcome), "seed {seed}");
    }
}

/// Owes what no service answers.
struct Wrong;

impl Talk for Wrong {
    fn say(&mut self, luck: &mut Luck, text: &mut Vec<u8>) {
        EchoTalk.say(luck, text);
    }

    fn heard(&mut self, read: Read<'_>, owed: &mut Owed) {
        if let Read::Bytes { bytes, .. } = read {
            // A byte in 1000 is another.
            let twist = |byte: &u8| if *byte == 77 { 78 } else { *byte };
            owed.answer(bytes.iter().map(twist).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_wrong_answer_is_found_and_its_run_is_cut_short() {
    let run = |mut luck: Luck| {
        let plan = Plan::drawn(&mut luck);
        let echo = Echo { idle_timeout: plan.idle_timeout };
        Simulation::new(echo, &plan, luck, |_: &mut Luck| Wrong).run_recorded()
    };
    let found = (0..100).map(|seed| run(Luck::seeded(seed).recorded())).find(|ended| ended.outcome.is_err());
    let found = found.expect("a byte of many is 77");
    let short = shrink(&found.tape, |tape| run(Luck::replayed(tape)).outcome.is_err());
    assert!(short.len() < found.tape.len() / 2, "{} of {}", short.len(), found.tape.len());
    let failure = run(Luck::replayed(&short)).outcome.expect_err("it fails still");
    assert!(failure.what.contains("is owed, and"), "{failure}");
    let before = found.outcome.expect_err("it failed").step;
    assert!(failure.step <= before, "{failure}, and {before} before");
}
