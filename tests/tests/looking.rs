//! Tests of the commands that look at a running server: `ps`, `tree`, `where`, `events`, `top`, `watch` and `monitor`.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use sinbin_tests::{Ended, ReservedPort, Running, Server, eventually, example, run, sinbin};

fn pid(running: &Running) -> String {
    running.pid().as_raw_nonzero().to_string()
}

/// Returns the output of a command that succeeded.
fn output(args: &[&str]) -> String {
    let Ended { code, stdout, stderr, .. } = run(args);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}: {stdout}");
    stdout
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&output(args)).expect("the output is JSON")
}

/// Returns the tasks of a server.
fn tasks(pid: &str) -> Vec<Value> {
    json(&["ps", pid, "--json"])[0]["tasks"].as_array().expect("a list of tasks").clone()
}

/// A server whose loop is kept for minutes by a slice of a job.
fn kept(args: &[&str]) -> (Server, TcpStream) {
    let slow = ["--workers", "0", "--slice", "4000000000", "--max-n", "60", "--job-timeout", "off"];
    let server = Server::fib(&[&slow, args].concat());
    let mut client = TcpStream::connect(server.address()).expect("the server listens");
    client.write_all(b"60\n").expect("the server receives");
    (server, client)
}

#[test]
fn ps_lists_loops_and_tasks_as_machines_and_as_async_fns() {
    for written_as in ["machine", "async-fn"] {
        let server = Server::fib(&["--written-as", written_as]);
        let pid = pid(&server);
        let all = json(&["ps", "--json"]);
        let own =
            all.as_array().unwrap().iter().filter(|one| one["pid"].as_u64() == pid.parse().ok()).count();
        assert_eq!(own, 1, "{all}");
        assert!(output(&["ps"]).contains(&pid));
        let mut client = server.client();
        client.ask(5);
        let peer = client.stream().local_addr().unwrap().to_string();
        eventually("the connection waits", || {
            tasks(&pid).iter().any(|task| task["bin"] == "recv" && task["waits"][0]["address"] == peer)
        });
        let tasks = tasks(&pid);
        assert_eq!(tasks.len(), 2);
        let (acceptor, connection) = (&tasks[0], &tasks[1]);
        assert_eq!((&acceptor["bin"], &acceptor["name"]), (&"accept".into(), &"accept".into()));
        assert_eq!(acceptor["serves"]["address"], server.address().to_string());
        assert_eq!(connection["parent"], acceptor["id"]);
        let name = if written_as == "machine" { "fib_service::FibConn" } else { "serve::run" };
        assert!(connection["name"].as_str().unwrap().contains(name), "{connection}");
        let text = output(&["ps", &pid]);
        assert!(text.contains(&format!("recv from {peer}")), "{text}");
        let state = &json(&["ps", &pid, "--json"])[0];
        assert_eq!((&state["open_connections"], &state["received_bytes"]), (&1.into(), &2.into()));
    }
}

#[test]
fn each_reason_to_see_nothing_has_a_code_and_a_message() {
    let own = std::process::id().to_string();
    let ended = run(&["ps", &own]);
    assert_eq!(ended.code, Some(5));
    assert!(ended.stderr.contains("publishes no loop"), "{}", ended.stderr);
    let ended = run(&["where", "4294967295"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(6), "sinbin: there is no process 4294967295\n"));
    let server = Server::fib(&["--no-observe"]);
    assert_eq!(server.ask("5\n"), "5\n");
    assert_eq!(run(&["ps", &pid(&server)]).code, Some(5));
    let server = Server::fib(&[]);
    let ended = run(&["where", &pid(&server), "77"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), "sinbin: there is no such task\n"));
    assert_eq!(run(&["where", &pid(&server), "x"]).code, Some(2));
}

#[test]
fn where_names_what_keeps_the_loop_and_a_watch_warns_of_it() {
    let (server, _client) = kept(&["--stall-after", "200ms"]);
    let pid = pid(&server);
    eventually("the loop is kept", || json(&["where", &pid, "--json"])[0]["is_kept"] == true);
    let place = &json(&["where", &pid, "--json"])[0];
    assert_eq!(place["phase"], "computing");
    assert!(place["stack"].is_array() || place["stack_missing"].is_string(), "{place}");
    assert!(output(&["where", &pid]).contains("one slice of a job has kept the loop for"));
    let task = output(&["where", &pid, "1"]);
    assert!(task.contains("task 1.1: ") && task.contains("for job 0.1"), "{task}");
    server.logs("one slice of a job has kept the loop for");
}

