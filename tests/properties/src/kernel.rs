//! The kernel compared with its model.

use sinbin_core::Rest;
use sinbin_testkit::kernel_model::heap::Limits;
use sinbin_testkit::kernel_model::model::Step;
use sinbin_testkit::kernel_model::ops::{Kind, Op, Pick, Plan, When};
use sinbin_testkit::kernel_model::world::World;
use sinbin_testkit::tape::Tape;

/// Checks the kernel with an arbitrary sequence of operations and arbitrary limits. After each operation the kernel
/// agrees with its naive model and passes its audit. At the end everything is closed, and the capacity is the same as
/// before.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn kernel(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let limits = Limits { tasks: tape.below(8), sources: tape.below(5), jobs: tape.below(4) };
    let mut world = World::of(limits);
    while !tape.is_over() {
        world.apply(&op(&mut tape));
    }
    end(&mut world);
}

fn end<S: sinbin_core::kernel::Storage>(world: &mut World<S>) {
    for id in world.model.tasks().collect::<Vec<_>>() {
        world.cancel(id);
    }
    world.advance(world.model.now);
    while world.run(&Step::Done).is_some() {}
    assert_eq!(world.kernel.rest(), Rest::Empty);
    for id in world.model.sources().collect::<Vec<_>>() {
        world.close(id);
    }
    for id in world.model.jobs().collect::<Vec<_>>() {
        world.end_job(id);
    }
    world.drain_changes();
    // A leak would reduce the capacity; the world checks the number of each that still fits.
    while world.spawn().is_ok() {}
    while world.open().is_ok() {}
    while world.begin_job().is_ok() {}
}

fn op(tape: &mut Tape<'_>) -> Op {
    match tape.below(32) {
        0..=3 => Op::Spawn,
        4..=6 => Op::Advance(clock(tape)),
        7 => Op::AdvanceUnseen(clock(tape)),
        8..=16 => Op::Run(plan(tape)),
        17 => Op::Park(pick(tape), plan(tape)),
        18 | 19 => Op::Wake(pick(tape)),
        20 => Op::Cancel(pick(tape)),
        21 | 22 => Op::Open,
        23 => Op::Close(pick(tape)),
        24..=26 => Op::Ready(pick(tape), tape.any::<u8>() % 8),
        27 => Op::BeginJob,
        28 => Op::JobDone(pick(tape)),
        29 => Op::EndJob(pick(tape)),
        _ => Op::Changes,
    }
}

fn plan(tape: &mut Tape<'_>) -> Plan {
    match tape.below(10) {
        0 | 1 => Plan::Yield,
        2 => Plan::Done,
        3 => Plan::Fail,
        // Five conditions are one more than a wait can have.
        choice => {
            let kinds = [Kind::Recv, Kind::Send, Kind::Hangup, Kind::Job];
            let whats = (0..choice - 4).map(|_| (tape.one_of(&kinds), pick(tape))).collect();
            Plan::Wait(whats, when(tape))
        }
    }
}

/// Returns one of few different times, so that many are equal.
fn when(tape: &mut Tape<'_>) -> When {
    match tape.any::<u8>() {
        0..=0x5f => When::Never,
        byte @ 0x60..=0xdf => When::In(u64::from(byte % 5)),
        byte @ 0xe0..=0xef => When::Ago(u64::from(byte % 5)),
        _ => When::In(tape.any::<u16>().into()),
    }
}

/// Returns the time of a clock that goes back at times.
fn clock(tape: &mut Tape<'_>) -> When {
    match tape.any::<u8>() {
        byte @ 0..=0xdf => When::In(u64::from(byte % 4)),
        byte @ 0xe0..=0xef => When::Ago(u64::from(byte % 5)),
        0xff => When::Never,
        _ => When::In(tape.any::<u16>().into()),
    }
}

fn pick(tape: &mut Tape<'_>) -> Pick {
    match tape.any::<u8>() {
        byte @ 0..=0xbf => Pick::Live(byte.into()),
        byte @ 0xc0..=0xdf => Pick::Ever(byte.into()),
        byte @ 0xe0..=0xef => Pick::Almost(byte.into(), u32::from(tape.any::<u8>() % 64)),
        // The largest numbers that a slot of a wait table can distinguish, and some larger ones.
        0xf0..=0xf3 => {
            Pick::Any(1 << 32 | tape.one_of(&[0x3fff_fffe, 0x3fff_ffff, 0x4000_0000, 0xffff_ffff]))
        }
        _ => Pick::Any(tape.any()),
    }
}
