//! Promise 8, and time: the rest of a host while no task is ready.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::kernel::{TaskState, TaskView};
use sinbin_core::{Instant, Rest, TaskId, WaitTarget, WakeReason};
use sinbin_testkit::cases::cases;
use sinbin_testkit::kernel_model::heap::{Heap, Limits};
use sinbin_testkit::kernel_model::model::Step;
use sinbin_testkit::kernel_model::ops::ops;
use sinbin_testkit::kernel_model::world::World;

fn nanos(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn waits_to_be_named() -> Step {
    Step::Wait(Vec::new(), Instant::NEVER)
}

proptest! {
    #![proptest_config(cases(100))]

    /// `Rest::Stalled` is returned if and only if all tasks wait to be woken by name, and all of them are listed. A
    /// single wake-up, or one wait that an event can end, is enough to prevent it.
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
        // A past deadline expires only after another poll, and `Instant::NEVER` is no deadline.
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
            // The timer of a wait that has already ended may come first.
            (Rest::Until(at), Rest::Until(until)) => prop_assert!(at <= until),
            (actual, expected) => prop_assert_eq!(actual, expected),
        }
    }

    /// A host that only sleeps until the time returned by `rest` meets every deadline exactly. It wakes in vain at most
    /// once for each timer of a wait that ended early.
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

    /// Waits end in the order of their deadlines, and equal deadlines in the order of the waits. Earlier waits with
    /// other deadlines make no difference.
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
            wait_until(&mut world, deadlines, &yields).iter().for_each(|(_, id)| world.wake(*id));
        }
        let mut expected = wait_until(&mut world, last, &yields);
        expected.sort_by_key(|(at, _)| *at);
        world.pass(nanos(100));
        let ran = std::iter::from_fn(|| world.run(&Step::Done)).map(|(id, _)| id);
        prop_assert!(ran.eq(expected.into_iter().map(|(_, id)| id)));
    }

    /// A timer remains when its wait ends early, and also when its task ends. Each slot has at most one timer, which
    /// does not wake the next task in the slot.
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

    /// A deadline is never early: a clock one nanosecond before it does not end the wait, and neither does a later
    /// clock without a poll of the sources after the deadline.
    #[test]
    fn a_deadline_comes_at_its_moment_and_not_before(deadlines in vec(1..50_u64, 1..20)) {
        let mut world = World::of(Limits { tasks: deadlines.len(), sources: 0, jobs: 0 });
        while world.spawn().is_ok() {}
        wait_until(&mut world, &deadlines, &[]);
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

/// Lets each task wait for its deadline after this many yields. Returns the waits in order.
fn wait_until(world: &mut World<Heap>, deadlines: &[u64], yields: &[usize]) -> Vec<(u64, TaskId)> {
    let mut waits = Vec::new();
    let mut yields = yields.to_vec();
    while world.kernel.rest() == Rest::Ready {
        world.advance(Instant::ZERO);
        while let Some(id) = world.kernel.next() {
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
            world.run(&step);
        }
    }
    waits
}
