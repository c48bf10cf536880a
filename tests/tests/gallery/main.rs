//! The output of the examples: each prints what the program does that it reproduces.

#![cfg(unix)]

mod crawl;

use std::fs;
use std::path::Path;

use sinbin_tests::{Running, example};

/// Returns the output of an example that ends without an error.
fn printed(name: &str) -> String {
    let ended = Running::start(example(name)).wait();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{name}");
    ended.stdout
}

#[test]
fn three_tasks_count_down_in_turn() {
    let expected = "5 8 3 4 7 2 3 6 1 2 5 Task 1 4 Task 3 2 1 Task ".replace(' ', "\n");
    assert_eq!(printed("countdown"), expected);
}

#[test]
fn two_tasks_switch_to_each_other() {
    assert_eq!(printed("handover"), "12\n56\n34\n78\n");
}

#[test]
fn each_baozi_is_eaten_by_both_before_the_next_is_made() {
    let mut expected = "--->starting eating baozi...\n".repeat(2);
    for n in 1..=5 {
        expected += &format!("[c1] is eating baozi {n}\n[c2] is eating baozi {n}\n");
        expected += &format!("[producer] is making baozi {n}\n");
    }
    assert_eq!(printed("baozi"), expected);
}

#[test]
fn foo_and_bar_take_turns() {
    let expected = "Running in foo\n\
                    Explicit context to bar\n\
                    Explicit context switch to foo again\n\
                    Implicit context switch back to bar\n";
    assert_eq!(printed("joinall"), expected);
}

#[test]
fn the_poem_is_recited_in_turn() {
    let expected = "天猫精灵 : 小爱同学\n\
                    小爱 : 在\n\
                    天猫精灵 : 我们来对古诗吧\n\
                    小爱 : 好啊\n\
                    天猫精灵 : 我住长江头\n\
                    小爱 : 君住长江尾\n\
                    天猫精灵 : 日日思君不见君\n\
                    小爱 : 共饮长江水\n\
                    天猫精灵 : 此水几时休\n\
                    小爱 : 此恨何时已\n\
                    天猫精灵 : 只愿君心似我心\n\
                    小爱 : 定不负相思意\n";
    assert_eq!(printed("poem"), expected);
}

#[test]
fn with_a_lock_no_ticket_is_sold_twice() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tickets-{}", std::process::id()));
    fs::remove_dir_all(&dir).ok();
    fs::create_dir(&dir).expect("a directory can be made");
    let mut tickets = example("tickets");
    tickets.env("TMPDIR", &dir);
    let ended = Running::start(tickets).wait();
    let expected = "without a lock: 100 sold, 2 left\n\
                    with a lock: 3 sold, 0 left\n";
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), expected, ""));
    // The example leaves no file there.
    fs::remove_dir(&dir).expect("the directory is empty");
}

#[test]
fn the_workers_compute_all_squares() {
    let said = printed("pool_map");
    let lines: Vec<_> = said.lines().collect();
    let squares = |how: &str| (1..=11).map(|n| format!("{how}: {}", n * n)).collect::<Vec<_>>();
    assert_eq!(lines[0], "submit: 121");
    assert_eq!(lines[1..12], squares("map"));
    // Callbacks are called in the order in which the jobs end.
    let mut callbacks = lines[12..].to_vec();
    callbacks.sort_by_key(|line| (line.len(), *line));
    assert_eq!(callbacks, squares("callback"));
}

#[test]
fn a_deadlock_is_refused_or_reported() {
    let said = printed("deadlock");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 6, "{said}");
    assert_eq!(
        lines[..3],
        [
            "task 2.1 has the lock \"y\" and asks for \"x\", which does not come after it",
            "task 1.1 had both locks",
            "no task can make progress, and nothing can wake them:",
        ]
    );
    // Each line names the task, the task that it waits for, and where it was spawned, on any line.
    for (line, (task, other)) in lines[3..].iter().zip([("0.1", "1.1"), ("1.1", "2.1"), ("2.1", "1.1")]) {
        assert!(line.starts_with(&format!("  task {task}: waits for task {other} (")), "{line}");
    }
    for line in &lines[4..] {
        assert!(line.contains("(deadlock::at_will, spawned at native/examples/deadlock.rs:"), "{line}");
    }
}

#[test]
fn timers_run_in_the_order_of_their_deadlines() {
    assert_eq!(printed("timers"), "first\nsecond\nthird\n");
}
