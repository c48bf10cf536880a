//! The dialogues of `tests/dialogues`: the simulator and the native host pass all of them, and invalid dialogues are
//! reported.

#![cfg(unix)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use sinbin_tests::dialogue::{
    Dialogue, Failure, Heard, Host, Network, Options, Outcome, Play, Service, Simulated, Stage, Step, Table,
    Verdict, Wire, hold_all, parse, read_all,
};
use sinbin_tests::host::Known;

fn all() -> Vec<Dialogue> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/dialogues");
    read_all(Path::new(directory)).unwrap_or_else(|error| panic!("{error}"))
}

/// Plays all dialogues with the host of this name.
fn hold(name: &str) {
    let host = Known::by_name(name).expect("a known host");
    hold_with(&[Box::new(host)]);
}

fn hold_with(hosts: &[Box<dyn Host>]) {
    let results = hold_all(hosts, &all(), |_, _| {});
    assert!(results.is_good(), "{}", Table(&results));
    assert_eq!(results.count()[2], 0, "nothing is left out: {}", Table(&results));
}

/// Plays all dialogues with the simulator of this name, modified by `change`.
fn simulate(name: &str, change: impl Fn(Simulated) -> Simulated) {
    let host = Simulated::by_name(name).expect("a known host");
    hold_with(&[Box::new(change(*host))]);
}

#[test]
fn the_simulator_holds_every_dialogue() {
    simulate("simulator", |host| host);
}

#[test]
fn it_does_so_without_workers() {
    simulate("simulator-alone", |host| host);
}

#[test]
fn it_does_so_with_faults() {
    simulate("simulator-unlucky", |host| host);
}

#[test]
fn it_does_so_with_faults_and_without_workers() {
    simulate("simulator-alone", |host| host.with_faults(2));
}

#[test]
fn the_native_host_holds_every_dialogue() {
    hold("native");
}

#[test]
fn the_native_host_does_so_without_workers() {
    hold("native-alone");
}

#[test]
fn there_are_dialogues_for_each_service_and_each_is_read_as_it_is_named() {
    let dialogues = all();
    for service in Service::ALL {
        assert!(dialogues.iter().any(|dialogue| dialogue.service == service), "{service}");
    }
    assert!(dialogues.len() >= 40, "{}", dialogues.len());
    for dialogue in &dialogues {
        assert!(dialogue.shows.ends_with('.'), "{}: a sentence", dialogue.name);
        for client in &dialogue.clients {
            let connects = client.steps.iter().filter(|step| **step == Step::Connect).count();
            assert_eq!(connects, 1, "{}, {}", dialogue.name, client.name);
        }
    }
}

/// Returns the error for a file with one client that has these steps.
#[track_caller]
fn refused(steps: &str) -> String {
    let text = format!("shows = \"A test.\"\n[[client]]\nname = \"ann\"\nsteps = [{steps}]\n");
    parse(Service::Fib, "bad", &text).expect_err("an invalid dialogue").to_string()
}

