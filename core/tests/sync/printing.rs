use sinbin_core::Rest;
use sinbin_core::sync::order::{Order, acquire};
use sinbin_core::sync::{Barrier, Channel, Condition, Event, Lock, Semaphore};
use sinbin_core::task::{Door, Loop, NoWakers};

use crate::support::World;

/// Who looks for what hangs sees how each stands.
#[test]
fn what_is_printed_says_how_it_stands() {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let (channel, event, lock) = (Channel::<u8, 2>::new(on), Event::new(on), Lock::new(on, 7));
    let (barrier, semaphore, condition) = (Barrier::new(on, 3), Semaphore::new(on, 4), Condition::new(on));
    assert_eq!(format!("{on:?}"), "Loop { .. }");
    assert_eq!(format!("{event:?}"), "Event { set: false, .. }");
    assert_eq!(format!("{condition:?}"), "Condition { .. }");

    let mut world = World::new(on);
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
}

/// Beside who has it, its place in the order; of what it protects nothing, as that may be changing.
#[test]
fn what_is_printed_of_a_lock_in_an_order_is_its_place() {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let order = Order::<2>::new(on);
    let (_, second) = (order.lock("first", 7), order.lock("second", "value"));
    let mut world = World::new(on);
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

/// A lock that nobody needs any more gives its value away.
#[test]
fn a_lock_gives_its_value_away() {
    let door = Door::new(&NoWakers);
    assert_eq!(Lock::new(Loop::new(&door), 7).into_inner(), 7);
}
