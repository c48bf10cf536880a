use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use sinbin_core::group::{Cause, Group, JoinSet, scope};
use sinbin_core::task::{
    Async, AsyncHost, ConnTask, Error, Handle, JoinErrorKind, JoinHandle, NoWakers, Pool, RunContext, join,
};
use sinbin_core::{Cx, Executor, Fixed, Host, Instant, Rest, Step, Task, TaskId};
use sinbin_testkit::memory_host::{Falls, Log};
use sinbin_testkit::no_io;

/// A host without I/O that catches panics, as a host with the standard library does.
struct Catcher<'d, F: Future + 'd>(PhantomData<ConnTask<'d, F>>);

struct Caught<'d, F: Future + 'd>(ConnTask<'d, F>);

impl<'d, F: Future> From<Async<'d>> for Caught<'d, F> {
    fn from(task: Async<'d>) -> Self {
        Self(task.into())
    }
}

impl<'d, F: Future> Task<Catcher<'d, F>> for Caught<'d, F> {
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, Catcher<'d, F>>) -> Step {
        let task = &mut self.get_mut().0;
        let step = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *task).resume(cx)));
        step.unwrap_or_else(|_| {
            Pin::new(task).panicked(cx);
            Step::Done
        })
    }

    fn spawned(mut self: Pin<&mut Self>, id: TaskId) {
        Task::<Catcher<'d, F>>::spawned(Pin::new(&mut self.0), id);
    }

    fn label(&self) -> Option<sinbin_core::task::Label> {
        Task::<Catcher<'d, F>>::label(&self.0)
    }

    fn end(mut self: Pin<&mut Self>, cx: &mut Cx<'_, Catcher<'d, F>>) {
        Pin::new(&mut self.0).end(cx);
    }
}

impl<'d, F: Future> Host for Catcher<'d, F> {
    type Storage = Fixed<8, 0, 0>;
    type Task = Caught<'d, F>;

    no_io!();
}

impl<'d, F: Future> AsyncHost<'d> for Catcher<'d, F> {}

type World<'d, F> = Executor<Catcher<'d, F>>;

fn spawn<'d, F: Future + 'd, G: Future + 'd>(
    world: &mut World<'d, F>,
    handle: Handle<'d>,
    future: G,
) -> JoinHandle<'d, G::Output> {
    let (task, join_handle) = Async::new(handle, future);
    assert!(world.spawn(Caught(task.into())).is_ok());
    join_handle
}

/// Runs until no task can continue.
fn run<'d, F: Future + 'd>(world: &mut World<'d, F>) -> Rest {
    while world.kernel.rest() == Rest::Ready {
        world.turn(Instant::ZERO, &mut Catcher(PhantomData));
        assert_eq!(world.kernel.audit(), Ok(()));
    }
    world.kernel.rest()
}

/// Waits, and panics in a second future.
async fn panics<'d>(handle: Handle<'d>, log: &'d Log<&'static str>) {
    let _falls = Falls(log, "dropped");
    handle.yield_now().await;
    join(handle.sleep(Duration::from_secs(1)), async { panic!("it is meant to") }).await;
}

/// Runs the panicking task both from a pool and on the heap.
#[test]
fn who_panics_is_dropped_and_takes_nobody_with_it() {
    for is_own in [true, false] {
        let (run_context, log, why) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
        let handle = Handle::new(&run_context);
        let pool = pin!(Pool::growing(1));
        let (task, mut bad) = Pin::as_ref(&pool).put(handle, panics(handle, log)).unwrap();
        let mut world = World::new(&Fixed);
        let task = if is_own { ConnTask::Own(task) } else { ConnTask::Other(task.erase()) };
        let bad_task = world.spawn(Caught(task)).ok().unwrap();
        assert_eq!(world.label(bad_task), Some(bad.label()));
        assert_eq!(bad.label().name, "tasks::panicking::panics");
        // This task has its step right after the panicking one.
        let other = spawn(&mut world, handle, async move {
            handle.yield_now().await;
            std::future::pending::<()>().await;
        });
        spawn(&mut world, handle, async move {
            let error = bad.join().await.unwrap_err();
            log.add("told");
            why.add((error.why, error.to_string()));
            let again = bad.join().await.unwrap_err();
            why.add((again.why, again.to_string()));
        });
        // The other task waits for a wake from outside. The deadline of the panicked task is gone.
        assert_eq!(run(&mut world), Rest::Until(Instant::NEVER));
        let left: Vec<_> = world.kernel.tasks().map(|task| (task.id, task.deadline)).collect();
        assert_eq!(left, [(other.task(), Instant::NEVER)]);
        assert_eq!(log.take(), ["dropped", "told"]);
        let said = why.take();
        let is_so =
            |(why, text): &(_, String)| *why == JoinErrorKind::Panicked && text.ends_with(" panicked");
        assert!(said.len() == 2 && said.iter().all(is_so), "{said:?}");
        assert_eq!(world.label(bad_task), None, "the task has ended");
    }
}

