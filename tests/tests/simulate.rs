//! The command `simulate`: accepted arguments, the contents of stdout and stderr, and exit codes.

#![cfg(unix)]

use std::fs::File;
use std::io::{BufRead, BufReader, pipe};
use std::process::Command;

use rustix::process::Signal;
use sinbin_tests::{Ended, Running};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulate"));
    command.args(args);
    command
}

fn simulate(args: &[&str]) -> Ended {
    Running::start(command(args)).wait()
}

/// More seeds than a test can wait for.
const MANY: [&str; 2] = ["--seeds", "1000000000000"];

#[test]
fn a_trace_begins_with_the_seed_the_service_and_the_plan_and_tells_readiness_in_words() {
    let ended = simulate(&["--seed", "7", "--trace"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let first = ended.stdout.lines().next().unwrap_or_default();
    assert!(first.starts_with("seed 7: ") && first.contains(" clients at a time, "), "{first}");
    assert!(first.contains("; room for ") && first.contains("faults"), "{first}");
    assert!(ended.stdout.contains(" is ready: to receive\n"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("Interest("), "{}", ended.stdout);
    assert!(ended.stdout.lines().last().is_some_and(|line| line.starts_with("seed 7: ")), "{}", ended.stdout);
}

#[test]
fn a_signal_stops_it_and_it_tells_how_to_go_on() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let running = Running::start(command(&[&MANY[..], &["--from", "5"]].concat()));
        // Before the process has installed its handlers, the signal ends it like any other process.
        handles_signals(&running);
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        let told = ended.stdout.strip_prefix("stopped after ").expect("how many seeds there were");
        let done: u64 = told.split(' ').next().and_then(|done| done.parse().ok()).expect("a number");
        assert!(told.contains(&format!("{done} of 1000000000000 seeds, of which 0 failed: ")), "{told}");
        let (next, left) = (5 + done, 1_000_000_000_000 - done);
        let go_on = format!("--bin simulate -- --from {next} --seeds {left}\n");
        assert!(told.ends_with(&go_on), "{told}");
    }
}

/// Waits until the process has threads, which it starts after it has installed its handlers.
#[cfg(target_os = "linux")]
fn handles_signals(running: &Running) {
    let tasks = format!("/proc/{}/task", running.pid().as_raw_nonzero());
    sinbin_tests::eventually("threads", || std::fs::read_dir(&tasks).is_ok_and(|tasks| tasks.count() > 1));
}

/// On other systems the handlers cannot be observed from outside, so wait for the first line of progress.
#[cfg(not(target_os = "linux"))]
fn handles_signals(running: &Running) {
    running.logs(" of 1000000000000 seeds in ");
}

#[test]
fn output_that_nobody_reads_any_more_ends_it_quietly() {
    for args in [&["--seed", "7", "--trace"][..], &["--seeds", "100"], &["--steps", "1000"]] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let ended = Running::start_into(command(args), writer).wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
    let (reader, writer) = pipe().expect("a pipe");
    let running = Running::start_into(command(&["--seed", "7", "--trace"]), writer);
    BufReader::new(reader).read_line(&mut String::new()).expect("a line");
    assert_eq!(running.wait().code, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_told_and_an_exit_code_of_1() {
    for args in [&["--seed", "7"][..], &["--seed", "7", "--trace"], &["--seeds", "100"], &["--steps", "1000"]]
    {
        let full = File::options().write(true).open("/dev/full").expect("a full disk");
        let ended = Running::start_into(command(args), full).wait();
        assert_eq!(ended.code, Some(1), "{args:?}");
        assert!(ended.stderr.starts_with("simulate: cannot write to stdout: "), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn every_seed_that_there_is_can_be_run_in_each_way() {
    let last = u64::MAX.to_string();
    assert_eq!(simulate(&["--seed", &last]).code, Some(0));
    assert_eq!(simulate(&["--from", &last, "--seeds", "1"]).code, Some(0));
    assert_eq!(simulate(&["--from", &last, "--steps", "100"]).code, Some(0));
    let ended = simulate(&["--from", &last, "--seeds", "2"]);
    assert_eq!(ended.code, Some(2));
    let message =
        format!("--from {last} and --seeds 2: the last seed is {last}, so there are 1 from there on\n");
    assert!(ended.stderr.ends_with(&message), "{}", ended.stderr);
}

#[test]
fn wrong_arguments_are_an_exit_code_of_2() {
    for args in [
        &["--steps", "100", "--trace"][..],
        &["--steps", "100", "--shrink"],
        &["--steps", "100", "--seed", "7"],
        &["--trace"],
        &["--clients", "5"],
    ] {
        let ended = simulate(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.stderr.contains("Usage: simulate"), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn the_help_promises_no_more_than_is_so_and_the_version_is_told() {
    let help = simulate(&["--help"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("for one build of the simulator"), "{help}");
    assert!(help.contains("cargo run --package sinbin-tests --bin simulate -- --seed 7 --trace"), "{help}");
    assert_eq!(simulate(&["--version"]).stdout, format!("simulate {}\n", env!("CARGO_PKG_VERSION")));
}
