//! The present wait of a WASI command, as a reader in another process finds it.

use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant as Moment};

use sinbin_core::Instant;

use crate::observe::error::ObserveError;
use crate::observe::event::whole;
use crate::observe::header::{POLLABLE_WORDS, Part, Phase};
use crate::observe::observed::Observed;
use crate::observe::pollable::{self, Poll, Pollable};
use crate::observe::region::{copy, steady_row};
use crate::observe::snapshot::{LoopState, Snapshot};

/// The time after which a reader gives up on a list that is being written. That takes a millisecond, unless the process
/// is stopped meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of attempts to see the state of the loop and one wait together, before a command that polls all the time
/// is taken as it was at two moments.
const ATTEMPTS: usize = 100;

impl Observed {
    /// Returns the state of a WASI command and its wait. Returns `None` if the loop drives no command.
    pub(crate) fn of_command(&self) -> Result<Option<Snapshot>, ObserveError> {
        if self.rows_of(Part::Pollables) == 0 {
            return Ok(None);
        }
        let (state, poll) = self.poll()?;
        Ok(Some(Snapshot {
            state,
            poll: Some(poll),
            tasks: Vec::new(),
            guest_sources: Vec::new(),
            guest_failure: None,
            queue: Vec::new(),
            is_of_one_moment: true,
        }))
    }

    fn poll(&self) -> Result<(LoopState, Poll), ObserveError> {
        let head = || steady_row::<POLLABLE_WORDS>(self.row(Part::Pollables, 0)?);
        let mut attempt = 0;
        loop {
            let before = head();
            let (listed, pollables) = self.pollables()?;
            let state = self.state()?;
            attempt += 1;
            // The row is zeros before the first wait, and while it changes.
            let is_torn = head() != before || (before.is_none() && state.waits > 0);
            if is_torn && attempt < ATTEMPTS {
                continue;
            }
            let [number, since, since2, count, ..] = before.unwrap_or_default();
            let poll = Poll {
                since: before.map(|_| Instant::from_nanos(whole(since, since2))),
                count: count as usize,
                pollables,
                is_present: state.phase == Phase::Waiting && number != 0 && listed == number,
            };
            return Ok((state, poll));
        }
    }

    /// Returns the list of pollables, and the wait that it is of.
    fn pollables(&self) -> Result<(u32, Vec<Pollable>), ObserveError> {
        let header = self.header();
        let since = Moment::now();
        loop {
            let marks = header.steady.marks.load(Ordering::Acquire);
            let listed = header.turning.listed.load(Ordering::Relaxed);
            let rows = self.used(Part::Pollables).chunks_exact(POLLABLE_WORDS).skip(1);
            let words: Vec<_> = rows.filter_map(copy::<POLLABLE_WORDS>).collect();
            fence(Ordering::Acquire);
            if marks.is_multiple_of(2) && header.steady.marks.load(Ordering::Relaxed) == marks {
                let pollables: Option<Vec<_>> = words.iter().map(pollable::decode).collect();
                let what = "a pollable is of a known kind";
                let broken = ObserveError::Broken { pid: self.pid(), what };
                return pollables.map(|pollables| (listed, pollables)).ok_or(broken);
            }
            if since.elapsed() > PATIENCE {
                return Err(ObserveError::Busy(self.pid()));
            }
            // The host may have been interrupted in the middle of a change, and may need this core.
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(miri)))]
mod tests {
    use crate::observe::pollable::MAX_POLLABLES;
    use crate::observe::{Observed, PollNotes, PollableKind, loops_of};
    use crate::readiness::Watcher;

    use super::*;

    /// Returns the only loop of this process with this name.
    fn own(name: &str) -> Observed {
        let loops = loops_of(std::process::id()).expect("this process");
        let is_own = |found: &Observed| {
            found.state().is_ok_and(|state| state.service.as_deref() == Some(name) && state.is_command)
        };
        loops.into_iter().find(is_own).expect("the command of this test")
    }

