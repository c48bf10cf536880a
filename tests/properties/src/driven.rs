//! A driven loop under a driver that keeps no rules.

mod watcher;

use std::time::Duration;

use sinbin_core::driven::{Compute, ConnectError, ConnectId, Driven, DrivenHost, Event, SourceHandle};
use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_protocol::Rules;
use sinbin_core::fib_service::Fib;
use sinbin_core::job::WireJob;
use sinbin_core::{Instant, JobId, Limits, Rest, Service, Task};
use sinbin_testkit::tape::Tape;

use watcher::Watcher;

/// Checks a driven loop with an arbitrary driver: any events, with any handles, jobs and lengths, over any bytes, in
/// any order and at any time. Nothing panics, the kernel passes its audit, and every command is about something that
/// exists (see `Watcher`). If all connections fail after that, all tasks end, unless there were more connections than
/// the capacity allows.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn driven(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    match tape.below(4) {
        0 => drive(Echo { idle_timeout: timeout(&mut tape), ..Echo::default() }, tape),
        1 => drive(Upper { idle_timeout: timeout(&mut tape), ..Upper::default() }, tape),
        // The service with jobs.
        _ => {
            let rules = Rules { max_n: 22, ..Rules::default() };
            let loop_n = tape.one_of(&[10, 0]);
            let (idle_timeout, job_timeout) = (timeout(&mut tape), timeout(&mut tape));
            drive(Fib { rules, loop_n, idle_timeout, job_timeout, ..Fib::default() }, tape);
        }
    }
}

fn timeout(tape: &mut Tape<'_>) -> Option<Duration> {
    tape.once_in(2).then(|| Duration::from_nanos(tape.any::<u8>().into()))
}

fn drive<S>(service: S, mut tape: Tape<'_>)
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    let limits = Limits::new(tape.below(7), tape.below(4), 128);
    let slice = tape.any::<u16>().into();
    let compute = tape.one_of(&[Compute::Driver { slice }, Compute::Here { slice }]);
    let mut driven = Driven::new(service, &limits, compute);
    let mut watcher = Watcher::new(limits.tasks());
    let mut now = Instant::ZERO;
    while !tape.is_over() {
        let window = tape.one_of(&[64 * 1024, 0, 1, 10, 100, usize::MAX]);
        let mut input = Vec::new();
        let events: Vec<_> = (0..tape.below(8)).map(|_| event(&mut tape, &mut input, &watcher)).collect();
        now = moment(&mut tape, now);
        turn(&mut driven, &mut watcher, now, window, events, input, limits.tasks());
    }
    end(driven, watcher, now, limits.tasks());
}

fn turn<S>(
    driven: &mut Driven<S>,
    watcher: &mut Watcher,
    now: Instant,
    window: usize,
    events: Vec<Event>,
    input: Vec<u8>,
    tasks: usize,
) -> Rest
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    watcher.hear(&events, &input);
    let answer = driven.turn(now, window, events, input);
    assert_eq!(driven.kernel().audit(), Ok(()));
    watcher.see(&answer, window);
    // An event may turn out to be ignored many turns after the driver sent it, if its connection waited for capacity in
    // the meantime.
    assert!(driven.counts().ignored <= watcher.told, "an event is ignored once");
    assert!(answer.room as usize + driven.kernel().count() <= tasks, "the capacity counts tasks");
    answer.rest
}

/// Reports the loss of all jobs and connections until nothing is left.
fn end<S>(mut driven: Driven<S>, mut watcher: Watcher, now: Instant, tasks: usize)
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
{
    for _ in 0..200 {
        let lost = watcher.jobs().map(Event::Lost);
        let failed = watcher.handles().map(Event::Failed);
        let events = [Event::Stop].into_iter().chain(lost).chain(failed).collect();
        if turn(&mut driven, &mut watcher, now, 100, events, Vec::new(), tasks) == Rest::Empty {
            assert_eq!(driven.kernel().count(), 0);
            assert_eq!(watcher.jobs().count(), 0, "jobs without a waiting task");
            return;
        }
    }
    // Connections in excess of the capacity wait as long as there is none.
    assert!(watcher.is_overrun, "it never ends: {:?}", driven.kernel().tasks().collect::<Vec<_>>());
}

fn moment(tape: &mut Tape<'_>, now: Instant) -> Instant {
    match tape.below(16) {
        0..=9 => now + Duration::from_nanos(1),
        10..=12 => now + Duration::from_millis(200),
        13 => Instant::ZERO,
        14 => Instant::from_nanos(tape.any()),
        _ => now,
    }
}

fn event(tape: &mut Tape<'_>, input: &mut Vec<u8>, watcher: &Watcher) -> Event {
    match tape.below(26) {
        0..=2 => {
            Event::Accepted { listener: handle(tape), connection: handle(tape), len: bytes(tape, input) }
        }
        3..=9 => Event::Received { source: handle(tape), len: bytes(tape, input) },
        10 => Event::Listener(handle(tape)),
        11 => Event::Ended(handle(tape)),
        12 | 13 => Event::Writable(handle(tape)),
        14 | 15 => Event::Stuck(handle(tape)),
        16 => Event::Hangup(handle(tape)),
        17 => Event::Failed(handle(tape)),
        18 => Event::Idle(handle(tape)),
        19 | 20 => {
            input.extend(tape.any::<u64>().to_le_bytes());
            Event::Computed { job: job(tape, watcher), len: 8 }
        }
        21 => Event::Computed { job: job(tape, watcher), len: bytes(tape, input) },
        22 => Event::Lost(job(tape, watcher)),
        23 => {
            let (request, source) = (ConnectId(tape.any()), handle(tape));
            Event::Connected { request, source, len: bytes(tape, input) }
        }
        24 => {
            let (request, reason) = (ConnectId(tape.below(4) as u64), tape.one_of(&ConnectError::ALL));
            Event::ConnectFailed { request, reason }
        }
        _ => {
            let nanos = tape.any::<u16>().into();
            tape.one_of(&[Event::Idle(SourceHandle(0)), Event::More, Event::Took(nanos), Event::Stop])
        }
    }
}

/// Returns one of a few handles, at times with another generation, or with an index outside of all tables.
fn handle(tape: &mut Tape<'_>) -> SourceHandle {
    match tape.any::<u8>() {
        byte @ 0..=0xdf => SourceHandle(u64::from(byte % 8)),
        byte @ 0xe0..=0xfb => SourceHandle(1 << 32 | u64::from(byte % 4)),
        byte @ 0xfc..=0xfe => SourceHandle(1023 + u64::from(byte - 0xfc)),
        0xff => SourceHandle(tape.any()),
    }
}

/// Appends bytes to the input. Returns the number that the driver claims, which may be wrong.
fn bytes(tape: &mut Tape<'_>, input: &mut Vec<u8>) -> u32 {
    let said: u8 = tape.any();
    let len = u32::from(said % 40);
    input.extend(tape.piece(len as usize));
    match said {
        0..240 => len,
        240..250 => len / 2,
        250..253 => len + 1,
        _ => tape.any(),
    }
}

/// Returns an existing job, if there is one, or any.
fn job(tape: &mut Tape<'_>, watcher: &Watcher) -> JobId {
    let which = tape.below(8);
    watcher.jobs().nth(which).unwrap_or_else(|| JobId::from_bits(tape.any::<u16>().into()))
}
