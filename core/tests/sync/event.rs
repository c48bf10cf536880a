use sinbin_core::Rest;
use sinbin_core::sync::Event;
use sinbin_core::task::{Handle, NoWakers, RunContext, WaitError};
use sinbin_testkit::memory_host::{Log, World};

#[test]
fn all_who_wait_go_on_in_order() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let event = Event::new(handle);
    let mut world = World::new(handle);
    for task in 0..4 {
        let (event, log) = (&event, &log);
        world.spawn(async move {
            event.wait().await.unwrap();
            log.add(task);
        });
    }
    assert_eq!(world.run(), Rest::Stalled);
    world.spawn(async { event.set().unwrap() });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [0, 1, 2, 3]);

    // A later wait completes at once.
    world.spawn(async { event.wait().await.unwrap() });
    assert_eq!(world.turn(), 1);
    assert_eq!(world.run(), Rest::Empty);
}

#[test]
fn a_flag_that_is_cleared_at_once_was_set_all_the_same() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let event = Event::new(handle);
    let mut world = World::new(handle);
    world.spawn(async {
        event.wait().await.unwrap();
        assert!(!event.is_set());
        log.add("went on");
        event.wait().await.unwrap();
    });
    world.spawn(async {
        event.set().unwrap();
        event.clear();
    });
    assert_eq!(world.run(), Rest::Stalled, "it waits for the next time");
    assert_eq!(log.take(), ["went on"]);
}

#[test]
fn a_cancelled_wait_is_refused() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let event = Event::new(handle);
    let mut world = World::new(handle);
    let task = world.spawn(async { log.add(event.wait().await) });
    world.run();
    world.cancel(task.task());
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(WaitError::Cancelled)]);
}

#[test]
fn outside_a_task_it_can_not_be_set() {
    let run_context = RunContext::new(&NoWakers);
    let event = Event::new(Handle::new(&run_context));
    assert_eq!(event.set(), Err(WaitError::Elsewhere));
    assert!(!event.is_set());
}