#[test]
fn a_task_of_a_set_that_panics_is_an_error_and_the_others_go_on() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::<std::future::Ready<()>>::new(&Fixed);
    spawn(&mut world, handle, async move {
        let set = JoinSet::new(handle);
        let bad = set.spawn(panics(handle, log)).unwrap();
        set.spawn(async move {
            for _ in 0..5 {
                handle.yield_now().await;
            }
            log.add("other ended");
        })
        .unwrap();
        let (task, result) = set.join_next().await.unwrap().unwrap();
        assert_eq!((task, result.unwrap_err().why), (bad, JoinErrorKind::Panicked));
        assert_eq!(set.join_next().await.unwrap().unwrap().1, Ok(()));
    });
    assert_eq!(run(&mut world), Rest::Empty);
    assert_eq!(log.take(), ["dropped", "other ended"]);
}

#[test]
fn a_task_of_a_group_that_panics_ends_the_group() {
    let (run_context, log, said) = (RunContext::new(&NoWakers), &Log::new(), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::<std::future::Ready<()>>::new(&Fixed);
    spawn(&mut world, handle, async move {
        let group = Group::<(), Error>::new(handle);
        group
            .spawn(async move {
                let _falls = Falls(log, "other dropped");
                std::future::pending().await
            })
            .unwrap();
        let bad = group
            .spawn(async move {
                panics(handle, log).await;
                Ok(())
            })
            .unwrap();
        let failed = group.join().await.unwrap_err();
        assert_eq!((failed.task, failed.cause), (bad, Cause::Panicked));
        assert!(std::error::Error::source(&failed).is_none());
        said.add(failed.to_string());
    });
    assert_eq!(run(&mut world), Rest::Empty);
    assert_eq!(log.take(), ["dropped", "other dropped"]);
    let said = said.take();
    assert!(
        said[0].starts_with("it panicked\n  in task ") && said[0].contains("tasks::panicking::"),
        "{said:?}"
    );
}

/// A value that panics when it is dropped.
struct Breaks;

impl Drop for Breaks {
    fn drop(&mut self) {
        panic!("it is meant to");
    }
}

/// A future that completes at once and panics when it is dropped.
struct AtOnce(Breaks);

impl Future for AtOnce {
    type Output = &'static str;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<&'static str> {
        Poll::Ready("a result")
    }
}

/// Runs a task whose future panics when it is dropped, after a cancellation if `is_cancelled`. Checks that the waiting
/// task gets the error and that the slot is free again.
fn ends_in_a_panic<F: Future<Output = &'static str>>(future: impl Fn() -> F, is_cancelled: bool) {
    let (run_context, why) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::growing(1));
    let pool = Pin::as_ref(&pool);
    let (task, mut bad) = pool.put(handle, future()).unwrap();
    let mut world = World::new(&Fixed);
    let task = world.spawn(Caught(ConnTask::Own(task))).ok().unwrap();
    spawn(&mut world, handle, async move { why.add(bad.join().await.unwrap_err().why) });
    if is_cancelled {
        assert_eq!(run(&mut world), Rest::Until(Instant::NEVER));
        assert!(world.kernel.cancel(task));
    }
    assert_eq!(run(&mut world), Rest::Empty);
    assert_eq!(why.take(), [JoinErrorKind::Panicked]);
    // The slot is also freed if the task never runs.
    for _ in 0..2 {
        let put = pool.put(handle, future());
        assert!(put.is_ok(), "its slot is free");
        is_caught(|| drop(put));
    }
}

fn is_caught(panics: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(panics)).is_err()
}

#[test]
fn who_panics_when_it_is_dropped_is_over_and_leaves_its_place() {
    ends_in_a_panic(|| AtOnce(Breaks), false);
    let waits = async || {
        let _breaks = Breaks;
        std::future::pending().await
    };
    ends_in_a_panic(waits, true);
}

/// The result of a task whose handle is dropped without `take`.
#[test]
fn a_result_that_panics_when_it_is_dropped_leaves_its_place() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::growing(1));
    let pool = Pin::as_ref(&pool);
    for _ in 0..2 {
        let (task, join_handle) = pool.put(handle, async { Breaks }).unwrap();
        let mut world = World::new(&Fixed);
        assert!(world.spawn(Caught(ConnTask::Own(task))).is_ok());
        assert_eq!(run(&mut world), Rest::Empty);
        assert!(join_handle.is_over() && is_caught(|| drop(join_handle)));
    }
}

/// A task that panics drops its scope and the tasks of the scope before any other task runs.
#[test]
fn no_task_outlives_the_scope_of_a_task_that_panics() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::<std::future::Ready<()>>::new(&Fixed);
    let mut bad = spawn(&mut world, handle, async move {
        let scoped = scope(handle, async |group: &Group<'_, (), Error>| {
            group
                .spawn(async move {
                    let _falls = Falls(log, "child");
                    handle.shield(handle.wait_named()).await?;
                    Ok(())
                })
                .unwrap();
            std::future::pending::<Result<(), _>>().await
        });
        let panics = async {
            for _ in 0..3 {
                handle.yield_now().await;
            }
            log.add("panics");
            panic!("it is meant to");
        };
        join(scoped, panics).await.0.ok();
    });
    spawn(&mut world, handle, async move {
        assert_eq!(bad.join().await.unwrap_err().why, JoinErrorKind::Panicked);
        log.add("joined");
    });
    assert_eq!(run(&mut world), Rest::Empty);
    assert_eq!(log.take(), ["panics", "child", "joined"]);
}
