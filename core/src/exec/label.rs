//! Names of tasks, for reports.

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

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, spawned at {}:{}", self.name, self.spawned.file(), self.spawned.line())
    }
}
