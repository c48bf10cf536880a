use std::pin::Pin;

use sinbin_core::driven::{Command, Compute, Computed, Driven, DrivenHost, Event, compute};
use sinbin_core::echo::Echo;
use sinbin_core::fib::FibJob;
use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::job::WireJob;
use sinbin_core::{
    Cx, Instant, Job, JobId, Limits, NoJob, Progress, Service, SourceId, Step, Task, Wait, WakeReason,
};

use crate::{CLIENT, WINDOW, arrived};

const DRIVER: Compute = Compute::Driver { slice: 1 };

/// Creates a fib service with one client that has sent `line`. Returns the service and the jobs submitted to the
/// driver.
fn asked(line: &[u8], computes: Compute) -> (Driven<Fib>, Vec<JobId>) {
    let rules = Rules { framing: Framing::Lines, ..Rules::default() };
    let mut driven = Driven::new(Fib { rules, ..Fib::default() }, &Limits::new(2, 1, 256), computes);
    driven.turn(Instant::ZERO, WINDOW, arrived(0), Vec::new());
    let len = u32::try_from(line.len()).unwrap();
    let events = [Event::Received { source: CLIENT, len }];
    let commands = driven.turn(Instant::ZERO, WINDOW, events, line.to_vec()).commands;
    let submitted = |command: &Command| match *command {
        Command::Submit { job, len: 24 } => Some(job),
        _ => None,
    };
    let jobs = commands.iter().filter_map(submitted).collect();
    (driven, jobs)
}

fn said(driven: &mut Driven<Fib>, events: &[Event], input: &[u8]) -> String {
    let answer = driven.turn(Instant::ZERO, WINDOW, events.iter().copied(), input.to_vec());
    String::from_utf8(answer.output).unwrap()
}

/// A failure or hangup of the client cancels the job, for any setting of `Compute`. The loop receives the hangup
/// without an explicit change of interest, since its earlier interest in bytes implies it.
#[test]
fn who_goes_away_takes_the_job_along() {
    for gone in [Event::Failed(CLIENT), Event::Hangup(CLIENT)] {
        let (mut driven, jobs) = asked(b"20\n", DRIVER);
        let [job] = jobs[..] else { panic!("one is for the driver") };
        let commands = driven.turn(Instant::ZERO, WINDOW, [gone], Vec::new()).commands;
        assert_eq!(commands, [Command::Cancel(job), Command::Close(CLIENT)], "{gone:?}");
        // A late result is ignored.
        let late = Event::Computed { job, len: 8 };
        assert_eq!(said(&mut driven, &[late], &6765_u64.to_le_bytes()), "");
        let counts = driven.counts();
        assert_eq!((counts.jobs, counts.cancelled, counts.ignored), (0, 0, 1));

        let (mut driven, jobs) = asked(b"40\n", Compute::Here { slice: 1 });
        assert_eq!(jobs, []);
        let commands = driven.turn(Instant::ZERO, WINDOW, [gone], Vec::new()).commands;
        assert_eq!(commands, [Command::Close(CLIENT)], "{gone:?}");
        let counts = driven.counts();
        assert_eq!((counts.jobs, counts.cancelled, counts.ignored), (1, 1, 0));
    }
}

/// The client gets an error line if the driver loses the job or returns an invalid result. The next request of the
/// client is answered.
#[test]
fn a_job_without_a_result_is_an_error_and_the_connection_goes_on() {
    for says in [&[Lost][..], &[Nonsense], &[Done, Lost]] {
        let (mut driven, jobs) = asked(b"20\n3\n", DRIVER);
        let event = |says: &Says| match says {
            Lost => Event::Lost(jobs[0]),
            Nonsense => Event::Computed { job: jobs[0], len: 7 },
            Done => Event::Computed { job: jobs[0], len: 8 },
        };
        let events: Vec<_> = says.iter().map(event).collect();
        let mut reply = said(&mut driven, &events, &6765_u64.to_le_bytes());
        reply += &said(&mut driven, &[], b"");
        assert_eq!(reply, "error: the computation failed\n2\n", "{says:?}");
        assert_eq!(driven.counts().ignored, 0);
    }
}

#[derive(Clone, Copy, Debug)]
enum Says {
    Done,
    Lost,
    Nonsense,
}
use Says::{Done, Lost, Nonsense};