#[test]
fn a_bad_step_is_told_with_its_file_client_and_number() {
    for (steps, message) in [
        (r#""connekt""#, "step 1: \"connekt\" is none of connect, half-close"),
        ("17", "step 1: a step is a word or a table, and no integer"),
        (r#""flush", { sent = "x" }"#, "step 2: a step has one of send, expect"),
        (r#"{ send = "x", expect = "x" }"#, "step 1: expect does not belong beside send"),
        (r#"{ expect = "x", pieces = 1 }"#, "step 1: pieces does not belong beside expect"),
        (r#"{ send = "x", pieces = 0 }"#, "step 1: pieces has a size, and none is 0"),
        (r#"{ send = "x", pieces = [] }"#, "step 1: pieces has a size"),
        (r#"{ send = "x", pieces = "all" }"#, "step 1: pieces: pieces is a size, or a list of sizes"),
        (r#"{ send = "" }"#, "step 1: there is nothing to send"),
        ("{ send = 5 }", "step 1: send: bytes are a text, a table"),
        (r#"{ send = { hex = "0g" } }"#, "step 1: hex = \"0g\": it takes pairs"),
        (r#"{ send = { hex = "012" } }"#, "step 1: hex = \"012\": it takes pairs"),
        (r#"{ send = { text = "x", hex = "00" } }"#, "step 1: bytes take one of text, hex"),
        ("{ send = { number = 0 } }", "step 1: number = 0: it takes 1 to 9 digits"),
        ("{ send = { noise = 99999999 } }", "step 1: 99999999 bytes are more than"),
        (r#"{ send = { text = "xy", repeat = 9999999 } }"#, "step 1: 19999998 bytes are more than"),
        ("{ pause-ms = 60000 }", "step 1: pause-ms = 60000: it takes 0 to 2000"),
        (r#"{ expect = "" }"#, "step 1: nothing is expected"),
        ("{ expect-one-of = [] }", "step 1: nothing is expected"),
        (r#"{ expect-one-of = ["ab", "a"] }"#, "step 1: one alternative begins with another"),
    ] {
        let said = refused(steps);
        assert!(said.starts_with("fib/bad, ann, ") && said.contains(message), "{steps}: {said}");
    }
}

#[test]
fn steps_in_an_impossible_order_are_told() {
    for (steps, message) in [
        (r#""reset", "flush""#, "step 1: the connection ends here"),
        (r#""expect-end", { send = "x" }"#, "step 1: the connection ends here"),
        (r#""half-close", { send = "x" }"#, "step 2: nothing can be sent behind half-close"),
        (r#""half-close", "half-close""#, "step 2: it has half-closed already"),
        (r#"{ pause-ms = 1 }, "connect", "connect""#, "step 3: it is connected already"),
        (r#"{ pause-ms = 1 }, "flush", "connect""#, "step 2: it comes before connect"),
        (r#"{ await = "godot" }"#, "step 1: no client ever reaches \"godot\""),
        (r#"{ await = "me" }, { reach = "me" }"#, "step 1: it waits for \"me\" for ever"),
    ] {
        let said = refused(steps);
        assert!(said.starts_with("fib/bad, ann, ") && said.contains(message), "{steps}: {said}");
    }
}

#[test]
fn clients_that_wait_for_each_other_are_told() {
    let text = r#"
        shows = "Two who wait."
        [[client]]
        steps = [{ await = "b" }, { reach = "a" }]
        [[client]]
        steps = [{ await = "a" }, { reach = "b" }]
    "#;
    let said = parse(Service::Echo, "bad", text).expect_err("the clients wait for each other").to_string();
    assert_eq!(
        said,
        "echo/bad, client 1, step 1: it waits for \"b\" for ever: the clients that reach it wait too"
    );
}

#[test]
fn a_file_that_is_wrong_as_a_whole_is_told_by_name() {
    let client = "[[client]]\nsteps = [\"close\"]\n";
    for (text, message) in [
        (format!("shows = \"\"\n{client}"), "fib/bad: shows is empty"),
        (
            format!("shows = \"A test.\"\n[options]\nmax-speed = 3\n{client}"),
            "fib/bad: max-speed is no option of fib",
        ),
        ("shows = \"A test.\"\nclient = []\n".to_owned(), "fib/bad: there is no client"),
        (
            format!("shows = \"A test.\"\n{client}count = 0\n"),
            "fib/bad, client 1: count = 0: it takes 1 to 1000",
        ),
        (format!("shows = \"A test.\"\n{client}cuont = 2\n"), "unknown field `cuont`"),
        (client.to_owned(), "missing field `shows`"),
        ("shows = \n".to_owned(), "fib/bad: TOML parse error at line 1"),
    ] {
        let said = parse(Service::Fib, "bad", &text).expect_err("an invalid dialogue").to_string();
        assert!(said.contains(message), "{text}: {said}");
    }
    let said = parse(Service::Echo, "bad", &format!("shows = \"A test.\"\n[options]\nmax-n = 3\n{client}"));
    assert_eq!(
        said.expect_err("echo has no option max-n").to_string(),
        "echo/bad: max-n is no option of echo"
    );
}

/// A host whose clients always receive the same bytes.
struct Parrot(&'static str, &'static [u8]);

impl Host for Parrot {
    fn name(&self) -> &str {
        self.0
    }

    fn about(&self) -> &str {
        "says one thing"
    }

    fn lacks(&self, _: &Dialogue) -> Option<String> {
        None
    }

    fn open(&self, _: Service, _: &Options) -> Result<Box<dyn Stage>, String> {
        Ok(Box::new(Self(self.0, self.1)))
    }
}

impl Stage for Parrot {
    fn perform(&mut self, dialogue: &Dialogue) -> Outcome {
        let heard = |client: &str| Heard { client: client.to_owned(), bytes: self.1.to_vec() };
        let heard = dialogue.clients.iter().map(|client| heard(&client.name));
        Outcome { heard: heard.collect(), failure: None }
    }
}

#[test]
fn hosts_that_differ_by_a_byte_fail_even_where_each_is_right() {
    let text = "shows = \"A choice.\"\n[[client]]\nsteps = [{ expect-one-of = [\"13\", \"14\"] }]\n";
    let dialogue = parse(Service::Fib, "choice", text).expect("a dialogue");
    let hosts: [Box<dyn Host>; 3] =
        [Box::new(Parrot("a", b"13")), Box::new(Parrot("b", b"13")), Box::new(Parrot("c", b"14"))];
    let results = hold_all(&hosts, &[dialogue], |_, _| {});
    let difference = "client 1 heard \"4\" from byte 1 on, and not \"3\", unlike a".to_owned();
    assert_eq!(results.dialogues[0].1, [Verdict::Held, Verdict::Held, Verdict::Failed(difference)]);
    assert!(!results.is_good());
}

/// An echo without sockets, whose wires hold three bytes.
struct Memory;

#[derive(Default)]
struct Thread {
    bytes: Rc<RefCell<VecDeque<u8>>>,
    ended: bool,
}

impl Network for Memory {
    type Wire = Thread;

    fn connect(&mut self) -> io::Result<Thread> {
        Ok(Thread::default())
    }
}

impl Wire for Thread {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.bytes.borrow_mut();
        let room = bytes.len().min(3 - held.len());
        held.extend(&bytes[..room]);
        if room == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(room) }
    }

    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut held = self.bytes.borrow_mut();
        let count = held.len().min(room.len());
        room.iter_mut().zip(held.drain(..count)).for_each(|(to, from)| *to = from);
        if count == 0 && !self.ended { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.ended = true;
        Ok(())
    }

    fn reset(self) {}
}

#[test]
fn a_play_needs_neither_sockets_nor_a_clock() {
    let text = r#"
        shows = "Slow and fast."
        [[client]]
        name = "slow"
        steps = [{ send = "0123456789", pieces = 2, pause-ms = 1000 }, "half-close", { expect = "0123456789" }, "expect-end"]
        [[client]]
        name = "fast"
        steps = [{ send = "abcdefghij" }, { pause-ms = 500 }, { expect = "abcde" }, { expect = "fghij" }, "expect-nothing"]
    "#;
    let dialogue = parse(Service::Echo, "memory", text).expect("a dialogue");
    let mut play = Play::new(&dialogue);
    let mut times = vec![];
    let mut now = Duration::ZERO;
    loop {
        play.advance(now, &mut Memory);
        if play.is_over() {
            break;
        }
        now = play.deadline().expect("nothing but pauses");
        times.push(now.as_millis());
    }
    assert_eq!(times, [500, 1000, 2000, 3000, 4000], "time jumps");
    let outcome = play.outcome();
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.heard[0].bytes, b"0123456789");
    assert_eq!(outcome.heard[1].bytes, b"abcdefghij");
}

/// A host that fails, with this log.
struct Talker(String);

impl Host for Talker {
    fn name(&self) -> &'static str {
        "talker"
    }

    fn about(&self) -> &'static str {
        "says much"
    }

    fn lacks(&self, _: &Dialogue) -> Option<String> {
        None
    }

    fn open(&self, _: Service, _: &Options) -> Result<Box<dyn Stage>, String> {
        Ok(Box::new(Self(self.0.clone())))
    }
}

impl Stage for Talker {
    fn perform(&mut self, _: &Dialogue) -> Outcome {
        let failure = Failure { client: "ann".to_owned(), step: 1, what: "it fails".to_owned() };
        Outcome { heard: Vec::new(), failure: Some(failure) }
    }

    fn says(&self) -> String {
        self.0.clone()
    }
}

#[test]
fn the_end_of_a_log_begins_where_a_line_does() {
    let line = "x".repeat(99);
    let long = "y".repeat(1000);
    for (said, shown) in [
        (String::new(), String::new()),
        ("a\nb\n".to_owned(), "; at last it said:\n    a\n    b".to_owned()),
        (format!("{line}\n").repeat(9), format!("; at last it said:{}", format!("\n    {line}").repeat(4))),
        (format!("{}-{line}\n", format!("{line}\n").repeat(8)), {
            format!("; at last it said:{}\n    -{line}", format!("\n    {line}").repeat(3))
        }),
        (format!("before\n{long}\n"), format!("; at last it said:\n    {long}")),
    ] {
        let text = "shows = \"A test.\"\n[[client]]\nsteps = [\"close\"]\n";
        let dialogue = parse(Service::Fib, "talk", text).expect("a dialogue");
        let hosts: [Box<dyn Host>; 1] = [Box::new(Talker(said))];
        let results = hold_all(&hosts, &[dialogue], |_, _| {});
        assert_eq!(results.dialogues[0].1, [Verdict::Failed(format!("ann, step 1: it fails{shown}"))]);
    }
}
