use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sinbin_core::Rest;
use sinbin_core::group::Group;
use sinbin_core::kernel::ExpectedWaker;
use sinbin_core::task::{
    Error, Handle, JoinErrorKind, JoinHandle, NoWakers, Reports, RunContext, UnjoinedFailure, WaitError, join,
};
use sinbin_testkit::memory_host::{Falls, Log, World, yields};

#[test]
fn a_result_can_be_had_once() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut child = handle.spawn(async move { 5 }).unwrap();
        log.add(child.join().await.map_err(|error| error.why));
        log.add(child.join().await.map_err(|error| error.why));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(5), Err(JoinErrorKind::Taken)]);
}

#[test]
fn who_joins_waits_for_that_task() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut child = world.spawn(async move {
        handle.wait_named().await.unwrap();
        7
    });
    let child_task = child.task();
    let parent = world.spawn(async move { log.add(child.join().await.unwrap()) });
    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(world.view(parent.task()).by, ExpectedWaker::Task(child_task));
    world.executor.kernel.wake(child_task);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [7]);
}

#[test]
fn a_task_that_was_over_before_has_its_result_yet() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let mut child = world.spawn(async move { "long ago" });
    assert_eq!(world.run(), Rest::Empty);
    assert!(child.is_over());
    assert!(!child.cancel());
    world.spawn(async move { log.add(child.join().await.unwrap()) });
    world.run();
    assert_eq!(log.take(), ["long ago"]);
}

#[test]
fn a_task_that_was_cancelled_has_none() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut child = handle.spawn(std::future::pending::<u32>()).unwrap();
        handle.yield_now().await;
        assert!(child.cancel());
        log.add(child.join().await.map_err(|error| error.why));
        assert!(!child.cancel(), "it is over");
        log.add(child.join().await.map_err(|error| error.why));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(JoinErrorKind::Cancelled); 2]);
}

#[test]
fn a_task_that_was_told_so_and_ends_by_itself_has_one() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut child = handle.spawn(handle.wait_named()).unwrap();
        handle.yield_now().await;
        child.cancel();
        log.add(child.join().await.unwrap());
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(WaitError::Cancelled)]);
}

#[test]
fn nobody_waits_for_itself() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let own = Rc::new(Cell::new(None::<JoinHandle<'_, ()>>));
    let mut world = World::new(handle);
    let its_own = own.clone();
    let task = world.spawn(async move {
        let mut own = its_own.take().unwrap();
        log.add(own.join().await.unwrap_err().why);
    });
    own.set(Some(task));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [JoinErrorKind::Itself]);
}

#[test]
fn who_gave_up_waiting_can_hand_the_handle_on() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut child = handle.spawn(yields_then(handle, 5, "result")).unwrap();
        let in_time = handle.timeout(Duration::ZERO, child.join()).await;
        assert!(in_time.is_err());
        let heir = async move { log.add(child.join().await.map_err(|error| error.why)) };
        handle.spawn(heir).unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok("result")]);
}

async fn yields_then<T>(handle: Handle<'_>, times: usize, result: T) -> T {
    yields(handle, times).await;
    result
}

#[test]
fn a_handle_that_is_dropped_leaves_the_task_alone() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let child = handle.spawn(async move {
            yields(handle, 3).await;
            log.add("went on");
            Falls(log, "result dropped")
        });
        drop(child);
        log.add("dropped");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["dropped", "went on", "result dropped"]);
}

#[test]
fn a_result_that_nobody_takes_is_dropped_with_the_handle() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let child = world.spawn(async move { Falls(log, "result") });
    world.run();
    assert_eq!(log.take(), [""; 0]);
    drop(child);
    assert_eq!(log.take(), ["result"]);
}

#[test]
fn a_future_is_dropped_at_its_end_and_its_result_given_away() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut child = handle
            .spawn(async move {
                let _local = Falls(log, "local");
                Falls(log, "result")
            })
            .unwrap();
        let result = child.join().await.unwrap();
        log.add("joined");
        drop(result);
        drop(child);
        log.add("end");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["local", "joined", "result", "end"]);
}

#[test]
fn several_can_be_joined_at_once() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut slow = handle.spawn(yields_then(handle, 4, "slow")).unwrap();
        let mut fast = handle.spawn(yields_then(handle, 2, "fast")).unwrap();
        let (slow, fast) = join(slow.join(), fast.join()).await;
        log.add((slow.unwrap(), fast.unwrap()));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [("slow", "fast")]);
}

#[test]
fn an_error_says_which_task_where_from_and_why() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    async fn worker() {
        std::future::pending::<()>().await;
    }
    let mut child = world.spawn(worker());
    let task = child.task();
    assert_eq!(world.executor.label(task), Some(child.label()), "its executor knows as much");
    let said = format!("JoinHandle {{ task: {task:?}, label: {:?} }}", child.label());
    assert_eq!(format!("{child:?}"), said);
    assert_eq!(child.label().name, "tasks::joining::an_error_says_which_task_where_from_and_why::worker");
    let line = child.label().spawned.line();
    assert_eq!(child.label().spawned.file(), file!());
    world.spawn(async move {
        handle.yield_now().await;
        child.cancel();
        let error = child.join().await.unwrap_err();
        // The `?` operator converts the error into the error of the waiting task, and its text does not change.
        let passed_on = Error::from(error);
        assert_eq!((passed_on, passed_on.to_string()), (Error::Task(error), error.to_string()));
        log.add(error.to_string());
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(world.executor.label(task), None, "it is gone");
    let name = "tasks::joining::an_error_says_which_task_where_from_and_why::worker";
    let place = format!("{}:{line}", file!());
    assert_eq!(log.take(), [format!("task {task} ({name}, spawned at {place}) was cancelled")]);
}

/// The reports so far: each task's name and error, and true if the task was cancelled.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<(String, bool)>>);

impl Reports for Heard {
    fn failed(&self, failed: &UnjoinedFailure<'_>) {
        assert!(failed.to_string().contains("joining.rs:"), "{failed}");
        assert_eq!(format!("{failed:?}"), format!("Unjoined({failed})"));
        self.0.lock().unwrap().push((failed.error.to_string(), failed.was_cancelled));
    }
}

#[derive(Debug)]
struct Own(#[expect(dead_code, reason = "only the error type matters")] u32);

impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("my own")
    }
}

