//! Tests of `sinbin where` on programs that hang, and of `sinbin kill` and `sinbin drain`.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::fs;
use std::io::Write as _;

use serde_json::Value;
use sinbin_tests::{Ended, Running, Server, eventually, example, run, sinbin};

fn pid(running: &Running) -> String {
    running.pid().as_raw_nonzero().to_string()
}

fn json(args: &[&str]) -> Value {
    let Ended { code, stdout, stderr, .. } = run(args);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}: {stdout}");
    serde_json::from_str(&stdout).expect("the output is JSON")
}

fn tasks(pid: &str) -> Vec<Value> {
    json(&["ps", pid, "--json"])[0]["tasks"].as_array().expect("a list of tasks").clone()
}

/// Returns the tasks in the bin, when there are as many as `count`.
fn in_bin(pid: &str, bin: &str, count: usize) -> Vec<String> {
    let ids = || {
        let tasks = tasks(pid).into_iter().filter(|task| task["bin"] == bin);
        tasks.map(|task| task["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    eventually("so many tasks wait", || ids().len() == count);
    ids()
}

fn hangs(way: &str) -> Running {
    let mut program = example("hangs");
    program.arg(way);
    let running = Running::start(program);
    running.says("begun");
    running
}

/// The task is known with a debugger and without one.
#[test]
fn where_names_the_task_that_keeps_the_loop() {
    for (way, name) in [("busy", "hangs::computes_for_ever"), ("block", "hangs::blocks_the_loop")] {
        let running = hangs(way);
        let pid = pid(&running);
        let place = || json(&["where", &pid, "--json"])[0].clone();
        eventually("one step keeps the loop", || place()["is_kept"] == true);
        let place = place();
        assert_eq!((&place["phase"], &place["task"]["name"]), (&"running".into(), &name.into()));
        assert!(place["task"]["spawned_at"].as_str().unwrap().contains("hangs.rs:"), "{place}");
        assert_eq!(place["task"]["state"], "running");
        // The main task has run before it in this turn.
        assert!(
            place["task"]["step_ns"].as_u64() >= place["busy_ns"].as_u64().map(|busy| busy / 2),
            "{place}"
        );
        assert_eq!(place["task"]["step_is_exact"], false);
        let text = run(&["ps", &pid]).stdout;
        assert!(text.contains("running  < ") || text.contains("running < "), "{text}");
        assert!(place["stack"].is_array() || place["stack_missing"].is_string(), "{place}");
        // The system may refuse to tell the system call.
        if let Some(call) = place["system_call"].as_str().filter(|_| way == "block") {
            assert_eq!(call, "read");
        }
        let mut blind = sinbin(&["where", &pid]);
        blind.env("PATH", "");
        let Ended { code, stdout, .. } = Running::start(blind).wait();
        assert_eq!(code, Some(0));
        assert!(stdout.contains(name) && stdout.contains("has kept the loop for"), "{stdout}");
        assert!(stdout.contains("no native stack: it takes a debugger"), "{stdout}");
    }
}

#[test]
fn where_names_the_task_whose_job_hangs() {
    let running = hangs("job");
    let pid = pid(&running);
    let task = in_bin(&pid, "job", 1).remove(0);
    let text = run(&["where", &pid]).stdout;
    assert!(text.contains("waits for events"), "{text}");
    assert!(text.contains(&format!("task {task}: hangs::waits_for_a_job")), "{text}");
    let place = &json(&["where", &pid, "--json"])[0];
    assert_eq!((&place["is_kept"], &place["jobs"][0]["id"]), (&false.into(), &task.as_str().into()));
    assert_eq!(place["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_deadlock_is_named_by_its_locks_and_ended_by_a_kill() {
    let running = Running::start(example("tangle"));
    running.says("both wait");
    let pid = pid(&running);
    let tree = || json(&["tree", &pid, "--json"])[0].clone();
    eventually("the tasks wait for each other", || tree()["stuck"].as_array().unwrap().len() == 2);
    let text = run(&["tree", &pid]).stdout;
    assert!(text.contains("lock \"left\"") && text.contains("lock \"right\""), "{text}");
    let [first, second] = [0, 1].map(|at| tree()["deadlocks"][0][at].as_str().unwrap().to_owned());
    let place = run(&["where", &pid, &first]).stdout;
    assert!(place.contains(&format!("\", after task {second}")), "{place}");
    let Ended { code, stdout, stderr, .. } = run(&["kill", &pid, &first]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.starts_with(&format!("cancelled task {first} (tangle::take_both, spawned at ")),
        "{stdout}"
    );
    // The other task gets the lock, and ends.
    eventually("both have ended", || tasks(&pid).iter().all(|task| task["synchronizer"].is_null()));
    assert_eq!(tree()["stuck"].as_array().unwrap().len(), 0);
    let ended = run(&["kill", &pid, &first]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), "sinbin: there is no such task\n"));
    let events = run(&["events", &pid, "--once", "--kind", "cancelled"]).stdout;
    assert!(events.contains(&format!("task {first}")), "{events}");
}

#[test]
fn a_killed_connection_ends_and_the_others_go_on() {
    for written_as in ["machine", "async-fn"] {
        let server = Server::fib(&["--control", "--written-as", written_as]);
        let pid = pid(&server);
        let (mut killed, mut other) = (server.client(), server.client());
        killed.ask(5);
        other.ask(6);
        let peer = killed.stream().local_addr().unwrap().to_string();
        let tasks = tasks(&pid);
        let task = tasks.iter().find(|task| task["serves"]["address"] == peer).expect("it has a task");
        let id = task["id"].as_str().unwrap();
        let Ended { code, stdout, stderr, .. } = run(&["kill", &pid, id]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.contains(&format!("cancelled task {id} (")) && stdout.contains(&peer), "{stdout}");
        assert_eq!(killed.rest(), "", "a clean end");
        other.ask(7);
        // A connection in the freed slot is another task.
        let mut next = server.client();
        next.ask(8);
        let ended = run(&["kill", &pid, id]);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.starts_with("sinbin: there is no such task"), "{}", ended.stderr);
        next.ask(9);
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stdout.contains("failed"), "{}", ended.stdout);
    }
}

#[test]
fn what_cannot_be_killed_is_told() {
    let server = Server::fib(&["--control"]);
    let (control, own) = (pid(&server), std::process::id().to_string());
    let silent = Server::fib(&[]);
    let silent = (pid(&silent), silent);
    let file = std::env::temp_dir().join(format!("sinbin-hanging-{own}.sinbin"));
    let guest = Server::fib(&["--record", file.to_str().expect("a path of this test")]);
    let guest = (pid(&guest), guest);
    for (args, code, message) in [
        (["kill", &control, "0.1"], 1, "accepts connections: to stop the server, `sinbin drain "),
        (["kill", &control, "7.1"], 1, "there is no such task"),
        (["kill", &control, "0.3"], 1, "its number is that of task 0.1 now"),
        (["kill", &control, "0"], 2, "with its generation"),
        (["kill", &silent.0, "0.1"], 1, "accepts connections"),
        (["kill", &guest.0, "0.1"], 1, "the loop drives a guest"),
        (["kill", &own, "0.1"], 5, "publishes no loop"),
        (["kill", "4294967295", "0.1"], 6, "there is no process"),
    ] {
        let ended = run(&args);
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(message), "{args:?}: {}", ended.stderr);
    }
    let mut client = silent.1.client();
    client.ask(5);
    let task = in_bin(&silent.0, "recv", 1).remove(0);
    let ended = run(&["kill", &silent.0, &task]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("takes no commands: start it with --control"), "{}", ended.stderr);
    client.ask(6);
    fs::remove_file(file).ok();
}

