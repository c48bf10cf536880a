//! The kernel's changes of interest, from the side of a host on a level-triggered poller such as epoll. The host
//! watches what it is asked to, and reports a condition repeatedly for as long as it holds.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::kernel::TaskState;
use sinbin_core::{Interest, SourceId, WaitTarget};
use sinbin_testkit::cases::cases;
use sinbin_testkit::kernel_model::heap::Heap;
use sinbin_testkit::kernel_model::ops::{Op, Pick, op, pick};
use sinbin_testkit::kernel_model::world::World;

#[derive(Clone, Debug)]
enum Event {
    /// A kernel operation.
    Ask(Op),
    /// Sets the conditions that hold for a source from now on.
    Holds(Pick, u8),
    Poll,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let ask = op().prop_map(|op| match op {
        // Reports and changes of interest are up to the host here.
        Op::Ready(..) | Op::Changes => Event::Poll,
        op => Event::Ask(op),
    });
    let event = prop_oneof![
        12 => ask,
        3 => (pick(), 0..8_u8).prop_map(|(source, bits)| Event::Holds(source, bits)),
        1 => Just(Event::Poll),
    ];
    vec(event, 0..200)
}

/// The host: its watched interest, and the conditions that hold.
struct Poller {
    world: World<Heap>,
    watched: BTreeMap<SourceId, Interest>,
    holds: BTreeMap<SourceId, Interest>,
}

impl Poller {
    fn new() -> Self {
        Self { world: World::small(), watched: BTreeMap::new(), holds: BTreeMap::new() }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Poll => self.poll(),
            Event::Holds(pick, bits) => {
                // A connection that ended in both directions can be read and written without blocking.
                let bits = if bits & 4 == 0 { *bits } else { 7 };
                self.holds.insert(self.world.source(pick), Interest::from_bits(bits));
            }
            Event::Ask(op) => {
                self.world.apply(op);
                self.forget_closed();
            }
        }
    }

    /// Closing a file descriptor ends its watch.
    fn forget_closed(&mut self) {
        let open: Vec<_> = self.world.model.sources().collect();
        self.watched.retain(|source, _| open.contains(source));
        self.holds.retain(|source, _| open.contains(source));
    }

    /// Polls until nothing is reported any more, without letting a task run in between.
    fn poll(&mut self) {
        self.report();
        self.nobody_is_left_waiting();
        // Readiness without a waiter is reported once more. Then the kernel asks the host to stop watching.
        self.report();
        let reported = self.report();
        assert_eq!(reported, [], "the host spins on readiness without a waiter");
    }

    /// Polls once. Returns what was reported.
    fn report(&mut self) -> Vec<(SourceId, Interest)> {
        let told = self.world.changes.len();
        self.world.drain_changes();
        for (source, interest) in &self.world.changes[told..] {
            self.watched.insert(*source, *interest);
        }
        let mut reports = Vec::new();
        for (source, watched) in self.watched.iter().filter(|(_, watched)| !watched.is_empty()) {
            let holds = self.holds.get(source).copied().unwrap_or_default();
            // A hangup is reported regardless of the interest.
            let report = holds & (*watched | Interest::HANGUP);
            if !report.is_empty() {
                reports.push((*source, report));
            }
        }
        for (source, report) in &reports {
            self.world.ready(*source, *report);
        }
        reports
    }

    /// No wake-up is lost: no task waits for a condition that holds.
    fn nobody_is_left_waiting(&self) {
        for view in self.world.kernel.tasks().filter(|view| view.state == TaskState::Waiting) {
            for what in view.waits.into_iter().flatten() {
                let (source, wanted) = match what {
                    WaitTarget::Recv(source) => (source, Interest::RECV),
                    WaitTarget::Send(source) => (source, Interest::SEND),
                    WaitTarget::Hangup(source) => (source, Interest::HANGUP),
                    WaitTarget::Job(_) => continue,
                };
                let holds = self.holds.get(&source).copied().unwrap_or_default();
                assert!(!holds.contains(wanted), "promise 2: {view} in vain");
                assert!(!holds.contains(Interest::HANGUP), "promise 2: {view} after a hangup");
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn promise_2_a_host_on_epoll_loses_no_wake_up_and_does_not_spin(events in events()) {
        let mut poller = Poller::new();
        events.iter().for_each(|event| poller.happen(event));
        poller.poll();
    }
}