    fn time(nanos: u64) -> Pollable {
        let (since, deadline) = (Instant::from_nanos(nanos), Instant::from_nanos(9 * nanos));
        Pollable { kind: PollableKind::Time, address: None, since, deadline }
    }

    #[test]
    fn a_wait_is_seen_from_its_beginning_to_its_end() {
        let watcher = Watcher::new(1).expect("a watcher");
        let mut notes = PollNotes::new(&watcher, "waits", 7, 8).expect("memory");
        let observed = own("waits");
        let see = || {
            let snapshot = observed.snapshot().expect("a snapshot");
            let poll = snapshot.poll.expect("a command");
            (snapshot.state.phase, poll.since, poll.count, poll.pollables.len(), poll.is_present)
        };
        assert_eq!(see(), (Phase::Running, None, 0, 0, false));
        let begun = watcher.now();
        notes.begin_wait(begun, 2, 1);
        assert_eq!(see(), (Phase::Waiting, Some(begun), 2, 0, false));
        // The wait goes on.
        notes.begin_wait(watcher.now(), 3, 1);
        assert!(notes.is_due(begun) && notes.is_waiting());
        notes.list(begun, [time(1), time(2)].into_iter());
        assert_eq!(see(), (Phase::Waiting, Some(begun), 2, 2, true));
        assert_eq!(observed.snapshot().expect("a snapshot").poll.expect("a command").pollables[1], time(2));
        assert!(!notes.is_due(begun) && notes.due() == Instant::NEVER, "it is listed");
        notes.end_wait(watcher.now());
        assert_eq!(see(), (Phase::Running, Some(begun), 2, 2, false));
        notes.begin_wait(begun, 1, 1);
        assert_eq!(see(), (Phase::Waiting, Some(begun), 1, 2, false), "the list is of the wait before");
        assert!(!notes.is_due(begun) && notes.due() > begun && notes.is_due(notes.due()));
        let state = observed.state().expect("a state");
        assert_eq!((state.waits, state.max_connections, state.is_guest), (2, 7, true));
        notes.draining();
        notes.ended(3);
        let state = observed.state().expect("a state");
        assert_eq!((state.phase, state.draining, state.cut), (Phase::Ended, true, 3));
    }

    #[test]
    fn of_very_many_pollables_the_first_are_listed() {
        let watcher = Watcher::new(1).expect("a watcher");
        let mut notes = PollNotes::new(&watcher, "waits for many", 7, 8).expect("memory");
        let count = 2 * MAX_POLLABLES;
        notes.begin_wait(watcher.now(), count, 0);
        notes.list(watcher.now(), (1..=count as u64).map(time));
        let poll = own("waits for many").snapshot().expect("a snapshot").poll.expect("a command");
        assert_eq!((poll.count, poll.pollables.len(), poll.is_present), (count, MAX_POLLABLES, true));
        assert_eq!(poll.pollables.last(), Some(&time(MAX_POLLABLES as u64)));
    }

    /// Other processes see the stack only of a command that computes from one tick to the next.
    #[test]
    fn the_stack_is_noted_from_the_second_tick_without_a_wait() {
        let watcher = Watcher::new(1).expect("a watcher");
        let mut notes = PollNotes::new(&watcher, "computes", 7, 8).expect("memory");
        notes.begin_wait(watcher.now(), 1, 0);
        notes.end_wait(watcher.now());
        assert!(notes.stack_at_tick().is_none());
        notes.stack_at_tick().expect("it computes").note_stack("0: spin");
        let (_, stack) = own("computes").guest_stack().expect("a state").expect("a stack");
        assert_eq!(stack, "0: spin");
        notes.begin_wait(watcher.now(), 1, 0);
        notes.end_wait(watcher.now());
        assert!(notes.stack_at_tick().is_none() && own("computes").guest_stack().expect("a state").is_none());
    }
}