#[test]
fn a_deadlock_of_two_tasks_is_found_beside_others_that_go_on() {
    let running = Running::start(example("tangle"));
    running.says("both wait");
    let pid = pid(&running);
    eventually("the tasks wait for each other", || {
        json(&["tree", &pid, "--json"])[0]["deadlocks"].as_array().is_some_and(|found| found.len() == 1)
    });
    let circle = json(&["tree", &pid, "--json"])[0]["deadlocks"][0].clone();
    assert_eq!(circle.as_array().unwrap().len(), 2);
    let text = output(&["tree", &pid]);
    assert!(text.contains("deadlock: these waits can never end: "), "{text}");
    assert!(text.contains("tangle.rs:"), "the places are named: {text}");
    let first = circle[0].as_str().unwrap();
    let place = output(&["where", &pid, first]);
    assert!(place.contains(&format!("which is task {}", circle[1].as_str().unwrap())), "{place}");
    assert_eq!(tasks(&pid).iter().filter(|task| task["bin"] == "task").count(), 2);
    // At some moments they are in the run queue.
    eventually("the others wait for time", || {
        tasks(&pid).iter().filter(|task| task["bin"] == "time").count() >= 90
    });
}

#[test]
fn events_tell_what_happened_in_order_and_can_be_filtered() {
    let server = Server::fib(&[]);
    let pid = pid(&server);
    assert_eq!(server.ask("25\n"), "75025\n");
    // The last event is the end of the connection's task.
    let told = || output(&["events", &pid, "--once", "--json"]);
    eventually("the task has ended", || told().contains("\"kind\":\"ended\""));
    let lines = told();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    let expected = ["spawned", "accepted", "spawned", "job-submitted", "job-done", "closed", "ended"];
    assert_eq!(kinds, expected);
    let numbers: Vec<_> = events.iter().map(|event| event["event"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=7).collect::<Vec<_>>());
    assert_eq!(output(&["events", &pid, "--once", "--task", "1"]).lines().count(), 2);
    assert_eq!(
        output(&["events", &pid, "--once", "--kind", "accepted", "--kind", "closed"]).lines().count(),
        2
    );
    assert_eq!(run(&["events", &pid, "--once", "--kind", "nothing"]).code, Some(2));
    let follower = Running::start(sinbin(&["events", &pid]));
    follower.says("job-done");
    assert_eq!(server.ask("26\n"), "121393\n");
    eventually("the second job is told", || follower.stdout().matches("job-done").count() == 2);
    drop(server);
    assert_eq!(follower.wait().code, Some(0), "it ends with the server");
}

#[test]
fn the_tasks_and_sources_of_a_guest_in_the_process_are_listed() {
    let file = std::env::temp_dir().join(format!("sinbin-looking-{}.sinbin", std::process::id()));
    let server = Server::fib(&["--record", file.to_str().expect("a path of this test")]);
    let pid = pid(&server);
    let mut client = server.client();
    client.ask(5);
    let peer = client.stream().local_addr().unwrap().to_string();
    let sources =
        |pid: &str| json(&["ps", pid, "--json"])[0]["guest_sources"].as_array().cloned().unwrap_or_default();
    eventually("the connection is listed", || sources(&pid).len() == 2);
    let all = sources(&pid);
    assert_eq!((&all[0]["kind"], &all[0]["waits_for"]), (&"listener".into(), &"recv".into()));
    assert_eq!(all[0]["address"], server.address().to_string());
    assert_eq!((&all[1]["kind"], &all[1]["waits_for"]), (&"accepted".into(), &"recv".into()));
    assert_eq!(all[1]["address"], peer);
    let text = output(&["ps", &pid]);
    assert!(text.contains("a guest, 2 tasks, 1 accept, 1 recv; ") && text.contains(&peer), "{text}");
    let tasks = tasks(&pid);
    assert_eq!((&tasks[0]["bin"], &tasks[1]["bin"]), (&"accept".into(), &"recv".into()));
    assert_eq!(tasks[0]["waits"][0]["address"], server.address().to_string());
    assert_eq!((&tasks[1]["waits"][0]["address"], &tasks[1]["name"]), (&peer.into(), &"fib".into()));
    drop(client);
    eventually("the connection is gone", || sources(&pid).len() == 1);
    eventually("both events", || {
        let events = output(&["events", &pid, "--once"]);
        events.contains("accepted") && events.contains("closed")
    });
    drop(server);
    std::fs::remove_file(file).ok();
}

#[test]
fn top_writes_documents_for_programs() {
    let server = Server::fib(&[]);
    let lines = output(&["top", &pid(&server), "--json", "--looks", "3", "--every", "50ms"]);
    assert_eq!(lines.lines().count(), 3);
    for line in lines.lines() {
        let look: Value = serde_json::from_str(line).unwrap();
        assert_eq!(look[0]["tasks"][0]["bin"], "accept");
    }
    let ended = run(&["top", &pid(&server)]);
    assert_eq!(ended.code, Some(1), "without a terminal");
    assert!(ended.stderr.contains("--json"), "{}", ended.stderr);
}

fn get(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the monitor listens");
    stream.write_all(request.as_bytes()).expect("the monitor receives");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the monitor answers");
    answer
}

