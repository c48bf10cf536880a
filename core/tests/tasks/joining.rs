use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sinbin_core::group::Group;
use sinbin_core::task::{Door, Error, JoinHandle, Loop, NoWakers, Refused, Reports, Unjoined, Why, join};
use sinbin_core::{By, Rest};

use crate::support::{Falls, Log, World, yields};

#[test]
fn a_result_can_be_had_once() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let mut child = on.spawn(async move { 5 }).unwrap();
        log.add(child.join().await.map_err(|error| error.why));
        log.add(child.join().await.map_err(|error| error.why));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok(5), Err(Why::Taken)]);
}

#[test]
fn who_joins_waits_for_that_task() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let mut child = world.spawn(async move {
        on.wait_named().await.unwrap();
        7
    });
    let child_task = child.task();
    let parent = world.spawn(async move { log.add(child.join().await.unwrap()) });
    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(world.view(parent.task()).by, By::Task(child_task));
    world.executor.kernel.wake(child_task);
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [7]);
}

#[test]
fn a_task_that_was_over_before_has_its_result_yet() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
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
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let mut child = on.spawn(std::future::pending::<u32>()).unwrap();
        on.yield_now().await;
        assert!(child.cancel());
        log.add(child.join().await.map_err(|error| error.why));
        assert!(!child.cancel(), "it is over");
        log.add(child.join().await.map_err(|error| error.why));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(Why::Cancelled); 2]);
}

#[test]
fn a_task_that_was_told_so_and_ends_by_itself_has_one() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let mut child = on.spawn(on.wait_named()).unwrap();
        on.yield_now().await;
        child.cancel();
        log.add(child.join().await.unwrap());
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(Refused::Cancelled)]);
}

#[test]
fn nobody_waits_for_itself() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let own = Rc::new(Cell::new(None::<JoinHandle<'_, ()>>));
    let mut world = World::new(on);
    let its_own = own.clone();
    let task = world.spawn(async move {
        let mut own = its_own.take().unwrap();
        log.add(own.join().await.unwrap_err().why);
    });
    own.set(Some(task));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Why::Itself]);
}

#[test]
fn who_gave_up_waiting_can_hand_the_handle_on() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let mut child = on.spawn(yields_then(on, 5, "result")).unwrap();
        let in_time = on.timeout(Duration::ZERO, child.join()).await;
        assert!(in_time.is_err());
        let heir = async move { log.add(child.join().await.map_err(|error| error.why)) };
        on.spawn(heir).unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Ok("result")]);
}

async fn yields_then<T>(on: Loop<'_>, times: usize, result: T) -> T {
    yields(on, times).await;
    result
}

#[test]
fn a_handle_that_is_dropped_leaves_the_task_alone() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let child = on.spawn(async move {
            yields(on, 3).await;
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
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let child = world.spawn(async move { Falls(log, "result") });
    world.run();
    assert_eq!(log.take(), [""; 0]);
    drop(child);
    assert_eq!(log.take(), ["result"]);
}

#[test]
fn a_future_is_dropped_at_its_end_and_its_result_given_away() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let mut child = on
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
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        let mut slow = on.spawn(yields_then(on, 4, "slow")).unwrap();
        let mut fast = on.spawn(yields_then(on, 2, "fast")).unwrap();
        let (slow, fast) = join(slow.join(), fast.join()).await;
        log.add((slow.unwrap(), fast.unwrap()));
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [("slow", "fast")]);
}

