use sinbin_core::Rest;
use sinbin_core::sync::order::{Order, acquire};
use sinbin_core::sync::{Barrier, Channel, Condition, Event, Lock, Oneshot, Semaphore};
use sinbin_core::task::{Handle, NoWakers, RunContext};
use sinbin_testkit::memory_host::World;

/// The debug output shows the state of each primitive, as needed to find the cause of a hang.
#[test]
fn what_is_printed_says_how_it_stands() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let (channel, event, lock) = (Channel::<u8, 2>::new(handle), Event::new(handle), Lock::new(handle, 7));
    let (barrier, semaphore, condition) =
        (Barrier::new(handle, 3), Semaphore::new(handle, 4), Condition::new(handle));
    assert_eq!(format!("{handle:?}"), "Handle { .. }");
    assert_eq!(format!("{event:?}"), "Event { set: false, .. }");
    assert_eq!(format!("{condition:?}"), "Condition { .. }");

    let mut world = World::new(handle);
    world.spawn(async {
        channel.send(1).await.unwrap();
        event.set().unwrap();
        let guard = lock.lock().await.unwrap();
        assert_eq!(format!("{guard:?}"), "7");
        let permit = semaphore.acquire(3).await.unwrap();
        assert_eq!(format!("{permit:?}"), "Permit { count: 3, .. }");
        assert_eq!(format!("{semaphore:?}"), "Semaphore { available: 1, total: 4, .. }");
        barrier.wait().await.ok();
    });
    assert_eq!(world.run(), Rest::Stalled);
    assert_eq!(format!("{channel:?}"), "Channel { len: 1, capacity: 2, closed: false, .. }");
    assert_eq!(format!("{event:?}"), "Event { set: true, .. }");
    assert_eq!(format!("{barrier:?}"), "Barrier { tasks: 3, waiting: 1, .. }");
    let oneshot = Oneshot::<u8>::new(handle);
    assert_eq!(format!("{oneshot:?}"), "Oneshot { has_value: false, closed: false, .. }");
    assert_eq!(format!("{:?}", oneshot.sender()), "OneshotSender { closed: false, .. }");
}

/// The output of an ordered lock shows its holder and its rank, but not its value, which may be in the middle of a
/// change.
#[test]
fn what_is_printed_of_a_lock_in_an_order_is_its_place() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let order = Order::<2>::new(handle);
    let (_, second) = (order.lock("first", 7), order.lock("second", "value"));
    let mut world = World::new(handle);
    let task = world.spawn(async {
        let held = acquire(&second).await.unwrap();
        assert_eq!(format!("{held:?}"), r#""value""#);
        let said = format!("{second:?}");
        assert!(said.starts_with("Ordered { rank: 1, lock: Lock { name: \"second\""), "{said}");
        assert!(!said.contains("value"), "{said}");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert!(task.is_over());
}

/// A lock that is no longer needed returns its value.
#[test]
fn a_lock_gives_its_value_away() {
    let run_context = RunContext::new(&NoWakers);
    assert_eq!(Lock::new(Handle::new(&run_context), 7).into_inner(), 7);
}