impl std::error::Error for Own {}

#[test]
fn an_error_that_nobody_takes_is_reported() {
    type Boxed = Box<dyn std::error::Error>;
    let heard = Heard::default();
    let short = String::from("of a short life");
    let run_context = RunContext::reporting(&NoWakers, &heard);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let short = short.as_str();
    world.spawn(async move {
        // The first handle is dropped before the task ends, the second one after.
        drop(handle.spawn(async { Err::<(), _>("first") }).unwrap());
        let late = handle.spawn(async { Err::<u32, _>(String::from("second")) }).unwrap();
        handle.yield_now().await;
        drop(late);
        drop(handle.spawn(async { Err::<(), Boxed>("third".into()) }).unwrap());
        drop(handle.spawn(async { Err::<usize, _>(Error::Elapsed) }).unwrap());
        drop(handle.spawn(async move { Err::<(), _>(short) }).unwrap());
        handle.yield_now().await;
        handle.yield_now().await;
        // A task of a group that is dropped.
        let group = Group::<(), Error>::new(handle);
        group.spawn(async { Err(Error::Closed) }).unwrap();
        handle.yield_now().await;
        drop(group);
        // A detached task may return any type of error.
        handle.detach(async { Err::<Own, _>(Own(1)) }).unwrap();
        handle.yield_now().await;
        handle.yield_now().await;
    });
    assert_eq!(world.run(), Rest::Empty);
    let all = [
        "first",
        "second",
        "third",
        "it took too long",
        "of a short life",
        "the channel is closed",
        "my own",
    ];
    let heard = heard.0.lock().unwrap();
    assert_eq!(heard.iter().map(|(error, _)| error.as_str()).collect::<Vec<_>>(), all);
    assert!(heard.iter().all(|(_, was_cancelled)| !was_cancelled));
}

#[test]
fn what_is_no_failure_or_is_taken_is_not_reported() {
    let heard = Heard::default();
    let run_context = RunContext::reporting(&NoWakers, &heard);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move {
        drop(handle.spawn(async { Ok::<_, Error>(()) }).unwrap());
        drop(handle.spawn(async { 7 }).unwrap());
        let mut child = handle.spawn(async { Err::<(), _>(Error::Elapsed) }).unwrap();
        assert!(child.join().await.unwrap().is_err());
        let told = handle.spawn(async move { Ok::<_, Error>(handle.wait_named().await?) }).unwrap();
        let own = handle.spawn(async move { handle.wait_named().await.map_err(|_| "told") }).unwrap();
        handle.yield_now().await;
        assert!(told.cancel() && own.cancel());
        handle.detach(async { Ok::<_, Own>(()) }).unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(
        *heard.0.lock().unwrap(),
        [(String::from("told"), true)],
        "a report tells whether the task was cancelled"
    );
}

#[test]
fn a_detached_task_has_the_name_of_its_future() {
    async fn fails() -> Result<(), &'static str> {
        Err("it fails")
    }
    struct Named(std::sync::Mutex<String>);
    impl Reports for Named {
        fn failed(&self, failed: &UnjoinedFailure<'_>) {
            *self.0.lock().unwrap() = failed.label.name.to_owned();
        }
    }
    let named = Named(std::sync::Mutex::default());
    let run_context = RunContext::reporting(&NoWakers, &named);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    world.spawn(async move { handle.detach(fails()).map(drop).unwrap() });
    world.turn();
    let label = world.executor.kernel.tasks().find_map(|task| world.executor.label(task.id)).unwrap();
    assert_eq!(label.name, "tasks::joining::a_detached_task_has_the_name_of_its_future::fails");
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(*named.0.lock().unwrap(), label.name);
}

/// A future owns the handle of its own task. The handle is dropped together with the completed future, before the
/// result is stored.
#[test]
fn a_result_whose_handle_falls_with_the_future_is_dropped_with_the_task() {
    struct Owns<'a, 'd> {
        join_handle: Rc<Cell<Option<JoinHandle<'d, Falls<'a>>>>>,
        log: &'a Log<&'static str>,
    }

    impl<'a> Future for Owns<'a, '_> {
        type Output = Falls<'a>;

        fn poll(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Falls<'a>> {
            std::task::Poll::Ready(Falls(self.log, "result"))
        }
    }

    impl Drop for Owns<'_, '_> {
        fn drop(&mut self) {
            drop(self.join_handle.take());
            self.log.add("future");
        }
    }

    let log = &Log::new();
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let mut world = World::new(handle);
    let own = Rc::new(Cell::new(None));
    let join_handle = world.spawn(Owns { join_handle: Rc::clone(&own), log });
    own.set(Some(join_handle));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["future", "result"]);
}
