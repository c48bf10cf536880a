//! The alphabets, each with a few operations for one subject.

use crate::exhaustive::explore::Alphabet;
use sinbin_testkit::kernel_model::heap::Limits;
use sinbin_testkit::kernel_model::ops::{Kind, Op, Pick, Plan, When, Who};

const RECV: u8 = 1;
const SEND: u8 = 2;
const HANGUP: u8 = 4;

/// A single task, from an empty kernel: all operations, including those on stale ids.
pub fn one_of_everything() -> Alphabet {
    let mut ops = vec![Op::Spawn, Op::Open, Op::BeginJob, Op::Changes];
    ops.extend(time(&[0, 1]));
    ops.extend([Op::Advance(When::Ago(1)), Op::AdvanceUnseen(When::In(1)), Op::Run(Plan::Yield)]);
    ops.extend([Op::Run(Plan::Done), Op::Run(Plan::Fail)]);
    ops.extend([
        named(),
        Op::Run(Plan::WaitFor(Who::Outside)),
        Op::Run(Plan::WaitFor(Who::Task(Pick::Last(0)))),
    ]);
    let kinds = [Kind::Recv, Kind::Send, Kind::Hangup, Kind::Job];
    ops.extend(kinds.map(|kind| wait(&[(kind, 0)])));
    for (number, first) in kinds.into_iter().enumerate() {
        ops.extend(kinds[number..].iter().map(|second| wait(&[(first, 0), (*second, 0)])));
    }
    ops.extend(kinds.map(|kind| until(&[(kind, 0)], 1)));
    ops.extend(kinds.map(|kind| Op::Run(Plan::Wait(vec![(kind, Pick::BeforeLast(0))], When::Never))));
    ops.extend([until(&[], 0), until(&[], 2), ago()]);
    ops.extend((0..8).map(|bits| Op::Ready(Pick::Last(0), bits)));
    for id in [Pick::Last(0), Pick::BeforeLast(0)] {
        ops.extend([Op::Wake(id.clone()), Op::Cancel(id.clone()), Op::Close(id.clone())]);
        ops.extend([Op::JobDone(id.clone()), Op::EndJob(id)]);
    }
    ops.extend([Op::Ready(Pick::BeforeLast(0), 7), Op::Ready(Pick::BeforeLast(0), RECV)]);
    ops.push(Op::Park(Pick::BeforeLast(0), Plan::Done));
    Alphabet { name: "one of everything", limits: limits(1, 1, 1), start: Vec::new(), ops, depth: 6 }
}

/// Tasks that wait for one source, of which the first one gets the wait slot.
pub fn one_source(tasks: usize) -> Alphabet {
    let mut ops = vec![Op::Spawn, Op::Open, Op::Changes, Op::Run(Plan::Yield), Op::Run(Plan::Done)];
    ops.extend(time(&[0, 1]));
    ops.extend([Kind::Recv, Kind::Send, Kind::Hangup].map(|kind| wait(&[(kind, 0)])));
    ops.extend([wait(&[(Kind::Recv, 0), (Kind::Send, 0)]), until(&[(Kind::Recv, 0), (Kind::Hangup, 0)], 1)]);
    ops.extend([RECV, SEND, HANGUP, RECV | SEND].map(|bits| Op::Ready(Pick::Last(0), bits)));
    ops.extend([Op::Close(Pick::Last(0)), Op::Ready(Pick::BeforeLast(0), RECV | SEND)]);
    ops.extend([Op::Close(Pick::BeforeLast(0))]);
    ops.extend((0..tasks).flat_map(|task| [Op::Wake(Pick::Last(task)), Op::Cancel(Pick::Last(task))]));
    Alphabet { name: "one source", limits: limits(tasks, 1, 0), start: start(tasks, 1, 0), ops, depth: 4 }
}

/// Two tasks that wait for two sources in opposite orders.
pub fn two_sources() -> Alphabet {
    let mut ops = vec![Op::Open, Op::Changes, Op::Advance(When::In(0)), named(), Op::Run(Plan::Yield)];
    ops.extend((0..2).map(|source| wait(&[(Kind::Recv, source)])));
    ops.extend([wait(&[(Kind::Recv, 0), (Kind::Recv, 1)]), wait(&[(Kind::Recv, 1), (Kind::Recv, 0)])]);
    ops.extend([wait(&[(Kind::Send, 1), (Kind::Hangup, 0)]), wait(&[(Kind::Send, 1), (Kind::Recv, 0)])]);
    for source in 0..2 {
        ops.extend([RECV, SEND, HANGUP].map(|bits| Op::Ready(Pick::Last(source), bits)));
        ops.extend([Op::Close(Pick::Last(source)), Op::Ready(Pick::BeforeLast(source), RECV)]);
    }
    ops.extend((0..2).map(|task| Op::Cancel(Pick::Last(task))));
    Alphabet { name: "two sources", limits: limits(2, 2, 0), start: start(2, 2, 0), ops, depth: 4 }
}

/// A single task, and sources that are opened and closed: the list of changes of interest.
pub fn watching(sources: usize) -> Alphabet {
    let mut ops = vec![Op::Open, Op::Changes, Op::Advance(When::In(0))];
    for source in 0..sources {
        ops.extend([Kind::Recv, Kind::Send, Kind::Hangup].map(|kind| wait(&[(kind, source)])));
        ops.extend([RECV, SEND, HANGUP].map(|bits| Op::Ready(Pick::Last(source), bits)));
        ops.push(Op::Close(Pick::Last(source)));
    }
    ops.push(Op::Cancel(Pick::Last(0)));
    Alphabet { name: "watching", limits: limits(1, sources, 0), start: start(1, sources, 0), ops, depth: 5 }
}

