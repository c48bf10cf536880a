//! The last events of a loop, in a ring.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use sinbin_core::{Instant, TaskId};

use crate::observe::header::{EVENT_WORDS, MAX_EVENTS};

/// The kind of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A task was spawned. The argument is the index of its parent, or [`u32::MAX`].
    Spawned,
    /// A task has ended.
    Ended,
    /// A task has ended with a failure.
    Failed,
    /// A task has panicked.
    Panicked,
    /// A connection was accepted. The argument is the index of its source.
    Accepted,
    /// A connection was closed. The argument is the index of its source.
    Closed,
    /// A connection was reset at once, because its peer is at the limit.
    TurnedAway,
    /// A job was submitted. The argument is its index.
    Submitted,
    /// A job is done. The argument is its index.
    JobDone,
    /// A job was cancelled, or lost. The argument is its index.
    JobCancelled,
    /// The loop drains: it stops when what was received is answered.
    Draining,
    /// A task was cancelled by a command of another process. The argument is the number of the command.
    Cancelled,
    /// A command of another process was refused. The argument is the number of the command.
    Refused,
}

const KINDS: [EventKind; 13] = [
    EventKind::Spawned,
    EventKind::Ended,
    EventKind::Failed,
    EventKind::Panicked,
    EventKind::Accepted,
    EventKind::Closed,
    EventKind::TurnedAway,
    EventKind::Submitted,
    EventKind::JobDone,
    EventKind::JobCancelled,
    EventKind::Draining,
    EventKind::Cancelled,
    EventKind::Refused,
];

impl EventKind {
    /// Returns all kinds.
    #[must_use]
    pub const fn all() -> [Self; 13] {
        KINDS
    }

    /// Returns the name of the kind, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spawned => "spawned",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Accepted => "accepted",
            Self::Closed => "closed",
            Self::TurnedAway => "turned-away",
            Self::Submitted => "job-submitted",
            Self::JobDone => "job-done",
            Self::JobCancelled => "job-cancelled",
            Self::Draining => "draining",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

/// An event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The number of the event: the first has number 1.
    pub number: u64,
    /// The loop's time at the beginning of the turn in which it happened.
    pub at: Instant,
    /// The kind of the event.
    pub kind: EventKind,
    /// The task that it happened to.
    pub task: Option<TaskId>,
    /// A number whose meaning depends on the kind.
    pub argument: u32,
}

/// Returns the index of an event in the ring.
pub(crate) fn index(number: u64) -> usize {
    usize::try_from((number - 1) % MAX_EVENTS as u64).unwrap_or(0)
}

/// Writes an event into its place in the ring. A reader sees the old event, the new one, or none.
pub(crate) fn write(row: &[AtomicU32], event: &Event) {
    let [number, number2, rest @ ..] = row else { return };
    number.store(0, Ordering::Relaxed);
    number2.store(0, Ordering::Relaxed);
    fence(Ordering::Release);
    let [at, at2] = halves(event.at.as_nanos());
    let [index, generation] = halves(event.task.map_or(0, TaskId::to_bits));
    for (word, value) in rest.iter().zip([at, at2, event.kind as u32, index, generation, event.argument]) {
        word.store(value, Ordering::Relaxed);
    }
    let [first, second] = halves(event.number);
    fence(Ordering::Release);
    number2.store(second, Ordering::Relaxed);
    number.store(first, Ordering::Release);
}

/// Reads the event `number` from its place in the ring, or returns `None` if another one is there by now.
pub(crate) fn read(row: &[AtomicU32], number: u64) -> Option<Event> {
    let words = super::region::steady_row::<EVENT_WORDS>(row)?;
    let [first, second, at, at2, kind, index, generation, argument] = words;
    if whole(first, second) != number {
        return None;
    }
    let task = whole(index, generation);
    Some(Event {
        number,
        at: Instant::from_nanos(whole(at, at2)),
        kind: *KINDS.get(kind as usize)?,
        task: (task != 0).then(|| TaskId::from_bits(task)),
        argument,
    })
}

/// Returns the low and the high half.
#[expect(clippy::cast_possible_truncation, reason = "the halves are 32 bits each")]
pub(crate) fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

/// Returns the number with these halves.
pub(crate) fn whole(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
