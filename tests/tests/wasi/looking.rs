//! The commands that look at running loops, on a guest in a sandbox.

use std::process::Command;

use serde_json::Value;
use sinbin_tests::{Client, Ended, Running, Server, eventually, guest, run, sinbin_wasi};

/// Starts a guest that the host drives, with a limit of a turn that no test reaches.
fn driven(name: &str, options: &[&str]) -> Server {
    let guest = guest(&format!("{name}.wasm"));
    let guest = guest.to_str().expect("a UTF-8 path");
    let fixed = ["run", guest, "--listen", "127.0.0.1:0", "--turn-limit", "10m"];
    let command: Command = sinbin_wasi(&[&fixed[..], options].concat());
    Server::announced(command)
}

pub(crate) fn pid(running: &Running) -> String {
    running.pid().as_raw_nonzero().to_string()
}

/// Returns the output of a command that succeeded.
pub(crate) fn output(args: &[&str]) -> String {
    let Ended { code, stdout, stderr, .. } = run(args);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}: {stdout}");
    stdout
}

/// Returns what a command says about the only loop of a process.
pub(crate) fn json(command: &str, pid: &str) -> Value {
    let all: Value = serde_json::from_str(&output(&[command, pid, "--json"])).expect("the output is JSON");
    all[0].clone()
}

fn tasks(pid: &str) -> Vec<Value> {
    json("ps", pid)["tasks"].as_array().expect("a list of tasks").clone()
}

pub(crate) fn address(client: &Client) -> String {
    client.stream().local_addr().expect("a connection").to_string()
}

#[test]
fn the_tasks_of_a_guest_are_listed_with_what_they_wait_for() {
    let server = driven("fib", &[]);
    let pid = pid(&server);
    let (mut fast, mut slow) = (server.client(), server.client());
    fast.ask(5);
    slow.send("45\n");
    eventually("a task waits for its job", || tasks(&pid).iter().any(|task| task["bin"] == "job"));
    let all = tasks(&pid);
    let bin = |bin: &str| all.iter().find(|task| task["bin"] == bin).expect("a task in this bin");
    assert_eq!(all.len(), 3);
    assert_eq!((&bin("accept")["name"], &bin("recv")["name"]), (&"accept".into(), &"fib".into()));
    assert_eq!(bin("accept")["waits"][0]["address"], server.address().to_string());
    assert_eq!(bin("recv")["waits"][0]["address"], address(&fast));
    let job = bin("job");
    assert_eq!((&job["waits"][0]["event"], &job["waits"][1]["event"]), (&"job".into(), &"hangup".into()));
    assert_eq!(job["waits"][1]["address"], address(&slow));
    let text = output(&["ps", &pid]);
    assert!(text.contains("a guest, 3 tasks, 1 accept, 1 recv, 1 job; "), "{text}");
    let place = output(&["where", &pid, job["id"].as_str().unwrap()]);
    assert!(place.contains("3 tasks of the guest") && place.contains("for job 0.1"), "{place}");
    drop(fast);
    eventually("its task has ended", || tasks(&pid).len() == 2);
}

#[test]
fn where_names_the_task_of_a_guest_that_computes_forever_and_its_stack() {
    let server = driven("tangle", &[]);
    let pid = pid(&server);
    let (mut waits, mut spins) = (server.client(), server.client());
    waits.send("hello");
    assert_eq!(waits.bytes(5), b"hello");
    spins.send("spin");
    eventually("the turn is kept", || json("where", &pid)["is_kept"] == true);
    eventually("the stack is noted", || json("where", &pid)["guest_stack"].is_array());
    let place = json("where", &pid);
    assert_eq!(place["task"]["serves"], Value::Null, "a task that runs waits for nothing");
    assert_eq!(place["task"]["state"], "running");
    assert!(place["guest_stack"].to_string().contains("tangle::spin"), "{place}");
    // The others are seen as they wait.
    let all = tasks(&pid);
    let waiting = all.iter().find(|task| task["waits"][0]["address"] == address(&waits));
    assert_eq!(waiting.expect("the other connection")["bin"], "recv");
    let running = all.iter().find(|task| task["state"] == "running").expect("a task runs");
    assert_eq!(running["id"], place["task"]["id"]);
    let text = output(&["where", &pid]);
    assert!(
        text.contains(" of the guest has kept the loop for ") && text.contains("stack of the guest"),
        "{text}"
    );
}

