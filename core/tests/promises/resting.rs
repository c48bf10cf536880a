//! Promise 8, and time: what a host does when nobody is ready.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::{Instant, Rest, TaskId, TaskState, TaskView, WaitTarget, WakeReason};

use crate::cases::cases;
use crate::heap::{Heap, Limits};
use crate::model::Step;
use crate::ops::ops;
use crate::world::World;

fn nanos(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn waits_to_be_named() -> Step {
    Step::Wait(Vec::new(), Instant::NEVER)
}

proptest! {
    #![proptest_config(cases(100))]

    /// It is said when all wait to be named, and only then; all of them are listed; and a single wake-up, or
    /// one wait that something else can end, is enough for it not to be said.
    #[test]
    fn promise_8_all_wait_and_nothing_can_wake_them(ops in ops(120), saved in 0..4_usize) {
        let mut world = World::after(&ops);
        world.end_everything();
        while world.spawn().is_ok() {}
        world.advance(world.model.now);
        while world.run(&waits_to_be_named()).is_some() {}
        prop_assert_eq!(world.kernel.rest(), Rest::Stalled);
        let waits = |view: TaskView| view.state == TaskState::Waiting && view.waits[0].is_none();
        prop_assert!(world.kernel.tasks().all(waits));
        prop_assert_eq!(world.kernel.tasks().count(), 5);

        let one = world.model.tasks().last().unwrap();
        world.wake(one);
        prop_assert_eq!(world.kernel.rest(), Rest::Ready);
        let (source, job) = (world.open().unwrap(), world.begin_job().unwrap());
        // Past deadlines are over after another look; the end of all time is no deadline.
        let until = world.model.now.min(nanos(u64::MAX - 1));
        let (wait, rest) = match saved {
            0 => (Step::Wait(vec![WaitTarget::Recv(source)], Instant::NEVER), Rest::Until(Instant::NEVER)),
            1 => (Step::Wait(vec![WaitTarget::Job(job)], Instant::NEVER), Rest::Until(Instant::NEVER)),
            2 => (Step::Wait(Vec::new(), until), Rest::Ready),
            _ => (waits_to_be_named(), Rest::Stalled),
        };
        world.advance(world.model.now);
        world.run(&wait);
        match (world.kernel.rest(), rest) {
            // A timer of a wait that is over may come up first.
            (Rest::Until(at), Rest::Until(until)) => prop_assert!(at <= until),
            (actual, expected) => prop_assert_eq!(actual, expected),
        }
    }

    /// A host that does nothing but sleep until `rest` says gets every deadline at its moment, and is woken
    /// in vain at most once for each timer of a wait that was over early.
    #[test]
    fn a_host_that_sleeps_as_told_gets_every_deadline(ops in ops(120)) {
        let mut world = World::after(&ops);
        let mut in_vain = 0;
        loop {
            world.advance(world.model.now);
            while world.run(&waits_to_be_named()).is_some() {}
            match world.kernel.rest() {
                Rest::Ready => {}
                Rest::Until(at) if at != Instant::NEVER => {
                    prop_assert!(at > world.model.now, "a host does not spin");
                    world.pass(at);
                    in_vain += usize::from(world.kernel.next().is_none());
                    prop_assert!(in_vain <= 5, "as many early timers as places for tasks");
                }
                _ => break,
            }
        }
        prop_assert!(world.kernel.tasks().all(|view| view.deadline == Instant::NEVER));
    }

    /// Waits end in the order of their deadlines; of equal ones, in the order of the waits. Earlier waits of
    /// the same tasks, with other deadlines, make no difference.
    #[test]
    fn deadlines_come_in_order_and_equal_ones_in_the_order_of_the_waits(
        rounds in vec(vec(1..6_u64, 40), 1..4),
        yields in vec(0..3_usize, 40),
    ) {
        let count = yields.len();
        let mut world = World::of(Limits { tasks: count, sources: 0, jobs: 0 });
        while world.spawn().is_ok() {}
        let (last, earlier) = rounds.split_last().unwrap();
        for deadlines in earlier {
            world.wait_until(deadlines, &yields).iter().for_each(|(_, id)| world.wake(*id));
        }
        let mut expected = world.wait_until(last, &yields);
        expected.sort_by_key(|(at, _)| *at);
        world.pass(nanos(100));
        let ran = std::iter::from_fn(|| world.run(&Step::Done)).map(|(id, _)| id);
        prop_assert!(ran.eq(expected.into_iter().map(|(_, id)| id)));
    }

    /// A timer stays behind when a wait ends early, and when the task ends too. But it is its place's: there
    /// are never more timers than places, and the next task there is not woken by it.
    #[test]
    fn timers_left_behind_by_tasks_that_are_gone_do_no_harm(spans in vec((1..20_u64, 1..20_u64), 1..40)) {
        let mut world = World::small();
        for (left_behind, wanted) in spans {
            for span in [left_behind + 1000, wanted] {
                let id = world.spawn().unwrap();
                let at = world.model.now + Duration::from_nanos(span);
                world.advance(world.model.now);
                world.run(&Step::Wait(Vec::new(), at));
                if span == wanted {
                    world.pass(at);
                    prop_assert_eq!(world.kernel.wake_reason(id), Some(WakeReason::TimedOut));
                } else {
                    world.cancel(id);
                    world.advance(world.model.now);
                }
                world.run(&Step::Done);
            }
        }
    }

    /// A deadline is not early: one step of the clock before it no task is woken by it, nor before a look at the sources
    /// that comes after it.
    #[test]
    fn a_deadline_comes_at_its_moment_and_not_before(deadlines in vec(1..50_u64, 1..20)) {
        let mut world = World::of(Limits { tasks: deadlines.len(), sources: 0, jobs: 0 });
        while world.spawn().is_ok() {}
        world.wait_until(&deadlines, &[]);
        for at in deadlines.iter().copied().collect::<BTreeSet<_>>() {
            world.pass(nanos(at - 1));
            prop_assert_eq!(world.kernel.next(), None);
            world.advance(nanos(at));
            prop_assert_eq!((world.kernel.next(), world.kernel.rest()), (None, Rest::Ready));
            world.advance_unpolled(nanos(at));
            prop_assert_eq!((world.kernel.next(), world.kernel.rest()), (None, Rest::Ready));
            world.advance(nanos(at));
            while let Some((_, wake_reason)) = world.run(&Step::Done) {
                prop_assert_eq!(wake_reason, WakeReason::TimedOut);
            }
        }
        prop_assert_eq!(world.kernel.rest(), Rest::Empty);
    }
}

impl World<Heap> {
    /// Each task waits for its deadline, after as many yields as it is told. The waits, in order.
    fn wait_until(&mut self, deadlines: &[u64], yields: &[usize]) -> Vec<(u64, TaskId)> {
        let mut waits = Vec::new();
        let mut yields = yields.to_vec();
        while self.kernel.rest() == Rest::Ready {
            self.advance(Instant::ZERO);
            while let Some(id) = self.kernel.next() {
                let step = match yields.get_mut(id.index()) {
                    Some(left) if *left > 0 => {
                        *left -= 1;
                        Step::Yield
                    }
                    _ => {
                        let at = deadlines[id.index()];
                        waits.push((at, id));
                        Step::Wait(Vec::new(), nanos(at))
                    }
                };
                self.run(&step);
            }
        }
        waits
    }
}