/// The descriptor of the control pipe is the only one that does not block and can be read only.
fn control_pipe(pid: &str) -> String {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("its own process");
    let is_control = |path: &String| {
        let number = path.rsplit('/').next().unwrap_or_default();
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        let is_pipe = fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"));
        is_pipe && info.lines().any(|line| line.starts_with("flags:") && line.ends_with("02004000"))
    };
    let mut paths = descriptors.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    paths.find(is_control).expect("the loop has a control pipe")
}

#[test]
fn junk_in_the_control_pipe_is_discarded() {
    let server = Server::fib(&["--control"]);
    let pid = pid(&server);
    let mut pipe = fs::OpenOptions::new().write(true).open(control_pipe(&pid)).unwrap();
    pipe.write_all(b"nonsense").unwrap();
    server.logs("something else than commands was written to the control pipe");
    pipe.write_all(&[7; 4096]).unwrap();
    // The end of this writer is not the end of the pipe.
    drop(pipe);
    let mut client = server.client();
    client.ask(5);
    let task = in_bin(&pid, "recv", 1).remove(0);
    // Commands that come together with junk are discarded too.
    eventually("a command is taken", || run(&["kill", &pid, &task, "--timeout", "1s"]).code == Some(0));
    assert_eq!(client.rest(), "");
}

