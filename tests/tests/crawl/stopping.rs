//! Ctrl-C, once and twice, and crawls that continue.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rustix::process::Signal;
use sinbin_tests::{Ended, Running, eventually, sinbin};

use crate::lines::objects;
use crate::web::{Then, Web, html, links};

/// The number of pages besides the first one.
const PAGES: u32 = 60;

/// The pages from this one on are answered only when the gate is open. A host receives enough requests at a time for all of
/// them, so that they do not hold the others up.
const HELD: u32 = 30;

/// A gate that the test opens.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().expect("no panic") = true;
        self.1.notify_all();
    }

    fn wait(&self) {
        let open = self.0.lock().expect("no panic");
        drop(self.1.wait_while(open, |open| !*open).expect("no panic"));
    }
}

/// Starts a site in which page n leads to the pages 2n and 2n + 1.
fn start() -> (Web, Arc<Gate>) {
    let gate = Arc::<Gate>::default();
    let closed = Arc::clone(&gate);
    let web = Web::start(move |request, stream: &mut TcpStream| -> Then {
        let Ok(number) = request.path[1..].parse::<u32>() else { return html(stream, links(["/1"])) };
        if number >= HELD {
            closed.wait();
        }
        let next = [2 * number, 2 * number + 1].into_iter().filter(|next| *next <= PAGES);
        html(stream, links(next.map(|next| format!("/{next}"))))
    });
    (web, gate)
}

fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("sinbin-crawl-{}-{name}", std::process::id()));
    fs::remove_file(&path).ok();
    path
}

fn run_with(web: &Web, state: &str) -> Running {
    let arguments = ["crawl", "--json", "--no-robots", "--per-host", "64", "--state", state];
    Running::start(sinbin(&[&arguments[..], &[&web.url("/")]].concat()))
}

/// Stops a crawl when all pages that can be fetched were, and the others are in flight.
fn stopped(web: &Web, state: &str) -> Ended {
    let running = run_with(web, state);
    eventually("the first pages are reported", || running.stdout().lines().count() >= HELD as usize);
    running.signal(Signal::INT);
    running.wait()
}

#[test]
fn a_crawl_that_was_stopped_continues_without_a_page_twice() {
    let (web, gate) = start();
    let path = file("state");
    let state = path.to_str().expect("UTF-8");
    let first = stopped(&web, state);
    assert_eq!(first.code, Some(9), "{}", first.stderr);
    assert!(first.stderr.contains("pages") && first.stderr.contains("left to fetch"), "{}", first.stderr);
    let first = objects(&first);
    gate.open();
    let before = web.requests();
    let second = run_with(&web, state).wait();
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert!(second.stderr.contains("continues"), "{}", second.stderr);
    let second = objects(&second);
    let mut all: BTreeMap<_, _> = first.clone();
    for (url, object) in second {
        assert!(all.insert(url.clone(), object).is_none(), "{url} is reported twice");
    }
    assert_eq!(all.len(), 1 + PAGES as usize, "nothing is lost");
    let twice = |path: &String| web.requests()[path] > before.get(path).copied().unwrap_or_default();
    for url in first.keys() {
        let path = url.rsplit_once('/').map(|(_, name)| format!("/{name}")).expect("a path");
        assert!(!twice(&path), "{path} was fetched before");
    }
    // A crawl that is complete has nothing to do.
    let third = run_with(&web, state).wait();
    assert_eq!((third.code, third.stdout.as_str()), (Some(0), ""), "{}", third.stderr);
    fs::remove_file(path).expect("it exists");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let (web, _gate) = start();
    let running =
        Running::start(sinbin(&["crawl", "--json", "--no-robots", "--per-host", "64", &web.url("/")]));
    eventually("the first pages are reported", || running.stdout().lines().count() >= HELD as usize);
    // Both at once: after the first alone, the process may be faster than the second.
    running.signal(Signal::STOP);
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    running.signal(Signal::CONT);
    assert_eq!(running.wait().code, Some(130));
}

#[test]
fn a_state_that_cannot_be_written_is_an_error() {
    let web = Web::start(|_, stream| html(stream, "a page"));
    let ended =
        Running::start(sinbin(&["crawl", "--no-robots", "--state", "/dev/full", &web.url("/")])).wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot write the state to /dev/full"), "{}", ended.stderr);
    assert!(ended.stdout.contains("pages"), "the summary is printed: {}", ended.stdout);
}

#[test]
fn a_file_that_is_no_state_stays_as_it_is() {
    let path = file("no-state");
    fs::write(&path, "my notes, which are longer than a header").expect("a file");
    let ended =
        Running::start(sinbin(&["crawl", "--state", path.to_str().expect("UTF-8"), "127.0.0.1:1"])).wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("not the state of a crawl"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&path).expect("it exists"), "my notes, which are longer than a header");
    fs::remove_file(path).expect("it exists");
}

#[test]
fn results_that_cannot_be_written_end_the_crawl() {
    let asked = Arc::new(AtomicBool::new(false));
    let web = Web::start({
        let asked = Arc::clone(&asked);
        move |request, stream| {
            asked.fetch_or(request.path == "/2", Ordering::SeqCst);
            html(stream, links(["/2"]))
        }
    });
    let full = File::options().write(true).open("/dev/full").expect("a full disk");
    let command = sinbin(&["crawl", "--json", "--no-robots", "--delay", "1h", &web.url("/")]);
    let ended = Running::start_into(command, full).wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot write to stdout"), "{}", ended.stderr);
    assert!(!asked.load(Ordering::SeqCst), "the crawl ends at once");
    // A reader that has enough is no error.
    let mut command = std::process::Command::new("sh");
    let program = sinbin(&[]);
    let script = format!("{:?} crawl --json --no-robots {} | head -n 1", program.get_program(), web.url("/"));
    command.args(["-c", &script]);
    let ended = Running::start(command).wait();
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 1), "{}", ended.stderr);
}
