//! The state of kernel and model as one row of numbers. Their future behaviour depends on nothing else.

use std::rc::Rc;

use sinbin_core::kernel::ExpectedWaker;
use sinbin_core::{Instant, JobId, SourceId, WaitTarget};
use sinbin_testkit::kernel_model::model::{At, Model};

use crate::exhaustive::Small;

/// A state that can be compared with others.
pub type Row = Rc<[u8]>;

pub fn row(world: &Small) -> Row {
    let mut row = Vec::with_capacity(256);
    // The end marker of lists and `1 << 63`, the distance to `Instant::NEVER`, are encoded in a single byte.
    let mut put = |number: u64| match number {
        0..0xf0 => row.push(u8::try_from(number).expect("that is a byte")),
        _ if number == u64::from(u32::MAX) => row.push(0xff),
        _ if number == 1 << 63 => row.push(0xfe),
        _ => {
            row.push(0xfd);
            row.extend(number.to_le_bytes());
        }
    };
    world.kernel.put_state(&mut put);
    model(&world.model, &mut put);
    row.into()
}

/// Encodes a model, without the times since which tasks are in their states. As in the kernel's row, moments are
/// relative to the present time, waits are numbered in order, and ids are their indexes.
fn model(model: &Model, put: &mut impl FnMut(u64)) {
    put(model.turn as u64);
    put(model.queue.len() as u64);
    model.queue.iter().for_each(|id| put(id.index() as u64));
    for (id, task) in &model.tasks {
        put(id.index() as u64);
        put(task.wake_reason as u64);
        put(task.named.into());
        put(task.cancelled.into());
        match &task.at {
            At::Queue => put(0),
            At::WaitTables { targets, deadline, by, order } => {
                put(1 + targets.len() as u64);
                targets.iter().for_each(|what| place(model, *what, put));
                put(away(*deadline, model.now));
                put(model.deadlines().filter(|(_, other, _)| other < order).count() as u64);
                put(match by {
                    ExpectedWaker::Anyone => 0,
                    ExpectedWaker::Outside => 1,
                    ExpectedWaker::Task(task) => 2 + task.index() as u64,
                });
            }
        }
    }
    put(model.sources.len() as u64);
    for (id, source) in &model.sources {
        put(id.index() as u64);
        put(source.watched.bits().into());
        put(source.unheard.bits().into());
    }
    put(model.jobs.len() as u64);
    for (id, done) in &model.jobs {
        put(id.index() as u64);
        put((*done).into());
    }
}

/// Encodes a wait target, and whether it exists.
fn place(model: &Model, what: WaitTarget, put: &mut impl FnMut(u64)) {
    let source = |id: SourceId| (id.index(), model.sources.contains_key(&id));
    let job = |id: JobId| (id.index(), model.jobs.contains_key(&id));
    let (table, (index, is_there)) = match what {
        WaitTarget::Recv(id) => (0, source(id)),
        WaitTarget::Send(id) => (1, source(id)),
        WaitTarget::Hangup(id) => (2, source(id)),
        WaitTarget::Job(id) => (3, job(id)),
    };
    put(table);
    put(index as u64);
    put(is_there.into());
}

fn away(at: Instant, now: Instant) -> u64 {
    if at == Instant::NEVER { 1 << 63 } else { at.as_nanos().wrapping_sub(now.as_nanos()) }
}