/// A slice of a job keeps the loop for minutes.
fn kept(args: &[&str]) -> Server {
    let slow = ["--workers", "0", "--slice", "4000000000", "--max-n", "60", "--job-timeout", "off"];
    Server::fib(&[&slow, args].concat())
}

#[test]
fn a_loop_that_is_kept_takes_no_command() {
    let server = kept(&["--control"]);
    let pid = pid(&server);
    let mut client = server.client();
    client.send("60\n");
    let task = in_bin(&pid, "job", 1).remove(0);
    eventually("a slice keeps the loop", || json(&["where", &pid, "--json"])[0]["is_kept"] == true);
    let ended = run(&["kill", &pid, &task, "--timeout", "50ms"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("has not taken the command yet"), "{}", ended.stderr);
    assert!(ended.stderr.contains("one slice of a job has kept the loop for"), "{}", ended.stderr);
    let ended = run(&["drain", &pid, "--timeout", "50ms"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("has not begun to drain"), "{}", ended.stderr);
}

#[test]
fn a_drain_answers_what_was_received_and_waits_for_the_end() {
    let file = std::env::temp_dir().join(format!("sinbin-draining-{}.sinbin", std::process::id()));
    for args in [&[][..], &["--record", file.to_str().expect("a path of this test")]] {
        let server = Server::fib(args);
        let pid = pid(&server);
        let mut client = server.client();
        client.ask(5);
        client.send("32\n");
        eventually("the request has come", || json(&["ps", &pid, "--json"])[0]["jobs"] == 1);
        let Ended { code, stdout, stderr, .. } = run(&["drain", &pid]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(stdout.starts_with(&format!("process {pid} has drained and ended after ")), "{stdout}");
        assert_eq!(client.rest(), "2178309\n");
        assert_eq!(server.wait().code, Some(0));
    }
    fs::remove_file(file).ok();
}

#[test]
fn a_drain_tells_what_went_wrong() {
    let slow = ["--max-n", "60", "--job-timeout", "off", "--drain-timeout"];
    let begin = |timeout: &str| {
        let server = Server::fib(&[&slow[..], &[timeout]].concat());
        let mut client = server.client();
        client.send("60\n");
        in_bin(&pid(&server), "job", 1);
        (server, client)
    };
    let (server, client) = begin("50ms");
    let ended = run(&["drain", &pid(&server)]);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("and 1 connections were cut off"), "{}", ended.stderr);
    assert_eq!(server.wait().code, Some(3));
    drop(client);

    let (server, _client) = begin("off");
    let pid = pid(&server);
    // The second one must not send a second signal, which would end the process at once.
    for said in ["", "drains already"] {
        eventually("the server drains", || {
            let ended = run(&["drain", &pid, "--timeout", "50ms"]);
            assert_eq!(ended.code, Some(1), "{}", ended.stderr);
            assert!(ended.stdout.contains(said), "{}", ended.stdout);
            ended.stderr.contains("drains, with 1 connections and these tasks: 1 job")
        });
    }
    let waiting = Running::start(sinbin(&["drain", &pid]));
    waiting.says("drains already");
    server.signal(rustix::process::Signal::KILL);
    let ended = waiting.wait();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("but not by a drain: it was killed"), "{}", ended.stderr);

    let running = Running::start(example("tangle"));
    running.says("both wait");
    let own = self::pid(&running);
    let ended = run(&["drain", &own]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("does not handle SIGTERM"), "{}", ended.stderr);
    assert!(!tasks(&own).is_empty(), "it goes on");
}
