//! Runs: each is its seed and its actions, however it is played, and stays within its limits.

use sinbin_playground::{Frame, Kind, MAX_ACTIONS, MAX_LINK, MAX_STEPS, Place, Run, Scenario, play};
use sinbin_simulator::Rng;

fn run(link: &str) -> Run {
    Run::parse(link).unwrap_or_else(|error| panic!("{link}: {error}"))
}

/// Returns all steps of a run.
fn all(link: &str) -> Vec<Frame> {
    play(&run(link), 0..MAX_STEPS + 1).frames
}

fn last(link: &str) -> Frame {
    all(link).pop().expect("a run has a step")
}

/// Returns links to runs of every scenario, with actions where there are clients.
fn links() -> Vec<String> {
    let mut links = Vec::new();
    for scenario in Scenario::ALL {
        let about = scenario.describe();
        let name = about.name;
        for seed in [0, 7, u64::MAX] {
            links.push(format!("scenario={name}&seed={seed}"));
            links.push(format!("scenario={name}&seed={seed}&do=3:cancel:1.1,9:cancel:0.1,9:cancel:99.7"));
            if about.has_clients {
                let deeds = "0:slow:1,5:add:34,20:cut:2,30:add:1,44:reset:1,60:cut:2,70:slow:2";
                links.push(format!("scenario={name}&seed={seed}&do={deeds}"));
            }
        }
    }
    links
}

#[test]
fn a_run_is_the_same_in_whatever_pieces_it_is_played() {
    for link in links() {
        let run = run(&link);
        let whole = play(&run, 0..MAX_STEPS + 1);
        assert_eq!(whole.end, Some(whole.frames.len() - 1), "{link}");
        let mut pieces = Vec::new();
        for from in (0..whole.frames.len()).step_by(97) {
            pieces.extend(play(&run, from..from + 97).frames);
        }
        assert!(whole.frames == pieces, "{link}");
        assert!(whole.frames.iter().enumerate().all(|(step, frame)| frame.step == step), "{link}");
    }
}

#[test]
fn each_task_has_a_line_of_the_program_in_each_step() {
    for link in links() {
        let code = run(&link).scenario.describe().code;
        for frame in all(&link) {
            for task in &frame.tasks {
                let line = task.line.and_then(|line| code.get(line));
                let line = line.unwrap_or_else(|| panic!("{link}, step {}: {task:?}", frame.step));
                let waits = |name| line.contains(&format!("{name}(")) && line.contains(".await");
                let is_right = match task.place {
                    Place::Recv => waits("recv") || waits("accept"),
                    Place::Send => waits("send_all"),
                    Place::Job => waits("job"),
                    Place::Time => waits("sleep"),
                    Place::Task => waits("lock") || waits("acquire") || waits("join"),
                    Place::Queue | Place::Running => true,
                };
                assert!(is_right, "{link}, step {}: {task:?} at {line}", frame.step);
            }
        }
    }
}

#[test]
fn an_action_is_the_next_step_and_leaves_the_past_as_it_was() {
    for step in [0, 1, 17, 100] {
        let mut changed = run("scenario=echo&seed=3");
        let before = play(&changed, 0..MAX_STEPS + 1).frames;
        let step = step.min(before.len() - 1);
        changed.step = step;
        changed.act("add:0").expect("a client can be added");
        let after = play(&changed, 0..MAX_STEPS + 1).frames;
        assert!(before[..=step] == after[..=step], "step {step}");
        assert_eq!(after[step + 1].kind, Kind::You);
        assert_eq!(after[step + 1].caption, "You add client 4");
        assert_eq!(after.last().expect("a step").clients.len(), 4);
        assert_eq!(Run::parse(&changed.to_string()), Ok(changed));
    }
}

#[test]
fn an_earlier_action_removes_the_later_ones() {
    let mut changed = run("scenario=echo&step=20&do=10:slow:1,20:cut:2,30:reset:3");
    changed.act("add:0").expect("a client can be added");
    assert_eq!(changed.to_string(), "scenario=echo&seed=7&step=20&do=10:slow:1,20:add:0");
}

#[test]
fn what_an_action_does_is_seen_at_the_task() {
    let has = |link: &str, place, state: &str| {
        let is_it = |frame: &Frame| {
            frame.tasks.iter().any(|task| task.place == place && task.state.starts_with(state))
        };
        assert!(all(link).iter().any(is_it), "{link}: {state}");
    };
    has("scenario=echo&do=5:slow:2", Place::Send, "waits to send to client 2");
    let cut = last("scenario=echo&do=20:cut:2");
    assert!(cut.output.iter().any(|line| line.contains("failed: ")), "{:?}", cut.output);
    let reset = last("scenario=fib-workers&do=20:reset:2");
    assert_eq!(reset.clients[1].state, "has reset the connection");
    assert!(reset.output.iter().any(|line| line.contains("reset")), "{:?}", reset.output);
    let cancelled = all("scenario=fib-slices&do=40:cancel:2.1");
    assert!(cancelled.iter().any(|frame| frame.caption.contains("cancels job")));
}

