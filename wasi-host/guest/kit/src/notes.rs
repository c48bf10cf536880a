//! Notes about tasks in the published memory: their names, who has spawned them, and the locks and channels with a name that
//! they wait for. Names are labels: each is written once and never changes, and notes refer to it by a number.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::panic::Location;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use sinbin_core::TaskId;
use sinbin_core::kernel::TaskNote;
use sinbin_core::observe::directory::{LABEL_WORDS, NOTE_WORDS, span};

use crate::area::{Area, LABELS, NOTES, TEXTS};
use crate::sole::Sole;

/// The maximum number of labels, at most 65,535. Tasks with further labels have no name.
pub(crate) const MAX_LABELS: u32 = 512;

/// The maximum number of bytes of all labels.
pub(crate) const MAX_TEXT: u32 = 16 * 1024;

/// The maximum number of bytes of a name or a place.
const MAX_LEN: usize = 500;

/// Calls `act` with the name of the function that serves connections, or is the main task of a program. On other targets
/// than wasm there is no instance, and no name outlasts the call.
fn with_function<R>(act: impl FnOnce(&mut Option<&'static str>) -> R) -> R {
    #[cfg(target_arch = "wasm32")]
    {
        static FUNCTION: Sole<Option<&'static str>> = Sole(RefCell::new(None));
        act(&mut FUNCTION.0.borrow_mut())
    }
    #[cfg(not(target_arch = "wasm32"))]
    act(&mut Sole(RefCell::new(None)).0.borrow_mut())
}

/// Sets the name of the function that the macros of this crate wrap, for those who look at the tasks that run it.
#[doc(hidden)]
pub fn name_function(name: &'static str) {
    with_function(|function| *function = Some(name));
}

/// The notes in an area.
pub(crate) struct Notes {
    area: &'static Area,
    labels: RefCell<Labels>,
}

/// The labels that are published so far.
#[derive(Default)]
struct Labels {
    /// The numbers of labels, with the addresses of their static parts. 0 stands for one that had no space. A guest has
    /// few labels, and the code of a map would be larger than all other code of this module.
    numbers: Vec<((usize, usize), u32)>,
    /// The number of labels, and that of words of text.
    count: u32,
    used: usize,
}

impl Notes {
    pub(crate) fn new(area: &'static Area) -> Self {
        Self { area, labels: RefCell::default() }
    }

    /// Writes down a note about a task.
    pub(crate) fn add(&self, task: TaskId, note: TaskNote) {
        let Some([_, label, parent, parent2, wait]) = self.row(task) else { return };
        match note {
            TaskNote::SpawnedBy(by) => {
                let [index, generation] = halves(by.to_bits());
                parent.store(index, Ordering::Relaxed);
                parent2.store(generation, Ordering::Relaxed);
            }
            TaskNote::Named(name, place) => label.store(self.label(name, place), Ordering::Relaxed),
            TaskNote::WaitsFor(None) => wait.store(0, Ordering::Relaxed),
            TaskNote::WaitsFor(Some((kind, name))) => {
                let key = (name.as_ptr().addr(), name.len());
                let word = match self.number(key, || (name, Vec::new())) {
                    0 => 0,
                    number => u32::from(kind) << 16 | number,
                };
                wait.store(word, Ordering::Relaxed);
            }
        }
    }

    /// Returns the row of a task, which is empty if this is the first note about the task.
    fn row(&self, task: TaskId) -> Option<&'static [AtomicU32]> {
        let row = self.area.words(NOTES, NOTE_WORDS.checked_mul(task.index())?, NOTE_WORDS)?;
        let [index, generation] = halves(task.to_bits());
        if row[0].load(Ordering::Relaxed) != generation {
            row[0].store(0, Ordering::Relaxed);
            fence(Ordering::Release);
            for word in &row[1..] {
                word.store(0, Ordering::Relaxed);
            }
            row[0].store(generation, Ordering::Release);
            let len = self.area.word(span(NOTES) + 2);
            len.store(len.load(Ordering::Relaxed).max(index + 1), Ordering::Relaxed);
        }
        Some(row)
    }

    /// Returns the number of the label of a task.
    fn label(&self, name: &'static str, place: &'static Location<'static>) -> u32 {
        let key = (name.as_ptr().addr(), core::ptr::from_ref(place).addr());
        self.number(key, || {
            // The tasks of connections, and the main task, are spawned by crates that wrap the guest's function.
            let wraps = ["core/src/task/service.rs", "kit/src/program.rs"];
            if !wraps.iter().any(|file| place.file().ends_with(file)) {
                return (name, with_line(place));
            }
            (with_function(|function| *function).unwrap_or(name), Vec::new())
        })
    }

    /// Returns the number of the label with this key, which `text` makes at the first time: a name and a place. Returns
    /// 0, the number of no label, if there is no space for it.
    fn number(&self, key: (usize, usize), text: impl FnOnce() -> (&'static str, Vec<u8>)) -> u32 {
        let mut labels = self.labels.borrow_mut();
        if let Some((_, number)) = labels.numbers.iter().find(|(known, _)| *known == key) {
            return *number;
        }
        if labels.numbers.len() >= MAX_LABELS as usize {
            return 0;
        }
        let (name, place) = text();
        let number = self.publish(&mut labels, name, &place).unwrap_or(0);
        labels.numbers.push((key, number));
        number
    }

    fn publish(&self, labels: &mut Labels, name: &str, place: &[u8]) -> Option<u32> {
        // A reader replaces a character that is cut.
        let [name, place] = [name.as_bytes(), place].map(|text| &text[..text.len().min(MAX_LEN)]);
        let bytes = [name, place].concat();
        let text = self.area.words(TEXTS, labels.used, bytes.len().div_ceil(4))?;
        let row = self.area.words(LABELS, LABEL_WORDS * labels.count as usize, LABEL_WORDS)?;
        for (word, bytes) in text.iter().zip(bytes.chunks(4)) {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            word.store(u32::from_ne_bytes(four), Ordering::Relaxed);
        }
        row[0].store(u32::try_from(labels.used).ok()?, Ordering::Relaxed);
        row[1].store(u32::try_from(name.len() | place.len() << 16).ok()?, Ordering::Relaxed);
        labels.used += text.len();
        labels.count += 1;
        let lens = [(TEXTS, u32::try_from(labels.used).ok()?), (LABELS, labels.count)];
        for (table, len) in lens {
            self.area.word(span(table) + 2).store(len, Ordering::Release);
        }
        Some(labels.count)
    }
}

/// Returns the file and the line of a place.
fn with_line(place: &Location<'_>) -> Vec<u8> {
    let mut text = Vec::from(place.file().as_bytes());
    text.push(b':');
    let (first, mut line) = (text.len(), place.line());
    loop {
        text.insert(first, b"0123456789"[line as usize % 10]);
        line /= 10;
        if line == 0 {
            return text;
        }
    }
}

/// Returns the low and the high half: of an id, its index and its generation.
#[expect(clippy::cast_possible_truncation, reason = "the halves are 32 bits each")]
pub(crate) fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::boxed::Box;
    use std::format;
    use std::string::String;

    use sinbin_core::observe::directory::TABLES;

    use super::*;

    fn notes() -> Notes {
        let mut limits = [8; TABLES.len()];
        (limits[LABELS], limits[TEXTS]) = (MAX_LABELS, MAX_TEXT / 4);
        Notes::new(Box::leak(Box::new(Area::new(limits, true))))
    }

    fn row(notes: &Notes, index: usize) -> Vec<u32> {
        let row = notes.area.words(NOTES, NOTE_WORDS * index, NOTE_WORDS).expect("a row");
        row.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Returns the name and the place of a label.
    fn label(notes: &Notes, number: u32) -> (String, String) {
        let row = notes.area.words(LABELS, LABEL_WORDS * (number as usize - 1), LABEL_WORDS).expect("a row");
        let [offset, lens] = [0, 1].map(|word| row[word].load(Ordering::Relaxed) as usize);
        let (name, place) = (lens & 0xffff, lens >> 16);
        let words = notes.area.words(TEXTS, offset, (name + place).div_ceil(4)).expect("the text");
        let bytes: Vec<u8> = words
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .take(name + place)
            .collect();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        (text(&bytes[..name]), text(&bytes[name..]))
    }

    #[test]
    fn notes_are_those_of_the_last_task_in_a_slot() {
        let notes = notes();
        let [first, second] = [1 << 32 | 3, 2 << 32 | 3].map(TaskId::from_bits);
        let here = Location::caller();
        notes.add(first, TaskNote::SpawnedBy(TaskId::from_bits(7 << 32 | 1)));
        notes.add(first, TaskNote::Named("serve", here));
        notes.add(first, TaskNote::WaitsFor(Some((4, "inbox"))));
        assert_eq!(row(&notes, 3), [1, 1, 1, 7, 4 << 16 | 2]);
        assert_eq!(label(&notes, 1), ("serve".into(), format!("{}:{}", here.file(), here.line())));
        assert_eq!(label(&notes, 2), ("inbox".into(), String::new()));
        notes.add(first, TaskNote::WaitsFor(None));
        assert_eq!(row(&notes, 3), [1, 1, 1, 7, 0]);
        notes.add(second, TaskNote::Named("serve", here));
        assert_eq!(row(&notes, 3), [2, 1, 0, 0, 0], "the label is that of the first task");
        notes.add(TaskId::from_bits(1 << 32 | 99), TaskNote::Named("serve", here));
        assert_eq!(notes.area.word(span(NOTES) + 2).load(Ordering::Relaxed), 4, "there is no such row");
    }

    #[test]
    fn names_without_space_are_left_out_and_long_ones_are_cut() {
        let notes = notes();
        let task = TaskId::from_bits(1 << 32);
        let long: &'static str = Box::leak("é".repeat(400).into_boxed_str());
        notes.add(task, TaskNote::WaitsFor(Some((0, long))));
        assert_eq!(label(&notes, 1).0, "é".repeat(250));
        for number in 2..=2000_u32 {
            let name: &'static str = Box::leak(format!("channel {number}").into_boxed_str());
            notes.add(task, TaskNote::WaitsFor(Some((0, name))));
            assert_eq!(row(&notes, 0)[4], if number <= MAX_LABELS { number } else { 0 });
        }
    }
}
