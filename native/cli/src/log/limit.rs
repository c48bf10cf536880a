//! The limit on events of one kind: a number of them is written per period, and further events are counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Level;
use tracing::callsite::Identifier;

/// A kind of event, of one guest if the thread runs one of several. The number of kinds is bounded by the number of
/// guests, times that of the locations in the program that log or panic.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub(super) guest: Option<Arc<str>>,
    pub(super) origin: Origin,
}

/// The place where an event comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Origin {
    /// The location in the program that logs the event.
    Event(Identifier),
    /// The file and the line of a panic.
    Panic((String, u32)),
    /// Lines that a guest writes to its stderr.
    Guest,
}

/// A maximum number of lines, and the period that it applies to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) lines: u32,
    pub(super) span: Duration,
}

/// The omitted events of one kind.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct LeftOut {
    pub(super) guest: Option<Arc<str>>,
    pub(super) level: Level,
    pub(super) count: u64,
    /// The time since the beginning of the period.
    pub(super) span: Duration,
    /// The beginning of the last written event of this kind.
    pub(super) excerpt: String,
}

/// The counts of all kinds.
#[derive(Debug)]
pub(super) struct Limiter {
    kinds: HashMap<Key, Kind>,
    /// The earliest end of a period with omitted events.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Kind {
    level: Level,
    /// The beginning and the end of the period.
    began: Instant,
    ends: Instant,
    /// The numbers of written and of omitted events in the period.
    told: u32,
    left_out: u64,
    excerpt: String,
}

impl Limiter {
    pub(super) fn new() -> Self {
        Self { kinds: HashMap::new(), due: None }
    }

    /// Counts an event, and returns true if it has to be written.
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

    /// Stores the beginning of a written event.
    pub(super) fn remember(&mut self, key: &Key, excerpt: String) {
        if let Some(kind) = self.kinds.get_mut(key) {
            kind.excerpt = excerpt;
        }
    }

    /// Removes and returns the omitted events of expired periods.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<LeftOut> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let over = self.kinds.iter_mut().filter(|(_, kind)| kind.ends <= now);
        let over = over.filter_map(|(key, kind)| kind.take_left_out(key, now)).collect();
        let left = self.kinds.values().filter(|kind| kind.left_out > 0);
        self.due = left.map(|kind| kind.ends).min();
        over
    }

    /// Removes and returns all omitted events.
    pub(super) fn all(&mut self) -> Vec<LeftOut> {
        let now = Instant::now();
        self.due = None;
        self.kinds.iter_mut().filter_map(|(key, kind)| kind.take_left_out(key, now)).collect()
    }
}

impl Kind {
    fn take_left_out(&mut self, key: &Key, now: Instant) -> Option<LeftOut> {
        let Self { level, began, left_out, excerpt, .. } = self;
        let count = std::mem::take(left_out);
        let span = now.saturating_duration_since(*began);
        let guest = key.guest.clone();
        (count > 0).then(|| LeftOut { guest, level: *level, count, span, excerpt: excerpt.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { lines: 3, span: Duration::from_secs(10) };

    fn panic_at(line: u32) -> Key {
        Key { guest: None, origin: Origin::Panic(("a.rs".to_owned(), line)) }
    }

    #[test]
    fn each_guest_is_counted_by_itself() {
        let (mut limiter, now) = (Limiter::new(), Instant::now());
        let key = |guest: &str| Key { guest: Some(guest.into()), origin: Origin::Guest };
        let written = (0..1000).filter(|_| limiter.admits(&key("noisy"), Level::INFO, RULE, now)).count();
        assert_eq!(written, 3);
        assert!(limiter.admits(&key("quiet"), Level::INFO, RULE, now));
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
            guest: None,
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
