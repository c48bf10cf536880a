//! How often an event of one kind is written: some times in a span, and the others are counted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::Level;
use tracing::callsite::Identifier;

/// A kind of event. There are as many as there are places in the program that log or panic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    /// The place in the program that logs it.
    Event(Identifier),
    /// The file and the line of a panic.
    Panic((String, u32)),
    /// Lines that a guest writes to its stderr.
    Guest,
}

/// A number of lines, and the span that they are counted in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) lines: u32,
    pub(super) span: Duration,
}

/// Events that were not written.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct LeftOut {
    pub(super) level: Level,
    pub(super) count: u64,
    /// Since the first of their span.
    pub(super) span: Duration,
    /// How the last one began that was written.
    pub(super) excerpt: String,
}

/// Counts of each kind.
#[derive(Debug)]
pub(super) struct Limiter {
    kinds: HashMap<Key, Kind>,
    /// When the first span ends in which events were left out.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Kind {
    level: Level,
    /// When its span began, and when it ends.
    began: Instant,
    ends: Instant,
    /// How many were written in it, and how many were not.
    told: u32,
    left_out: u64,
    excerpt: String,
}

impl Limiter {
    pub(super) fn new() -> Self {
        Self { kinds: HashMap::new(), due: None }
    }

    /// Counts an event, and returns true if it is to be written.
    pub(super) fn admits(&mut self, key: &Key, level: Level, rule: Rule, now: Instant) -> bool {
        let Some(kind) = self.kinds.get_mut(key) else {
            let new = Kind {
                level,
                began: now,
                ends: now + rule.span,
                told: 1,
                left_out: 0,
                excerpt: String::new(),
            };
            self.kinds.insert(key.clone(), new);
            return true;
        };
        if kind.ends <= now {
            (kind.began, kind.ends, kind.told) = (now, now + rule.span, 0);
        }
        if kind.told < rule.lines {
            kind.told += 1;
            return true;
        }
        kind.left_out += 1;
        let due = self.due.get_or_insert(kind.ends);
        *due = kind.ends.min(*due);
        false
    }

    /// Keeps how an event began that was written.
    pub(super) fn remember(&mut self, key: &Key, excerpt: String) {
        if let Some(kind) = self.kinds.get_mut(key) {
            kind.excerpt = excerpt;
        }
    }

    /// Takes what was left out in spans that are over.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<LeftOut> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let over = self.kinds.values_mut().filter(|kind| kind.ends <= now);
        let over = over.filter_map(|kind| kind.take_left_out(now)).collect();
        let left = self.kinds.values().filter(|kind| kind.left_out > 0);
        self.due = left.map(|kind| kind.ends).min();
        over
    }

    /// Takes all that was left out.
    pub(super) fn all(&mut self) -> Vec<LeftOut> {
        let now = Instant::now();
        self.due = None;
        self.kinds.values_mut().filter_map(|kind| kind.take_left_out(now)).collect()
    }
}

impl Kind {
    fn take_left_out(&mut self, now: Instant) -> Option<LeftOut> {
        let Self { level, began, left_out, excerpt, .. } = self;
        let count = std::mem::take(left_out);
        let span = now.saturating_duration_since(*began);
        (count > 0).then(|| LeftOut { level: *level, count, span, excerpt: excerpt.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { lines: 3, span: Duration::from_secs(10) };

    fn panic_at(line: u32) -> Key {
        Key::Panic(("a.rs".to_owned(), line))
    }

    #[test]
    fn some_are_written_and_the_others_counted() {
        let (mut limiter, start) = (Limiter::new(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let admitted =
            |limiter: &mut Limiter, line, now| limiter.admits(&panic_at(line), Level::ERROR, RULE, now);
        let written = (0..1000).filter(|number| admitted(&mut limiter, 1, at(*number))).count();
        assert_eq!(written, 3);
        limiter.remember(&panic_at(1), "it failed".to_owned());
        assert!(admitted(&mut limiter, 2, at(5000)), "another kind is counted by itself");
        assert_eq!(limiter.overdue(at(9999)), []);
        let told = LeftOut {
            level: Level::ERROR,
            count: 997,
            span: Duration::from_millis(10_500),
            excerpt: "it failed".to_owned(),
        };
        assert_eq!(limiter.overdue(at(10_500)), [told]);
        assert_eq!(limiter.overdue(at(10_500)), [], "once");
        let written = (10_500..11_000).filter(|number| admitted(&mut limiter, 1, at(*number))).count();
        assert_eq!(written, 3);
        assert_eq!(limiter.all()[0].count, 497);
        assert_eq!(limiter.all(), []);
    }
}
