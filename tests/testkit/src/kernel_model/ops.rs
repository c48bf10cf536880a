//! Random operations. They name things by position, so that any sequence is valid and proptest can shrink a long
//! sequence to the few operations that matter.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;

/// A kernel operation.
#[derive(Clone, Debug)]
pub enum Op {
    Spawn,
    Advance(When),
    /// Begins a turn without a poll of the sources.
    AdvanceUnseen(When),
    /// Runs the next task.
    Run(Plan),
    /// Parks any task, which is usually not the next one.
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

/// The task, or the outside, that is to wake a waiting task by name.
#[derive(Clone, Debug)]
pub enum Who {
    Task(Pick),
    Outside,
}

/// A kind of wait target.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Recv,
    Send,
    Hangup,
    Job,
}

/// A moment relative to the present time.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Ago(u64),
    In(u64),
    Never,
    /// The earliest deadline.
    Due,
}

/// The choice of an id.
#[derive(Clone, Debug)]
pub enum Pick {
    /// An id in use.
    Live(u16),
    /// An id that is or was in use.
    Ever(u16),
    /// An id that differs from one in use by one bit.
    Almost(u16, u32),
    /// An id that most likely was never in use.
    Any(u64),
    /// The last id of a slot, in use or not.
    Last(usize),
    BeforeLast(usize),
}

/// A sequence of operations, printed one per line.
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
        // Five targets are one more than a wait can hold.
        8 => (vec((kind, pick()), 0..=5), when()).prop_map(|(targets, until)| Plan::Wait(targets, until)),
        3 => Just(Plan::Yield),
        1 => Just(Plan::Done),
        1 => Just(Plan::Fail),
        1 => pick().prop_map(|task| Plan::WaitFor(Who::Task(task))),
        1 => Just(Plan::WaitFor(Who::Outside)),
    ]
}

/// Draws from few moments, so that many are equal.
fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        8 => (0..5_u64).prop_map(When::In),
        2 => (1..5_u64).prop_map(When::Ago),
        3 => (0..2000_u64).prop_map(When::In),
        4 => Just(When::Never),
    ]
}

/// Returns the time of a clock that sometimes goes backwards.
fn clock() -> impl Strategy<Value = When> {
    prop_oneof![
        80 => (0..4_u64).prop_map(When::In),
        10 => (1..5_u64).prop_map(When::Ago),
        10 => (0..1000_u64).prop_map(When::In),
        1 => Just(When::Never),
    ]
}

pub fn pick() -> impl Strategy<Value = Pick> {
    // The largest index that fits into a wait table, and the indexes after it.
    let edge = |index: u64| Just(Pick::Any(1 << 32 | index));
    prop_oneof![
        24 => any::<u16>().prop_map(Pick::Live),
        4 => any::<u16>().prop_map(Pick::Ever),
        2 => (any::<u16>(), 0..64_u32).prop_map(|(number, bit)| Pick::Almost(number, bit)),
        1 => any::<u64>().prop_map(Pick::Any),
        1 => prop_oneof![edge(0x3fff_fffe), edge(0x3fff_ffff), edge(0x4000_0000), edge(0xffff_ffff)],
    ]
}