/// A service that computes a job for each received byte, and cancels the job when its result has arrived.
struct Fickle;

struct FickleConn {
    source: SourceId,
    job: Option<JobId>,
}

impl Service for Fickle {
    type Conn = FickleConn;
    type Job = FibJob;

    fn connect(&self, source: SourceId) -> FickleConn {
        FickleConn { source, job: None }
    }
}

impl Task<DrivenHost<Fickle>> for FickleConn {
    fn resume(mut self: Pin<&mut Self>, cx: &mut Cx<'_, DrivenHost<Fickle>>) -> Step {
        if let Some(job) = self.job.take() {
            assert_eq!(cx.wake_reason(), WakeReason::Ready);
            cx.cancel_job::<FibJob>(job);
            // A second cancellation has no effect.
            cx.cancel_job::<FibJob>(job);
            assert_eq!(cx.take_job::<FibJob>(job), None);
        }
        if cx.recv(self.source, &mut [0]).is_err() {
            return Step::Wait(Wait::recv(self.source));
        }
        let job = cx.submit(FibJob::new(20)).unwrap();
        self.job = Some(job);
        Step::Wait(Wait::job(job))
    }
}

/// The driver has already completed the job, so no command cancels it. The result is not mistaken for that of the next
/// job.
#[test]
fn a_result_that_nobody_wants_is_forgotten() {
    let mut driven = Driven::new(Fickle, &Limits::new(2, 1, 256), DRIVER);
    driven.turn(Instant::ZERO, WINDOW, arrived(0), Vec::new());
    let mut events = vec![Event::Received { source: CLIENT, len: 1 }];
    let mut before = None;
    for _ in 0..3 {
        let count = events.len();
        let input = if count == 1 { vec![0] } else { [&[0; 8][..], &[0]].concat() };
        let answer = driven.turn(Instant::ZERO, WINDOW, events, input);
        let (submits, other): (Vec<_>, Vec<_>) =
            answer.commands.into_iter().partition(|command| matches!(command, Command::Submit { .. }));
        let [Command::Submit { job, .. }] = submits[..] else { panic!("{submits:?}") };
        assert!(!other.iter().any(|command| matches!(command, Command::Cancel(_))), "{other:?}");
        assert!(before.is_none_or(|before| before != job));
        before = Some(job);
        events = vec![Event::Computed { job, len: 8 }, Event::Received { source: CLIENT, len: 1 }];
    }
    assert_eq!(driven.counts().ignored, 0);
}

/// A job that can be encoded before its first slice only.
struct Settler(bool);

impl Job for Settler {
    type Output = ();

    fn run(&mut self, _: u32) -> Progress<()> {
        self.0 = false;
        Progress::More
    }
}

impl WireJob for Settler {
    fn encode(&self, put: &mut dyn FnMut(&[u8])) -> bool {
        if self.0 {
            put(b"go");
        }
        self.0
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes == b"go").then_some(Self(true))
    }

    fn encode_output((): &(), _: &mut dyn FnMut(&[u8])) {}

    fn decode_output(_: &[u8]) -> Option<()> {
        Some(())
    }
}

#[test]
fn bytes_that_are_no_job_are_nonsense_and_so_is_one_that_can_not_go_on() {
    assert_eq!(compute::<FibJob>(b"junk", 1), Computed::Nonsense);
    assert_eq!(compute::<NoJob>(b"", 1), Computed::Nonsense);
    assert_eq!(NoJob::decode_output(b""), None);
    let mut bytes = Vec::new();
    assert!(Settler(true).encode(&mut |part| bytes.extend(part)));
    assert_eq!(compute::<Settler>(&bytes, 1), Computed::Nonsense);
}

/// A service without jobs ignores results.
#[test]
fn a_result_where_nothing_is_computed_is_ignored() {
    let mut driven = Driven::new(Echo::default(), &Limits::new(2, 1, 256), DRIVER);
    let job = JobId::from_bits(1 << 32);
    let events = [Event::Computed { job, len: 2 }, Event::Lost(job)];
    let answer = driven.turn(Instant::ZERO, WINDOW, events, b"ab".to_vec());
    assert_eq!((answer.commands, driven.counts().ignored), (vec![], 2));
}
