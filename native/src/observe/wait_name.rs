//! Named locks, channels and other synchronizers that tasks wait for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use sinbin_core::kernel::{TaskState, TaskView};
use sinbin_core::observe::{TASK_WORDS, view};
use sinbin_core::task::WaitKind;

use crate::observe::header::Part;
use crate::observe::observed::Observed;
use crate::observe::reading::Names;
use crate::observe::region::copy;
use crate::observe::snapshot::SpawnLabel;

/// A named lock, channel or other synchronizer that a task waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitName {
    /// The kind of the wait.
    pub kind: WaitKind,
    /// The name that the program gave to the lock, channel or event, as the name of a label.
    pub label: Arc<SpawnLabel>,
}

impl fmt::Display for WaitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind.words(), self.label.name)
    }
}

impl Observed {
    /// Decodes the note of what a task waits for. The note is not a part of the kernel's tables, so it counts only if the
    /// task is still in the same wait.
    pub(crate) fn wait_name(&self, seen: &TaskView, word: u32, names: &mut Names) -> Option<WaitName> {
        if word == 0 || seen.state != TaskState::Waiting {
            return None;
        }
        fence(Ordering::Acquire);
        let row = self.row(Part::Tasks, seen.id.index()).and_then(copy::<TASK_WORDS>)?;
        let index = u32::try_from(seen.id.index()).ok()?;
        let is_same = view(index, &row, self).is_ok_and(|now| now.as_ref() == Some(seen));
        let kind = WaitKind::from_number(u8::try_from(word >> 16).ok()?).filter(|_| is_same)?;
        Some(WaitName { kind, label: self.name(word & 0xffff, names)? })
    }
}
