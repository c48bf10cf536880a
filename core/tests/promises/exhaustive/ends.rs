//! The required outcome of any state if all sources become ready, or time passes, or all tasks are cancelled, or
//! everything is removed. These checks do not use the model.

use std::collections::BTreeMap;

use sinbin_core::kernel::{ExpectedWaker, TaskState, TaskView};
use sinbin_core::{Instant, Interest, Kernel, Rest, SourceId, Step, TaskId, Wait, WaitTarget, WakeReason};
use sinbin_testkit::kernel_model::heap::Heap;

use crate::exhaustive::Small;

/// Checks all outcomes, each from a new state created by `world`.
pub fn all(world: &impl Fn() -> Small) {
    what_is_ready_wakes_who_waits_for_it(world());
    a_host_that_rests_until_told_wakes_each_in_time(world().kernel);
    for step in [Step::Yield, Step::Wait(Wait::wake()), Step::Wait(Wait::time(Instant::ZERO))] {
        who_is_cancelled_is_told_once(world().kernel, step);
    }
    nothing_is_left_when_all_is_gone(world());
}

/// No wake-up is lost: if the host reports the readiness that it was asked to watch and the ends of the jobs, all tasks
/// with such a wait become ready, and no others.
fn what_is_ready_wakes_who_waits_for_it(mut world: Small) {
    let jobs: Vec<_> = world.model.jobs().collect();
    let watched = watched(&mut world);
    let kernel = &mut world.kernel;
    let before: Vec<_> = kernel.tasks().collect();
    let both = Interest::RECV | Interest::SEND;
    watched.iter().for_each(|(source, interest)| kernel.ready(*source, *interest & both));
    all_run(kernel, &before, |what| matches!(what, WaitTarget::Recv(_) | WaitTarget::Send(_)));
    jobs.into_iter().for_each(|job| kernel.job_done(job));
    // A host that watches a source at all also receives its hangup.
    let heard = watched.iter().filter(|(_, interest)| !interest.is_empty());
    heard.for_each(|(source, _)| kernel.ready(*source, Interest::HANGUP));
    all_run(kernel, &before, |_| true);
    let others: Vec<_> = before.iter().filter(|view| view.waits[0].is_none()).collect();
    let now: Vec<_> = kernel.tasks().filter(|view| others.iter().any(|other| other.id == view.id)).collect();
    assert!(others.into_iter().eq(now.iter()), "a task without such a wait stays in its state");
    assert_eq!(kernel.audit(), Ok(()));
}

/// Returns all sources with the interest that the host watches after it has asked for all changes.
fn watched(world: &mut Small) -> BTreeMap<SourceId, Interest> {
    let mut watched: BTreeMap<_, _> = world.changes.iter().copied().collect();
    while let Some((source, interest)) = world.kernel.next_change() {
        watched.insert(source, interest);
    }
    watched.retain(|source, _| world.kernel.is_open(*source));
    watched
}

fn all_run(kernel: &Kernel<Heap>, before: &[TaskView], is_over: impl Fn(&WaitTarget) -> bool) {
    for view in before.iter().filter(|view| view.waits.iter().flatten().any(&is_over)) {
        let now = kernel.tasks().find(|now| now.id == view.id).expect("the waiting task exists");
        assert_eq!(now.state, TaskState::Ready, "{view}: the host reported it");
        let wake_reason = kernel.wake_reason(view.id);
        assert!(
            matches!(wake_reason, Some(WakeReason::Ready | WakeReason::Hangup)),
            "{view}: told {wake_reason:?}"
        );
    }
}

