//! Names of tasks, and of what they wait for, for reports.

use core::fmt;
use core::panic::Location;

/// The name of a task, and where it was spawned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// The path of the task's `async fn`.
    pub name: &'static str,
    /// The source location of the spawn.
    pub spawned: &'static Location<'static>,
}

/// A named lock, channel or other synchronizer that a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NamedWait {
    /// The kind of the wait.
    pub kind: WaitKind,
    /// The name that the program gave to the lock, channel or event.
    pub name: &'static str,
}

/// The kind of a wait for a synchronizer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WaitKind {
    /// A wait for a [`Lock`](crate::sync::Lock).
    Lock,
    /// A wait to read the value of an [`RwLock`](crate::sync::RwLock).
    Read,
    /// A wait to change the value of an [`RwLock`](crate::sync::RwLock).
    Write,
    /// A wait for permits of a [`Semaphore`](crate::sync::Semaphore).
    Permits,
    /// A wait for capacity in a [`Channel`](crate::sync::Channel).
    Send,
    /// A wait for a value in a [`Channel`](crate::sync::Channel) or a [`Oneshot`](crate::sync::Oneshot).
    Recv,
    /// A wait for a message of a [`Broadcast`](crate::sync::Broadcast).
    Message,
    /// A wait for a change of a [`Watch`](crate::sync::Watch).
    Change,
    /// A wait for an [`Event`](crate::sync::Event).
    Event,
    /// A wait at a [`Barrier`](crate::sync::Barrier).
    Barrier,
    /// A wait to be notified by a [`Condition`](crate::sync::Condition).
    Condition,
}

impl WaitKind {
    const ALL: [Self; 11] = [
        Self::Lock,
        Self::Read,
        Self::Write,
        Self::Permits,
        Self::Send,
        Self::Recv,
        Self::Message,
        Self::Change,
        Self::Event,
        Self::Barrier,
        Self::Condition,
    ];

    /// Returns the kind as a number, for interfaces that carry only integers.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the kind that [`number`](Self::number) converted to `number`, if it is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Returns the words that precede the name in a report, such as "lock".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Read => "read access to",
            Self::Write => "write access to",
            Self::Permits => "permits of semaphore",
            Self::Send => "capacity of channel",
            Self::Recv => "a value from channel",
            Self::Message => "a message of broadcast",
            Self::Change => "a change of watch",
            Self::Event => "event",
            Self::Barrier => "barrier",
            Self::Condition => "condition",
        }
    }
}

impl fmt::Display for NamedWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.words(), self.name)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, spawned at {}:{}", self.name, self.spawned.file(), self.spawned.line())
    }
}