#[test]
fn an_error_says_which_task_where_from_and_why() {
    let (door, log) = (Door::new(&NoWakers), &Log::new());
    let on = Loop::new(&door);
    let mut world = World::new(on);
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
        on.yield_now().await;
        child.cancel();
        let error = child.join().await.unwrap_err();
        // With `?` it is the error of whoever waited, and says the same.
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

/// The reports so far: the task's name and error, and whether it was cancelled.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<(String, bool)>>);

impl Reports for Heard {
    fn failed(&self, failed: &Unjoined<'_>) {
        assert!(failed.to_string().contains("joining.rs:"), "{failed}");
        assert_eq!(format!("{failed:?}"), format!("Unjoined({failed})"));
        self.0.lock().unwrap().push((failed.error.to_string(), failed.was_cancelled));
    }
}

#[derive(Debug)]
struct Own(#[expect(dead_code, reason = "it is only there")] u32);

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
    let door = Door::reporting(&NoWakers, &heard);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let short = short.as_str();
    world.spawn(async move {
        // Dropped before it is over, and after it.
        drop(on.spawn(async { Err::<(), _>("first") }).unwrap());
        let late = on.spawn(async { Err::<u32, _>(String::from("second")) }).unwrap();
        on.yield_now().await;
        drop(late);
        drop(on.spawn(async { Err::<(), Boxed>("third".into()) }).unwrap());
        drop(on.spawn(async { Err::<usize, _>(Error::Elapsed) }).unwrap());
        drop(on.spawn(async move { Err::<(), _>(short) }).unwrap());
        on.yield_now().await;
        on.yield_now().await;
        // Of a group that is left.
        let group = Group::<(), Error>::new(on);
        group.spawn(async { Err(Error::Closed) }).unwrap();
        on.yield_now().await;
        drop(group);
        // Any error, of those that are said to be detached.
        on.detach(async { Err::<Own, _>(Own(1)) }).unwrap();
        on.yield_now().await;
        on.yield_now().await;
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
    let door = Door::reporting(&NoWakers, &heard);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move {
        drop(on.spawn(async { Ok::<_, Error>(()) }).unwrap());
        drop(on.spawn(async { 7 }).unwrap());
        let mut child = on.spawn(async { Err::<(), _>(Error::Elapsed) }).unwrap();
        assert!(child.join().await.unwrap().is_err());
        let told = on.spawn(async move { Ok::<_, Error>(on.wait_named().await?) }).unwrap();
        let own = on.spawn(async move { on.wait_named().await.map_err(|_| "told") }).unwrap();
        on.yield_now().await;
        assert!(told.cancel() && own.cancel());
        on.detach(async { Ok::<_, Own>(()) }).unwrap();
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(
        *heard.0.lock().unwrap(),
        [(String::from("told"), true)],
        "and whoever was cancelled is told apart"
    );
}

#[test]
fn a_detached_task_has_the_name_of_its_future() {
    async fn fails() -> Result<(), &'static str> {
        Err("it fails")
    }
    struct Named(std::sync::Mutex<String>);
    impl Reports for Named {
        fn failed(&self, failed: &Unjoined<'_>) {
            *self.0.lock().unwrap() = failed.label.name.to_owned();
        }
    }
    let named = Named(std::sync::Mutex::default());
    let door = Door::reporting(&NoWakers, &named);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    world.spawn(async move { on.detach(fails()).map(drop).unwrap() });
    world.turn();
    let label = world.executor.kernel.tasks().find_map(|task| world.executor.label(task.id)).unwrap();
    assert_eq!(label.name, "tasks::joining::a_detached_task_has_the_name_of_its_future::fails");
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(*named.0.lock().unwrap(), label.name);
}

/// A future that has the handle of its own task drops it when it is over, before its result is there.
#[test]
fn a_result_whose_handle_falls_with_the_future_is_dropped_with_the_task() {
    struct Owns<'a, 'd> {
        handle: Rc<Cell<Option<JoinHandle<'d, Falls<'a>>>>>,
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
            drop(self.handle.take());
            self.log.add("future");
        }
    }

    let log = &Log::new();
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let mut world = World::new(on);
    let own = Rc::new(Cell::new(None));
    let handle = world.spawn(Owns { handle: Rc::clone(&own), log });
    own.set(Some(handle));
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), ["future", "result"]);
}
