//! The page of `sinbin monitor` in a browser: what it shows is what `sinbin ps --json` prints.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

#[path = "monitor/controls.rs"]
mod controls;
#[path = "monitor/large.rs"]
mod large;
#[path = "monitor/pictures.rs"]
mod pictures;
#[path = "monitor/shown.rs"]
mod shown;
#[path = "monitor/states.rs"]
mod states;
#[path = "monitor/streams.rs"]
mod streams;

use serde_json::Value;
use sinbin_tests::{Browser, Running, Server, eventually, run, sinbin};

fn pid(running: &Running) -> String {
    running.pid().as_raw_nonzero().to_string()
}

/// Starts a monitor of these processes, with further arguments.
fn monitor(pids: &[&str], args: &[&str]) -> Server {
    let all = [&["monitor", "--listen", "127.0.0.1:0"], pids, args].concat();
    Server::announced(sinbin(&all))
}

/// Returns the JSON document of a command that looks at loops.
fn json(args: &[&str]) -> Value {
    let ended = run(args);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    serde_json::from_str(&ended.stdout).expect("the output is JSON")
}

/// Returns the loop of a process.
fn ps(pid: &str) -> Value {
    json(&["ps", pid, "--json"])[0].take()
}

/// Waits until a loop has this number of tasks in a bin.
fn has(pid: &str, bin: &str, count: usize) {
    eventually(&format!("{count} tasks in {bin}"), || {
        let all = ps(pid)["tasks"].as_array().cloned().unwrap_or_default();
        all.iter().filter(|task| task["bin"] == bin).count() == count
    });
}

/// Opens the page of a monitor, and waits until it shows a look.
fn open(monitor: &Server, width: u32, fragment: &str) -> Browser {
    let mut browser = Browser::start(width, 900);
    browser.open(&format!("http://{}/{fragment}", monitor.address()));
    browser.wait("the page shows a look", "document.body.dataset.look ?? null");
    browser
}

/// Waits until the page shows a look that was begun after this call.
fn next_look(browser: &mut Browser) {
    let look = browser.evaluate("Number(document.body.dataset.look)").as_u64().expect("a number");
    browser
        .wait("the page shows later looks", &format!("Number(document.body.dataset.look) >= {}", look + 2));
}
