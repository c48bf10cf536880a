//! Clients that are slow to send a request or to receive a reply, with a clock set by the test.

use std::time::Duration;

use sinbin_core::driven::{Command, Compute, Driven, DrivenHost, Event};
use sinbin_core::echo::Echo;
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::job::WireJob;
use sinbin_core::{Instant, Limits, Service, Task};

use crate::{CLIENT, WINDOW, arrived};

const IDLE: Duration = Duration::from_secs(300);
const REQUEST: Duration = Duration::from_secs(30);
const REPLY: Duration = Duration::from_secs(60);

fn fib() -> Fib {
    Fib {
        rules: Rules { framing: Framing::Lines, ..Rules::default() },
        idle_timeout: Some(IDLE),
        request_timeout: Some(REQUEST),
        reply_timeout: Some(REPLY),
        ..Fib::default()
    }
}

fn echo() -> Echo {
    Echo { idle_timeout: Some(IDLE), reply_timeout: Some(REPLY) }
}

/// A service with one client, and its clock in seconds.
struct Story<S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    driven: Driven<S>,
    now: u64,
}

/// The output of a service during some turns.
#[derive(Default)]
struct Did {
    said: String,
    closed: bool,
}

impl<S> Story<S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    fn of(service: S) -> Self {
        let limits = Limits::new(2, 1, 256);
        let mut story = Self { driven: Driven::new(service, &limits, Compute::Here { slice: 1 }), now: 0 };
        story.turn(&arrived(0), b"");
        story
    }

    fn turn(&mut self, events: &[Event], input: &[u8]) -> Did {
        let mut did = Did::default();
        let mut events = events.to_vec();
        let mut input = input.to_vec();
        // A deadline expires one turn later. The other turns let a connection close.
        for _ in 0..4 {
            let now = Instant::from_nanos(self.now * 1_000_000_000);
            let answer =
                self.driven.turn(now, WINDOW, std::mem::take(&mut events), std::mem::take(&mut input));
            assert_eq!(self.driven.kernel().audit(), Ok(()));
            did.said.push_str(std::str::from_utf8(&answer.output).expect("answers are text"));
            did.closed |= answer.commands.contains(&Command::Close(CLIENT));
        }
        did
    }

    /// Advances the clock by this many seconds.
    fn later(&mut self, seconds: u64) -> Did {
        self.now += seconds;
        self.turn(&[], b"")
    }

    fn says(&mut self, bytes: &[u8]) -> Did {
        let len = u32::try_from(bytes.len()).expect("a short one");
        self.turn(&[Event::Received { source: CLIENT, len }], bytes)
    }

    fn is_stuck(&mut self) -> Did {
        self.turn(&[Event::Stuck(CLIENT)], b"")
    }

    fn takes_all(&mut self) -> Did {
        self.turn(&[Event::Writable(CLIENT)], b"")
    }
}

const LATE: &str = "error: the request took too long; closing\n";

#[test]
fn a_request_has_its_time_from_its_first_byte_however_often_there_is_another() {
    let mut story = Story::of(fib());
    assert!(!story.later(299).closed, "silence is no request");
    story.says(b"1");
    for _ in 0..5 {
        let did = story.later(5);
        assert!(!did.closed && did.said.is_empty());
        story.says(b"1");
    }
    let did = story.later(4);
    assert!(!did.closed && did.said.is_empty());
    let did = story.later(1);
    assert!(did.closed);
    assert_eq!(did.said, LATE);
}

#[test]
fn each_request_has_a_time_of_its_own() {
    let mut story = Story::of(fib());
    for _ in 0..10 {
        story.says(b"1");
        assert!(!story.later(20).closed);
        // These bytes end one request and begin the next one.
        assert_eq!(story.says(b"0\n1").said, "55\n");
        assert!(!story.later(20).closed);
        assert_eq!(story.says(b"\n").said, "1\n");
    }
    assert!(!story.later(299).closed, "nothing has begun: this is silence");
    let did = story.later(1);
    assert!(did.closed && did.said.is_empty());
}

#[test]
fn silence_within_a_request_is_silence() {
    let mut story = Story::of(Fib { idle_timeout: Some(Duration::from_secs(3)), ..fib() });
    story.says(b"1");
    let did = story.later(3);
    assert!(did.closed && did.said.is_empty());
}

#[test]
fn without_a_limit_a_request_takes_as_long_as_it_likes() {
    let mut story = Story::of(Fib { request_timeout: None, ..fib() });
    for _ in 0..20 {
        story.says(b"0");
        assert!(!story.later(299).closed);
    }
}

#[test]
fn replies_that_are_stuck_have_their_time_however_often_a_little_is_taken() {
    let mut story = Story::of(fib());
    assert_eq!(story.says(b"1\n").said, "1\n");
    story.is_stuck();
    assert!(!story.later(200).closed, "all replies are out, so the timeout is up to the host");
    assert_eq!(story.says(b"2\n").said, "");
    let did = story.later(59);
    assert!(!did.closed && did.said.is_empty());
    let did = story.later(1);
    assert!(did.closed, "the connection is closed without an error line");
    assert_eq!(did.said, "");
}

#[test]
fn replies_that_are_taken_end_their_time() {
    let mut story = Story::of(fib());
    for _ in 0..5 {
        assert_eq!(story.says(b"1\n").said, "1\n");
        story.is_stuck();
        assert_eq!(story.says(b"2\n3").said, "");
        assert!(!story.later(59).closed);
        assert_eq!(story.takes_all().said, "1\n");
        assert!(!story.later(29).closed, "the time of the next request begins when it is read");
        assert_eq!(story.says(b"\n").said, "2\n");
    }
}

#[test]
fn an_echo_is_stuck_for_as_long_as_a_reply_is() {
    let mut story = Story::of(echo());
    for _ in 0..3 {
        assert_eq!(story.says(b"a").said, "a");
        story.is_stuck();
        assert_eq!(story.says(b"bc").said, "");
        assert!(!story.later(59).closed);
        assert_eq!(story.takes_all().said, "bc");
        assert!(!story.later(299).closed, "each byte is a request, and this is silence");
    }
    story.is_stuck();
    story.says(b"d");
    assert!(!story.later(59).closed);
    assert!(story.later(1).closed);
}

/// The time limit of a job includes its time in the queue. After a job's timeout, the next request is answered.
#[test]
fn a_job_that_takes_too_long_is_cancelled_and_told() {
    let mut story = Story::of(Fib { job_timeout: Some(Duration::from_secs(5)), ..fib() });
    assert_eq!(story.says(b"40\n1\n").said, "");
    assert_eq!(story.later(4).said, "");
    let did = story.later(1);
    assert!(!did.closed);
    assert_eq!(did.said, "error: the computation took too long; try a smaller n, or try again later\n1\n");
}
