//! Promises 5 to 7: stale ids, closing and cancelling, and limits.

use proptest::prelude::*;
use sinbin_core::kernel::{TaskState, TaskView};
use sinbin_core::{
    Fixed, Instant, JobId, Kernel, Rest, SourceId, Step as KernelStep, TaskId, Wait, WaitTarget, WakeReason,
};
use sinbin_testkit::cases::cases;
use sinbin_testkit::kernel_model::heap::Limits;
use sinbin_testkit::kernel_model::model::Step;
use sinbin_testkit::kernel_model::ops::{ops, pick};
use sinbin_testkit::kernel_model::world::World;

proptest! {
    #![proptest_config(cases(120))]

    /// Operations on an id that is no longer in use have no effect.
    #[test]
    fn promise_5_an_id_of_what_is_gone_does_nothing(ops in ops(120)) {
        let mut world = World::after(&ops);
        world.drain_changes();
        let before = world.see();
        let [tasks, sources, jobs] = world.gone();
        tasks.into_iter().for_each(|bits| world.misuse_task(TaskId::from_bits(bits)));
        sources.into_iter().for_each(|bits| world.misuse_source(SourceId::from_bits(bits)));
        jobs.into_iter().for_each(|bits| world.misuse_job(JobId::from_bits(bits)));
        prop_assert_eq!(world.see(), before);
        prop_assert_eq!(world.kernel.next_change(), None);
    }

    /// Operations on ids that were never in use have no effect either. The ids are random numbers, and ids that differ
    /// from a live one by one bit.
    #[test]
    fn promise_5_any_number_is_a_safe_id(ops in ops(60), picks in proptest::collection::vec(pick(), 1..20)) {
        let mut world = World::after(&ops);
        for pick in &picks {
            let (task, source, job) = (world.task(pick), world.source(pick), world.job(pick));
            if world.model.tasks().all(|id| id != task) {
                world.misuse_task(task);
            }
            if world.model.sources().all(|id| id != source) {
                world.misuse_source(source);
            }
            if world.model.jobs().all(|id| id != job) {
                world.misuse_job(job);
            }
        }
    }

    /// Closing a source makes exactly the tasks that wait for the source ready, with an error.
    #[test]
    fn promise_6_closing_wakes_who_waits(ops in ops(120)) {
        let mut world = World::after(&ops);
        for id in world.model.sources().collect::<Vec<_>>() {
            let before = world.see().tasks;
            world.close(id);
            for (old, new) in before.iter().zip(world.see().tasks) {
                let waited = [WaitTarget::Recv(id), WaitTarget::Send(id), WaitTarget::Hangup(id)].map(Some);
                if old.0.waits.iter().any(|what| waited.contains(what)) {
                    prop_assert_eq!((new.0.state, new.1), (TaskState::Ready, Some(WakeReason::Closed)));
                } else {
                    prop_assert_eq!(*old, new);
                }
            }
        }
    }

    /// Cancelling makes a waiting task ready at once and frees its wait slots. A ready task is notified in the
    /// step after its pending one. Each task is notified once.
    #[test]
    fn promise_6_cancelling_takes_a_task_out_at_once(ops in ops(120)) {
        let mut world = World::after(&ops);
        let cancelled: Vec<_> = world.see().tasks;
        for (view, wake_reason) in &cancelled {
            world.cancel(view.id);
            let now = world.kernel.tasks().find(|now| now.id == view.id).unwrap();
            prop_assert_eq!(now.state, TaskState::Ready);
            prop_assert_eq!(now.waits, [None; sinbin_core::kernel::MAX_WAITS]);
            let told = if view.state == TaskState::Waiting { Some(WakeReason::Cancelled) } else { *wake_reason };
            prop_assert_eq!(world.kernel.wake_reason(view.id), told);
        }
        let mut told = Vec::new();
        for _ in 0..3 {
            world.advance(world.model.now);
            let ran = std::iter::from_fn(|| world.run(&Step::Yield));
            told.extend(ran.filter(|(_, wake_reason)| *wake_reason == WakeReason::Cancelled).map(|(id, _)| id));
        }
        told.sort();
        // A task with a pending notification of an earlier cancellation is notified twice.
        let times = |(view, wake_reason): &(TaskView, Option<WakeReason>)| {
            let about_to = view.state == TaskState::Ready && *wake_reason == Some(WakeReason::Cancelled);
            vec![view.id; 1 + usize::from(about_to)]
        };
        prop_assert_eq!(told, cancelled.iter().flat_map(times).collect::<Vec<_>>());
    }

    /// For any limits, including 0: an operation beyond a limit returns an error and changes nothing. The counts are
    /// checked at every step.
    #[test]
    fn promise_7_running_out_is_a_value(
        limits in (0..4_usize, 0..4_usize, 0..4_usize),
        ops in ops(120),
    ) {
        let mut world = World::of(Limits { tasks: limits.0, sources: limits.1, jobs: limits.2 });
        ops.0.iter().for_each(|op| world.apply(op));
        world.fill_up();
        let full = world.see();
        prop_assert!(world.spawn().is_err() && world.open().is_err() && world.begin_job().is_err());
        prop_assert_eq!(world.see(), full);
        world.end_everything();
        world.fill_up();
    }
}

/// The wait tables store an index in 30 bits. A wider index must not be truncated to its low bits.
#[test]
fn promise_5_a_wide_index_is_no_narrow_one() {
    for high in [1 << 30, 1 << 31, 3 << 30] {
        let mut world = World::small();
        let (source, job) = (world.open().unwrap(), world.begin_job().unwrap());
        for what in [WaitTarget::Recv(source), WaitTarget::Job(job)] {
            world.spawn().unwrap();
            world.advance(Instant::ZERO);
            world.run(&Step::Wait(vec![what], Instant::NEVER));
        }
        world.misuse_source(SourceId::from_bits(source.to_bits() | high));
        world.misuse_job(JobId::from_bits(job.to_bits() | high));
    }
}

/// The largest indexes do not name anything either.
#[test]
fn promise_5_who_waits_for_nothing_is_told_so() {
    for index in [0x3fff_fffe, 0x3fff_ffff, 0x4000_0000, 0xffff_ffff] {
        let bits = 1 << 32 | index;
        let source = SourceId::from_bits(bits);
        for what in [
            WaitTarget::Recv(source),
            WaitTarget::Send(source),
            WaitTarget::Hangup(source),
            WaitTarget::Job(JobId::from_bits(bits)),
        ] {
            let mut kernel = Kernel::new(&Fixed::<1>);
            let task = kernel.spawn().unwrap();
            kernel.advance(Instant::ZERO);
            kernel.park(task, KernelStep::Wait(Wait::on(what)));
            assert_eq!(kernel.rest(), Rest::Ready, "{what:?}");
            assert_eq!(kernel.wake_reason(task), Some(WakeReason::Closed), "{what:?}");
        }
    }
}