#[test]
fn a_slow_job_holds_up_a_fast_client_only_in_the_task() {
    let longest = |scenario: &str| {
        let longest = last(&format!("scenario={scenario}")).clients[1].longest.clone();
        let (number, unit) = longest.split_once(' ').expect("a number and its unit");
        let number: f64 = number.parse().expect("a number");
        if unit == "ms" { number } else { number / 1000.0 }
    };
    assert!(longest("fib-workers") < 1.0);
    assert!((1.0..3.0).contains(&longest("fib-slices")));
    assert!(longest("fib-in-task") > 100.0);
}

#[test]
fn a_lock_sells_three_tickets_and_no_lock_sells_more() {
    for seed in 0..20 {
        let sold = |scenario: &str| last(&format!("scenario={scenario}&seed={seed}")).output.pop();
        assert_eq!(sold("tickets-locked").as_deref(), Some("3 sold, 0 left"));
        assert_ne!(sold("tickets").as_deref(), Some("3 sold, 0 left"));
    }
}

#[test]
fn a_deadlock_depends_on_the_seed_and_an_order_prevents_it() {
    let ends = |scenario: &str| -> Vec<bool> {
        let stalls = |seed| last(&format!("scenario={scenario}&seed={seed}")).caption.starts_with("No task");
        (0..40).map(stalls).collect()
    };
    let plain = ends("deadlock");
    assert!(plain.contains(&true) && plain.contains(&false));
    assert!(plain[7], "the first run that a visitor sees has one");
    assert!(!ends("ordered").contains(&true));
    let freed = last("scenario=deadlock&do=19:cancel:1.1");
    assert_eq!(freed.caption, "All tasks have ended");
}

#[test]
fn random_actions_break_no_promise() {
    // Debug builds check the kernel's promises after each turn.
    let mut rng = Rng::seeded(1);
    for round in 0..400 {
        let scenario = Scenario::ALL[rng.below(10) as usize].describe();
        let (mut step, mut deeds) = (0, Vec::new());
        for _ in 0..rng.below(25) {
            step += rng.below(20);
            let client = rng.between(1, 7);
            let deed = match rng.below(if scenario.has_clients { 5 } else { 1 }) {
                0 => format!("cancel:{}.{}", rng.below(8), 2 * rng.below(3) + 1),
                1 => format!("add:{}", rng.below(41)),
                2 => format!("slow:{client}"),
                3 => format!("cut:{client}"),
                _ => format!("reset:{client}"),
            };
            deeds.push(format!("{step}:{deed}"));
        }
        let link = format!("scenario={}&seed={round}&do={}", scenario.name, deeds.join(","));
        let played = play(&run(&link), 0..1);
        assert_eq!(played.frames.len(), 1, "{link}");
        assert!(play(&run(&link), MAX_STEPS..MAX_STEPS).end.is_some(), "{link}: each run ends");
    }
}

#[test]
fn links_that_are_not_valid_say_why() {
    let long = "x".repeat(MAX_LINK + 1);
    let many = format!("scenario=echo&do={}", vec!["1:slow:1"; MAX_ACTIONS + 1].join(","));
    let crowd = format!("scenario=echo&do={}", vec!["1:add:0"; 62].join(","));
    let wrong = [
        ("scenario=chess", "the scenario “chess” is none of countdown, sleepers,"),
        ("seed=-1", "the seed is “-1”, and must be a number from 0 to 18446744073709551615"),
        ("step=20001", "the step is “20001”, and must be a number from 0 to 20000"),
        ("step=99999999999999999999999999999999", "the step is “999999999999999999999999999999…”"),
        ("colour=red", "it has a part “colour” that is unknown"),
        ("scenario=echo&do=1:dance:2", "the action “1:dance:2” is unknown"),
        ("scenario=echo&do=1:slow:0", "clients are numbered from 1"),
        ("scenario=echo&do=1:slow:65", "the client is “65”, and must be a number from 0 to 64"),
        ("scenario=echo&do=1:cancel:x", "“x” is not the id of a task, such as 1.1"),
        ("scenario=echo&do=9:slow:1,8:slow:1", "the action “8:slow:1” is earlier than the one before it"),
        ("scenario=fib-workers&do=1:add:41", "the n of fib(n) is “41”, and must be a number from 0 to 40"),
        ("scenario=tickets&do=1:add:1", "the scenario “tickets” has no clients for the action “1:add:1”"),
        (&many, "it has more than 100 actions"),
        (&crowd, "a run has at most 64 clients"),
        (&long, "it has 4097 bytes, of at most 4096"),
    ];
    for (link, why) in wrong {
        let error = Run::parse(link).expect_err(link).to_string();
        assert!(error.starts_with("The link is not valid: ") && error.contains(why), "{link}: {error}");
    }
}

#[test]
fn a_run_ends_with_the_last_step_that_a_page_shows() {
    let clients: Vec<_> = (0..62).map(|i| format!("{i}:add:1")).collect();
    let crowd = run(&format!("scenario=fib-workers&do={}", clients.join(",")));
    let played = play(&crowd, MAX_STEPS - 2..MAX_STEPS + 10);
    assert_eq!(played.end, Some(MAX_STEPS));
    assert_eq!(played.frames.len(), 3);
    assert_eq!(played.frames[2].clients.len(), 64);
}