#[test]
fn a_loop_outside_of_the_tasks_of_a_guest_is_named_as_such() {
    let server = driven("unruly", &[]);
    let pid = pid(&server);
    let mut client = server.client();
    client.send("loop");
    eventually("the stack is noted", || json("where", &pid)["guest_stack"].is_array());
    let place = json("where", &pid);
    assert_eq!(place["task"], Value::Null);
    assert!(place["guest_stack"].to_string().contains("unruly::spin"), "{place}");
    assert!(output(&["where", &pid]).contains("outside of its tasks"));
}

#[test]
fn a_deadlock_in_a_guest_is_drawn() {
    let server = driven("tangle", &[]);
    let pid = pid(&server);
    let mut client = server.client();
    client.send("tie");
    assert_eq!(client.bytes(3), b"tie");
    eventually("the tasks wait for each other", || {
        json("tree", &pid)["deadlocks"].as_array().is_some_and(|found| found.len() == 1)
    });
    let text = output(&["tree", &pid]);
    assert!(
        text.contains("a guest, 4 tasks") && text.contains("deadlock: these waits can never end: "),
        "{text}"
    );
    assert!(
        text.contains("(tangle::take_both, for lock \"") && text.contains("tangle/src/lib.rs:"),
        "{text}"
    );
    let all = tasks(&pid);
    let connection = all.iter().find(|task| task["name"] == "tangle::Tangle::serve").expect("its task");
    assert_eq!(
        (&connection["serves"]["address"], &connection["spawned_at"]),
        (&address(&client).into(), &Value::Null)
    );
    let mut locks = Vec::new();
    for task in all.iter().filter(|task| task["name"] == "tangle::take_both") {
        assert_eq!((&task["parent"], &task["synchronizer"]["kind"]), (&connection["id"], &"lock".into()));
        assert!(
            task["spawned_at"].as_str().is_some_and(|place| place.contains("tangle/src/lib.rs:")),
            "{task}"
        );
        locks.push(task["synchronizer"]["name"].as_str().expect("a name").to_owned());
    }
    locks.sort();
    assert_eq!(locks, ["left", "right"]);
}

#[test]
fn a_guest_that_writes_junk_over_its_tables_is_seen_as_broken() {
    for seed in 0..3 {
        let server = driven("unruly", &[]);
        let pid = pid(&server);
        let mut client = server.client();
        client.send(format!("scribble {seed}"));
        eventually("the turn is kept", || json("where", &pid)["is_kept"] == true);
        for command in ["ps", "tree", "where"] {
            output(&[command, &pid]);
        }
        let seen = json("ps", &pid);
        assert!(seen["guest_failure"].is_string(), "{seen}");
        assert!(output(&["ps", &pid]).contains("contradict each other"));
    }
}

#[test]
fn a_fresh_instance_is_looked_at_like_the_first_one() {
    let server = driven("unruly", &[]);
    let pid = pid(&server);
    let mut client = server.client();
    client.send("hello");
    assert_eq!(client.bytes(5), b"hello");
    client.send("trap");
    eventually("a fresh instance listens", || {
        let all = tasks(&pid);
        all.len() == 1 && all[0]["bin"] == "accept"
    });
    let mut client = server.client();
    client.send("hello");
    assert_eq!(client.bytes(5), b"hello");
}

#[test]
fn a_guest_is_not_published_on_request() {
    let server = driven("fib", &["--no-observe"]);
    server.client().ask(5);
    assert_eq!(run(&["ps", &pid(&server)]).code, Some(5));
}