/// A host that rests as long as it may meets every deadline exactly. Each stale timer wakes the host at most once.
fn a_host_that_rests_until_told_wakes_each_in_time(mut kernel: Kernel<Heap>) {
    let start = kernel.now();
    let limit = 6 * kernel.count() + 9;
    let mut due: BTreeMap<TaskId, Instant> =
        kernel.tasks().filter(|view| view.deadline != Instant::NEVER).map(|v| (v.id, v.deadline)).collect();
    for _ in 0..limit {
        while let Some(task) = kernel.next() {
            if let Some(deadline) = due.remove(&task) {
                assert_eq!(
                    kernel.wake_reason(task),
                    Some(WakeReason::TimedOut),
                    "{task}: nothing else happened"
                );
                assert_eq!(kernel.now(), deadline.max(start), "{task}: it runs when its deadline comes");
            }
            kernel.park(task, Step::Done);
        }
        match kernel.rest() {
            Rest::Until(Instant::NEVER) | Rest::Stalled | Rest::Empty => {
                return assert!(due.is_empty(), "a host would rest past {due:?}");
            }
            Rest::Until(at) => kernel.advance(at),
            Rest::Ready => kernel.advance(kernel.now()),
        }
    }
    panic!("the host never rests");
}

/// Cancels all tasks, which then return this step each time.
fn who_is_cancelled_is_told_once(mut kernel: Kernel<Heap>, step: Step) {
    let views: Vec<_> = kernel.tasks().collect();
    for view in &views {
        assert!(kernel.cancel(view.id), "{view}: it is there");
        let now = kernel.tasks().find(|now| now.id == view.id);
        assert_eq!(now.map(|now| now.state), Some(TaskState::Ready), "{view}: cancelling ends its wait");
    }
    // A task that was ready completes its present turn before it is notified.
    let mut present: Vec<_> =
        views.iter().filter(|view| view.state == TaskState::Ready).map(|v| v.id).collect();
    let mut told: Vec<TaskId> = Vec::new();
    for _ in 0..4 {
        kernel.advance(kernel.now());
        while let Some(task) = kernel.next() {
            if present.contains(&task) {
                present.retain(|other| *other != task);
            } else if kernel.wake_reason(task) == Some(WakeReason::Cancelled) {
                told.push(task);
            }
            kernel.park(task, step);
        }
    }
    told.sort();
    assert!(told.iter().eq(views.iter().map(|view| &view.id)), "{told:?} were told, of {views:?}");
    assert_eq!(kernel.audit(), Ok(()));
}

/// Removes all sources and jobs and wakes the tasks that wait by name. All tasks must run in one turn, and after their
/// end nothing is left and all capacity is free.
fn nothing_is_left_when_all_is_gone(mut world: Small) {
    let (sources, jobs): (Vec<_>, Vec<_>) = (world.model.sources().collect(), world.model.jobs().collect());
    let kernel = &mut world.kernel;
    let before: Vec<_> = kernel.tasks().collect();
    assert!(sources.into_iter().all(|source| kernel.close(source)), "all sources were there");
    assert!(jobs.into_iter().all(|job| kernel.end_job(job)), "all jobs were there");
    for view in before.iter().filter(|view| view.state == TaskState::Waiting) {
        let wake_reason = kernel.wake_reason(view.id);
        match view.waits[0] {
            Some(_) => assert_eq!(wake_reason, Some(WakeReason::Closed), "{view}: that is gone"),
            None => assert!(kernel.wake(view.id), "{view}: it is there"),
        }
        assert_eq!(
            kernel.tasks().find(|now| now.id == view.id).map(|now| now.by),
            Some(ExpectedWaker::Anyone)
        );
    }
    kernel.advance(kernel.now());
    for _ in &before {
        let task = kernel.next().expect("all are ready");
        kernel.park(task, Step::Done);
    }
    assert_eq!((kernel.next(), kernel.rest(), kernel.count()), (None, Rest::Empty, 0));
    assert_eq!(kernel.next_change(), None, "there is nothing to watch");
    assert_eq!(kernel.audit(), Ok(()));
    refill(&mut world);
}

/// Creates as many tasks, sources and jobs as the limits allow, and checks their number.
fn refill(world: &mut Small) {
    let count = |made: &mut dyn FnMut() -> bool| std::iter::from_fn(|| made().then_some(())).count();
    let kernel = &mut world.kernel;
    let made = [
        count(&mut || kernel.spawn().is_ok()),
        count(&mut || kernel.open().is_ok()),
        count(&mut || kernel.begin_job().is_ok()),
    ];
    assert_eq!(made, [world.limits.tasks, world.limits.sources, world.limits.jobs]);
}