/// Tasks that only use time.
pub fn deadlines(tasks: usize) -> Alphabet {
    let mut ops = vec![Op::Spawn, Op::Run(Plan::Done), Op::Advance(When::Ago(1)), named()];
    ops.push(Op::AdvanceUnseen(When::In(0)));
    ops.extend(time(&[0, 1]));
    ops.extend([0, 1, 2, 3].map(|time| until(&[], time)));
    ops.extend([ago(), Op::Wake(Pick::Last(0)), Op::Cancel(Pick::Last(0)), Op::Wake(Pick::Last(1))]);
    Alphabet { name: "deadlines", limits: limits(tasks, 0, 0), start: start(tasks, 0, 0), ops, depth: 5 }
}

/// Tasks that start and end, and wake and cancel each other.
pub fn turns(tasks: usize) -> Alphabet {
    let mut ops = vec![Op::Spawn, Op::Advance(When::In(0)), named()];
    ops.extend([Plan::Yield, Plan::Done, Plan::WaitFor(Who::Outside)].map(Op::Run));
    ops.push(Op::Run(Plan::WaitFor(Who::Task(Pick::Last(0)))));
    ops.extend((0..tasks).flat_map(|task| [Op::Wake(Pick::Last(task)), Op::Cancel(Pick::Last(task))]));
    ops.extend([Op::Wake(Pick::BeforeLast(0)), Op::Cancel(Pick::BeforeLast(0))]);
    ops.extend([Op::Park(Pick::Last(tasks - 1), Plan::Yield), Op::Park(Pick::BeforeLast(0), Plan::Done)]);
    Alphabet { name: "turns", limits: limits(tasks, 0, 0), start: Vec::new(), ops, depth: 8 }
}

/// A job, tasks that wait for the job, and deadlines.
pub fn jobs(tasks: usize) -> Alphabet {
    let mut ops = vec![Op::BeginJob, Op::Spawn, Op::Run(Plan::Yield), Op::Run(Plan::Done)];
    ops.extend(time(&[0, 1]));
    ops.extend([
        wait(&[(Kind::Job, 0)]),
        until(&[(Kind::Job, 0)], 1),
        wait(&[(Kind::Job, 0), (Kind::Job, 0)]),
    ]);
    ops.push(Op::Run(Plan::Wait(vec![(Kind::Job, Pick::BeforeLast(0))], When::Never)));
    for id in [Pick::Last(0), Pick::BeforeLast(0)] {
        ops.extend([Op::JobDone(id.clone()), Op::EndJob(id)]);
    }
    ops.extend((0..tasks).flat_map(|task| [Op::Wake(Pick::Last(task)), Op::Cancel(Pick::Last(task))]));
    Alphabet { name: "jobs", limits: limits(tasks, 0, 1), start: start(tasks, 0, 1), ops, depth: 4 }
}

/// Three tasks, two sources and a job, each with some of their operations.
pub fn everything() -> Alphabet {
    let mut ops =
        vec![Op::Spawn, Op::Open, Op::BeginJob, Op::Changes, Op::Run(Plan::Yield), Op::Run(Plan::Done)];
    ops.extend(time(&[0, 1]));
    ops.extend([named(), until(&[], 1), wait(&[(Kind::Recv, 0)]), wait(&[(Kind::Send, 0), (Kind::Recv, 1)])]);
    ops.extend([until(&[(Kind::Job, 0), (Kind::Hangup, 1)], 2), wait(&[(Kind::Job, 0), (Kind::Recv, 0)])]);
    ops.extend([Op::Ready(Pick::Last(0), RECV | SEND), Op::Ready(Pick::Last(1), RECV)]);
    ops.extend([Op::Ready(Pick::Last(1), HANGUP), Op::Close(Pick::Last(0)), Op::Close(Pick::Last(1))]);
    ops.extend([Op::JobDone(Pick::Last(0)), Op::EndJob(Pick::Last(0))]);
    ops.extend((0..3).flat_map(|task| [Op::Wake(Pick::Last(task)), Op::Cancel(Pick::Last(task))]));
    Alphabet { name: "everything", limits: limits(3, 2, 1), start: start(3, 2, 1), ops, depth: 4 }
}

fn limits(tasks: usize, sources: usize, jobs: usize) -> Limits {
    Limits { tasks, sources, jobs }
}

/// Creates this many tasks, sources and jobs, and begins the first turn.
fn start(tasks: usize, sources: usize, jobs: usize) -> Vec<Op> {
    let mut ops = vec![Op::Spawn; tasks];
    ops.extend(vec![Op::Open; sources]);
    ops.extend(vec![Op::BeginJob; jobs]);
    ops.push(Op::Advance(When::In(0)));
    ops
}

/// Begins turns this much later, or at the earliest deadline.
fn time(later: &[u64]) -> Vec<Op> {
    let moments = later.iter().map(|nanos| When::In(*nanos)).chain([When::Due]);
    moments.map(Op::Advance).collect()
}

fn wait(targets: &[(Kind, usize)]) -> Op {
    Op::Run(plan(targets, When::Never))
}

fn until(targets: &[(Kind, usize)], nanos: u64) -> Op {
    Op::Run(plan(targets, When::In(nanos)))
}

/// Waits for a moment in the past.
fn ago() -> Op {
    Op::Run(Plan::Wait(Vec::new(), When::Ago(1)))
}

fn named() -> Op {
    wait(&[])
}

fn plan(targets: &[(Kind, usize)], when: When) -> Plan {
    Plan::Wait(targets.iter().map(|(kind, place)| (*kind, Pick::Last(*place))).collect(), when)
}
