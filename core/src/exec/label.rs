//! Names of tasks, for reports.

use core::fmt;
use core::panic::Location;

/// The name of a task, and the place where it was spawned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label {
    /// The path of its `async fn`.
    pub name: &'static str,
    /// The place where it was spawned.
    pub spawned: &'static Location<'static>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, spawned at {}:{}", self.name, self.spawned.file(), self.spawned.line())
    }
}
