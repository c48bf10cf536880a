//! Names in the published memory. Each is written once and never changes, so that a task refers to it by a number.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::observe::header::{LABEL_WORDS, MAX_LABELS, MAX_TEXT, Part};
use crate::observe::region::Region;

/// The maximum number of bytes of a name or a place.
const MAX_LEN: usize = 1000;

/// The labels that a loop has published so far.
#[derive(Default)]
pub(crate) struct Labels {
    /// The numbers of labels, by the addresses of their static parts.
    numbers: HashMap<(usize, usize), u32>,
    /// The number of words of text in use.
    used: usize,
}

impl Labels {
    /// Returns the number of the label with this key, which `text` makes at the first time: a name and a place. Returns
    /// 0, the number of no label, if the memory for labels is full.
    pub(crate) fn number(
        &mut self,
        region: &Region,
        key: (usize, usize),
        text: impl FnOnce() -> (String, String),
    ) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        if self.numbers.len() >= MAX_LABELS {
            return 0;
        }
        let (name, place) = text();
        let number = self.publish(region, &name, &place).unwrap_or(0);
        self.numbers.insert(key, number);
        number
    }

    fn publish(&mut self, region: &Region, name: &str, place: &str) -> Option<u32> {
        let (name, place) = (cut(name), cut(place));
        let bytes: Vec<u8> = [name.as_bytes(), place.as_bytes()].concat();
        let count = bytes.len().div_ceil(4);
        if self.used + count > MAX_TEXT / 4 {
            return None;
        }
        let [labels, texts] = [Part::Labels, Part::Texts].map(|part| &region.header().parts[part as usize]);
        let number = labels.len.load(Ordering::Relaxed);
        let at = |offset: u64, words: usize| usize::try_from(offset).ok().map(|offset| offset + 4 * words);
        let text = region.words(at(texts.offset.load(Ordering::Relaxed), self.used)?, count)?;
        for (word, bytes) in text.iter().zip(bytes.chunks(4)) {
            let mut four = [0; 4];
            four[..bytes.len()].copy_from_slice(bytes);
            word.store(u32::from_ne_bytes(four), Ordering::Relaxed);
        }
        let row = at(labels.offset.load(Ordering::Relaxed), LABEL_WORDS * number as usize)?;
        let row = region.words(row, LABEL_WORDS)?;
        row[0].store(u32::try_from(self.used).ok()?, Ordering::Relaxed);
        row[1].store(u32::try_from(name.len() | place.len() << 16).ok()?, Ordering::Relaxed);
        self.used += count;
        // Numbers of labels begin at 1.
        labels.len.store(number + 1, Ordering::Release);
        Some(number + 1)
    }
}

/// Returns the beginning of a text that is too long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_LEN)]
}