fn page(address: SocketAddr, path: &str) -> String {
    get(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

/// Returns the value of a metric of the loop with this process id.
fn metric(text: &str, name: &str, pid: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")) && line.contains(&format!("pid=\"{pid}\"")))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_monitor_serves_metrics_that_agree_with_ps() {
    let server = Server::fib(&[]);
    let pid = pid(&server);
    assert_eq!(server.ask("5\n"), "5\n");
    let monitor = Server::announced(sinbin(&["monitor", &pid, "--listen", "127.0.0.1:0"]));
    let mut client = server.client();
    client.ask(7);
    eventually("the counters are published", || json(&["ps", &pid, "--json"])[0]["open_connections"] == 1);
    // The server may still be in the step in which it has answered.
    eventually("the counters agree", || {
        let answer = page(monitor.address(), "/metrics");
        metric(&answer, "sinbin_steps_total", &pid) == json(&["ps", &pid, "--json"])[0]["steps"].as_f64()
    });
    let answer = page(monitor.address(), "/metrics");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("application/openmetrics-text"),
        "{head}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    let state = &json(&["ps", &pid, "--json"])[0];
    for (name, value) in [
        ("sinbin_steps_total", &state["steps"]),
        ("sinbin_connections", &state["open_connections"]),
        ("sinbin_connections_accepted_total", &state["connections"]),
        ("sinbin_run_queue_length", &0.into()),
        ("sinbin_draining", &0.into()),
    ] {
        assert_eq!(metric(text, name, &pid), value.as_f64(), "{name}: {text}");
    }
    assert!(page(monitor.address(), "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(page(monitor.address(), "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(page(monitor.address(), "/nothing").starts_with("HTTP/1.1 404 "));
    let evil = get(monitor.address(), "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(evil.starts_with("HTTP/1.1 421 "), "{evil}");
    assert!(get(monitor.address(), "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(get(monitor.address(), "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    // A client that is still sending when the answer comes may be reset instead.
    let mut stream = TcpStream::connect(monitor.address()).expect("the monitor listens");
    stream.write_all(long.as_bytes()).ok();
    stream.read_to_end(&mut Vec::new()).ok();
    let body = page(monitor.address(), "/snapshot.json");
    let body: Value = serde_json::from_str(body.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body[0]["tasks"].as_array().unwrap().len(), 2);
    drop(server);
    assert!(page(monitor.address(), "/readyz").starts_with("HTTP/1.1 503 "));
    assert!(page(monitor.address(), "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn metrics_are_served_beside_a_server_and_not_ready_while_it_drains() {
    let port = ReservedPort::new();
    let free = port.address();
    let server = Server::fib(&["--metrics", &free.to_string()]);
    server.logs("serving /metrics");
    assert!(page(free, "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
    let mut client = server.client();
    // The answer of a long job keeps the drain from ending.
    client.send("45\n");
    eventually("the job is submitted", || tasks(&pid(&server)).iter().any(|task| task["bin"] == "job"));
    server.signal(rustix::process::Signal::TERM);
    eventually("the server drains", || {
        let answer = page(free, "/readyz");
        answer.starts_with("HTTP/1.1 503 ")
    });
    assert_eq!(json(&["ps", &pid(&server), "--json"])[0]["draining"], true);
}

#[test]
fn events_are_a_trace_for_perfetto() {
    let server = Server::fib(&[]);
    server.client().ask(30);
    let pid = pid(&server);
    eventually("the connection is closed", || output(&["events", &pid, "--once"]).contains("closed"));
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("looking-events.json");
    let name = path.to_str().expect("a UTF-8 path");
    let said = output(&["events", &pid, "--once", "--perfetto", name]);
    let all: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).expect("JSON");
    let lines = all["traceEvents"].as_array().expect("a list");
    let count = output(&["events", &pid, "--once"]).lines().count();
    assert_eq!(said, format!("{count} events in {name}\n"));
    let has = |name: &str| lines.iter().any(|line| line["ph"] == "X" && line["name"].as_str() == Some(name));
    assert!(has("task 0.1") && has("job 0") && lines.iter().any(|line| line["name"] == "spawn"), "{all}");

    // Without --once, the trace is complete when Ctrl-C ends the command. A file with events shows that it handles signals.
    std::fs::remove_file(&path).expect("the file exists");
    let follower = Running::start(sinbin(&["events", &pid, "--perfetto", name]));
    eventually("events in the file", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.contains("spawn"))
    });
    follower.signal(rustix::process::Signal::INT);
    let ended = follower.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    assert!(serde_json::from_str::<Value>(&std::fs::read_to_string(&path).unwrap()).is_ok());

    let full = run(&["events", &pid, "--once", "--perfetto", "/dev/full"]);
    assert_eq!(full.code, Some(1));
    assert!(full.stderr.contains("cannot write /dev/full: No space left"), "{}", full.stderr);
    assert_eq!(run(&["events", &pid, "--json", "--perfetto", name]).code, Some(2));
}
