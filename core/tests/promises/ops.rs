//! Operations, drawn at random. They name things by where to find them, so that any sequence makes sense and
//! a long one can be cut down to the few that matter.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;

/// Something that one asks of a kernel.
#[derive(Clone, Debug)]
pub enum Op {
    Spawn,
    Advance(When),
    /// Begins a turn without a look at the sources.
    AdvanceUnseen(When),
    /// Runs the next task.
    Run(Plan),
    /// Parks some task, mostly not the next.
    Park(Pick, Plan),
    Wake(Pick),
    Cancel(Pick),
    Open,
    Close(Pick),
    Ready(Pick, u8),
    BeginJob,
    JobDone(Pick),
    EndJob(Pick),
    /// Asks for all changes of interest.
    Changes,
}

/// A step.
#[derive(Clone, Debug)]
pub enum Plan {
    Yield,
    Done,
    Fail,
    Wait(Vec<(Kind, Pick)>, When),
    WaitFor(Who),
}

/// Who is to name the task that waits.
#[derive(Clone, Debug)]
pub enum Who {
    Task(Pick),
    Outside,
}

/// A kind of thing to wait for.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Recv,
    Send,
    Hangup,
    Job,
}

/// A moment, seen from now.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Ago(u64),
    In(u64),
    Never,
    /// The earliest deadline.
    Due,
}

/// An id.
#[derive(Clone, Debug)]
pub enum Pick {
    /// Of something that is there.
    Live(u16),
    /// Of something that was once there.
    Ever(u16),
    /// One bit away from something that is there.
    Almost(u16, u32),
    /// Of nothing, most likely.
    Any(u64),
    /// The last one of a place, whether it is still there or not; or the one before it.
    Last(usize),
    BeforeLast(usize),
}

/// A sequence, which prints as a line each.
#[derive(Clone)]
pub struct Ops(pub Vec<Op>);

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|op| write!(f, "\n    {op:?}"))
    }
}

pub fn ops(count: usize) -> impl Strategy<Value = Ops> {
    vec(op(), 0..count).prop_map(Ops)
}

pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Spawn),
        6 => clock().prop_map(Op::Advance),
        1 => clock().prop_map(Op::AdvanceUnseen),
        12 => plan().prop_map(Op::Run),
        1 => (pick(), plan()).prop_map(|(id, plan)| Op::Park(id, plan)),
        2 => pick().prop_map(Op::Wake),
        1 => pick().prop_map(Op::Cancel),
        2 => Just(Op::Open),
        1 => pick().prop_map(Op::Close),
        4 => (pick(), 0..8_u8).prop_map(|(id, bits)| Op::Ready(id, bits)),
        2 => Just(Op::BeginJob),
        1 => pick().prop_map(Op::JobDone),
        1 => pick().prop_map(Op::EndJob),
        2 => Just(Op::Changes),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let kind = prop_oneof![Just(Kind::Recv), Just(Kind::Send), Just(Kind::Hangup), Just(Kind::Job)];
    prop_oneof![
        // Five things are one more than a wait can name.
        8 => (vec((kind, pick()), 0..=5), when()).prop_map(|(targets, until)| Plan::Wait(targets, until)),
        3 => Just(Plan::Yield),
        1 => Just(Plan::Done),
        1 => Just(Plan::Fail),
        1 => pick().prop_map(|task| Plan::WaitFor(Who::Task(task))),
        1 => Just(Plan::WaitFor(Who::Outside)),
    ]
}

/// Few different moments, so that many are equal.
fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        8 => (0..5_u64).prop_map(When::In),
        2 => (1..5_u64).prop_map(When::Ago),
        3 => (0..2000_u64).prop_map(When::In),
        4 => Just(When::Never),
    ]
}

/// What a clock says, which now and then goes back.
fn clock() -> impl Strategy<Value = When> {
    prop_oneof![
        80 => (0..4_u64).prop_map(When::In),
        10 => (1..5_u64).prop_map(When::Ago),
        10 => (0..1000_u64).prop_map(When::In),
        1 => Just(When::Never),
    ]
}

pub fn pick() -> impl Strategy<Value = Pick> {
    // The largest numbers that a place in a wait table can tell apart, and those behind.
    let edge = |index: u64| Just(Pick::Any(1 << 32 | index));
    prop_oneof![
        24 => any::<u16>().prop_map(Pick::Live),
        4 => any::<u16>().prop_map(Pick::Ever),
        2 => (any::<u16>(), 0..64_u32).prop_map(|(number, bit)| Pick::Almost(number, bit)),
        1 => any::<u64>().prop_map(Pick::Any),
        1 => prop_oneof![edge(0x3fff_fffe), edge(0x3fff_ffff), edge(0x4000_0000), edge(0xffff_ffff)],
    ]
}
