//! The looks that all viewers of the page share: one is taken for all of them, and only while there is a viewer.

use std::cell::{Ref, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant as Moment};

use hyper::body::Bytes;
use sinbin::observe::{Observed, all_loops, loops_of};
use sinbin::task::{Handle, WaitError};

use super::super::args::MonitorArgs;
use super::super::rates::{Rates, resident};
use super::super::top::Seen;
use super::event::{self, Choice, Look};

/// The longest time without a piece of a stream, so that both ends learn of a broken connection.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The shortest time between two looks.
const LEAST: Duration = Duration::from_millis(100);

/// The looks, and those that wait for the next one.
pub(crate) struct Hub {
    pids: Vec<u32>,
    every: Duration,
    max_viewers: usize,
    began: Moment,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The number of looks so far.
    number: u64,
    /// The time of the last look.
    taken: Option<Moment>,
    seen: Vec<Seen>,
    failures: Vec<String>,
    /// The events of the last look, by what the viewers have chosen.
    events: HashMap<Choice, Bytes>,
    beats: u64,
    /// The viewers, by their numbers, with the tasks that wait for an event.
    viewers: HashMap<u64, Option<Waker>>,
    /// The number of viewers so far.
    came: u64,
    is_ticking: bool,
    has_ended: bool,
}

impl Hub {
    pub(crate) fn new(args: &MonitorArgs) -> Rc<Self> {
        let every = args.every.0.unwrap_or(Duration::MAX).max(LEAST);
        let pids = args.pids.clone();
        let began = Moment::now();
        Rc::new(Self { pids, every, max_viewers: args.max_viewers, began, state: RefCell::default() })
    }

    /// Adds a viewer. The first one lets a task begin that takes looks.
    ///
    /// # Errors
    ///
    /// Says why there can't be another viewer.
    pub(crate) fn watch(self: &Rc<Self>, handle: Handle<'_>, choice: Choice) -> Result<Viewer, String> {
        let mut state = self.state.borrow_mut();
        if state.viewers.len() >= self.max_viewers {
            return Err(format!("there are {} viewers already, see --max-viewers", self.max_viewers));
        }
        // A viewer sees the last look at once, unless it is from before a time without viewers.
        let seen = if state.is_ticking { 0 } else { state.number };
        if !state.is_ticking {
            let ticking = handle.detach(tick(handle, Rc::clone(self)));
            ticking.map_err(|error| format!("no capacity for viewers: {error}"))?;
            state.is_ticking = true;
        }
        state.came += 1;
        let id = state.came;
        state.viewers.insert(id, None);
        Ok(Viewer { hub: Rc::clone(self), id, choice, seen, beats: state.beats })
    }

    /// Shows the last look, with its number, to `read`. Takes a look if the last one is too old.
    pub(crate) fn look<R>(&self, read: impl FnOnce(u64, &[Seen]) -> R) -> R {
        let is_fresh = |state: Ref<'_, State>| state.taken.is_some_and(|taken| taken.elapsed() <= self.every);
        if !is_fresh(self.state.borrow()) {
            self.take();
        }
        let state = self.state.borrow();
        read(state.number, &state.seen)
    }

    /// Takes a look at all loops. A loop that can't be looked at does not hide the others.
    fn take(&self) {
        let (loops, mut failures) = self.loops();
        let mut seen = Vec::new();
        for snapshot in loops.iter().map(Observed::snapshot) {
            match snapshot {
                Ok(snapshot) => {
                    let resident = resident(snapshot.state.pid);
                    seen.push(Seen { snapshot, rates: Rates::default(), resident });
                }
                Err(error) => failures.push(error.to_string()),
            }
        }
        let mut state = self.state.borrow_mut();
        state.number += 1;
        state.taken = Some(Moment::now());
        (state.seen, state.failures) = (seen, failures);
        state.events.clear();
    }

    fn loops(&self) -> (Vec<Observed>, Vec<String>) {
        let texts = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect();
        if self.pids.is_empty() {
            return match all_loops() {
                Ok((loops, failures)) => (loops, texts(failures)),
                Err(error) => (Vec::new(), texts(vec![error])),
            };
        }
        let (mut loops, mut failures) = (Vec::new(), Vec::new());
        for found in self.pids.iter().map(|pid| loops_of(*pid)) {
            match found {
                Ok(found) => loops.extend(found),
                Err(error) => failures.push(error),
            }
        }
        (loops, texts(failures))
    }

    /// Lets the viewers poll again.
    fn wake(&self, change: impl FnOnce(&mut State)) {
        let wakers: Vec<_> = {
            let mut state = self.state.borrow_mut();
            change(&mut state);
            state.viewers.values_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Takes looks until no viewer is left, or until the monitor is to stop.
async fn tick(handle: Handle<'_>, hub: Rc<Hub>) -> Result<(), WaitError> {
    let mut stopping = pin!(handle.stopping());
    loop {
        hub.take();
        hub.wake(|_| ());
        let mut left = hub.every;
        while !left.is_zero() {
            let span = left.min(HEARTBEAT);
            if handle.timeout(span, stopping.as_mut()).await.is_ok() {
                hub.wake(|state| state.has_ended = true);
                return Ok(());
            }
            if hub.state.borrow().viewers.is_empty() {
                hub.state.borrow_mut().is_ticking = false;
                return Ok(());
            }
            left -= span;
            if !left.is_zero() {
                hub.wake(|state| state.beats += 1);
            }
        }
    }
}

/// A client that receives an event for each look, but for those in which it was still receiving another one.
pub(crate) struct Viewer {
    hub: Rc<Hub>,
    id: u64,
    choice: Choice,
    /// The number of the last look that was sent.
    seen: u64,
    beats: u64,
}

impl Viewer {
    /// Returns the next piece of the stream, or `None` at its end.
    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.hub.state.borrow_mut();
        let State { number, taken, seen, failures, events, beats, viewers, has_ended, .. } = &mut *state;
        if *has_ended {
            return Poll::Ready(None);
        }
        if *number > self.seen {
            self.seen = *number;
            self.beats = *beats;
            let Hub { every, began, .. } = &*self.hub;
            let look = Look {
                number: *number,
                at: taken.map_or(Duration::ZERO, |taken| taken.duration_since(*began)),
                every: *every,
                seen,
                failures,
            };
            let event = events.entry(self.choice).or_insert_with(|| event::bytes(&look, self.choice));
            return Poll::Ready(Some(event.clone()));
        }
        if *beats > self.beats {
            self.beats = *beats;
            return Poll::Ready(Some(Bytes::from_static(b": heartbeat\n\n")));
        }
        viewers.insert(self.id, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.hub.state.borrow_mut().viewers.remove(&self.id);
    }
}
