//! Notes of a guest in a sandbox about its tasks: their names, who has spawned them, and what they wait for. As all that the
//! guest writes, they may be anything.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use sinbin_core::TaskId;
use sinbin_core::kernel::{TaskState, TaskView};
use sinbin_core::observe::directory::{LABEL_WORDS, NOTE_WORDS};
use sinbin_core::task::WaitKind;

use crate::observe::event::whole;
use crate::observe::guest_tables::{GuestWords, Tables};
use crate::observe::observed::Observed;
use crate::observe::reading::Names;
use crate::observe::region::{copy, steady_row};
use crate::observe::snapshot::{RunningStep, SpawnLabel, TaskInfo};
use crate::observe::wait_name::WaitName;

/// The tables, by their indexes in the directory.
const NOTES: usize = 5;
const LABELS: usize = 6;
const TEXTS: usize = 7;

/// The maximum number of labels that are read, as many as a native loop has. Labels can share their text, so those of a
/// hostile guest could otherwise be much larger than its memory.
const MOST: u32 = 4096;

/// The maximum number of bytes of a name or a place that is read.
pub(super) const MAX_LEN: usize = 1000;

impl Observed {
    /// Adds what the loop has noted about the sources of a guest's task, and the guest about the task itself.
    pub(super) fn guest_info(
        &self,
        view: TaskView,
        step: Option<RunningStep>,
        tables: &Tables,
        names: &mut Names,
    ) -> TaskInfo {
        let mut name =
            |number| names.entry(number).or_insert_with(|| tables.label(number).map(Arc::new)).clone();
        let [label, parent, parent2, wait] = tables.note(view.id).unwrap_or_default();
        let parent = whole(parent, parent2);
        fence(Ordering::Acquire);
        // The note counts only if the task is still in the same wait.
        let is_waiting = wait != 0 && view.state == TaskState::Waiting && tables.is_same(&view);
        let kind = u8::try_from(wait >> 16).ok().and_then(WaitKind::from_number).filter(|_| is_waiting);
        let waits_for = kind.and_then(|kind| name(wait & 0xffff).map(|label| WaitName { kind, label }));
        let sources = view.waits.iter().flatten().filter_map(|target| target.source());
        let waits_on: Vec<_> = sources.filter_map(|id| Some((id, self.noted(tables.handle(id)?)?))).collect();
        TaskInfo {
            view,
            label: name(label),
            waits_for,
            parent: (parent != 0).then(|| TaskId::from_bits(parent)),
            spawned: None,
            source: waits_on.first().map(|(_, source)| *source),
            waits_on,
            is_running: step.is_some(),
            step,
        }
    }
}

impl GuestWords<'_> {
    pub(super) fn note(self, task: TaskId) -> Option<[u32; NOTE_WORDS - 1]> {
        let begin = task.index().checked_mul(NOTE_WORDS)?;
        let row = steady_row::<NOTE_WORDS>(self.rows(NOTES).get(begin..)?)?.map(u32::from_le);
        let [generation, rest @ ..] = row;
        (u64::from(generation) == task.to_bits() >> 32).then_some(rest)
    }

    pub(super) fn label(self, number: u32) -> Option<SpawnLabel> {
        let begin =
            (number.checked_sub(1).filter(|index| *index < MOST)? as usize).checked_mul(LABEL_WORDS)?;
        let label = copy::<LABEL_WORDS>(self.rows(LABELS).get(begin..)?)?.map(u32::from_le);
        let (name, place) = ((label[1] & 0xffff) as usize, (label[1] >> 16) as usize);
        if name.max(place) > MAX_LEN {
            return None;
        }
        let words = self.rows(TEXTS).get(label[0] as usize..)?.get(..(name + place).div_ceil(4))?;
        let mut bytes: Vec<u8> =
            words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        bytes.truncate(name + place);
        let place = bytes.split_off(name);
        let text = |bytes: Vec<u8>| printable(&String::from_utf8_lossy(&bytes));
        Some(SpawnLabel { name: text(bytes), spawned: (!place.is_empty()).then(|| text(place)) })
    }
}

/// Replaces the characters of a text of a guest that could change how a terminal shows the rest: control characters, and
/// those that change the direction of text.
pub(crate) fn printable(text: &str) -> String {
    let is_odd = |char: char| {
        char.is_control()
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(is_odd, "\u{fffd}")
}
