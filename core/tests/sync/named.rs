use std::marker::PhantomData;
use std::rc::Rc;

use sinbin_core::sync::{
    Barrier, Broadcast, Channel, Condition, Event, Lock, Oneshot, ReentrantLock, RwLock, Semaphore, Watch,
};
use sinbin_core::task::{Async, AsyncHost, Handle, NoWakers, RunContext, WaitKind, join, select};
use sinbin_core::{Executor, Fixed, Host, Instant, Rest};

use sinbin_testkit::memory_host::World;
use sinbin_testkit::no_io;

/// A report of tasks that can never continue says what each of them waits for.
#[test]
fn the_name_of_what_a_task_waits_for_is_known() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = &Lock::named(handle, "lock", 0);
    let account = &ReentrantLock::named(handle, "account", 0);
    let table = &RwLock::named(handle, "table", 0);
    let slots = &Semaphore::named(handle, "slots", 1);
    let jobs = &Channel::<u8, 1>::named(handle, "jobs");
    let full = &Channel::<u8, 1>::named(handle, "full");
    let lines = &Broadcast::<u8, 4>::named(handle, "lines");
    let state = &Watch::named(handle, "state", 0);
    let start = &Event::named(handle, "start");
    let phase = &Barrier::named(handle, "phase", 2);
    let changed = &Condition::named(handle, "changed");
    let reply = &Oneshot::<u8>::named(handle, "reply");
    let nameless = &Event::new(handle);
    let names = [
        lock.name(),
        account.name(),
        table.name(),
        slots.name(),
        jobs.name(),
        full.name(),
        lines.name(),
        state.name(),
        start.name(),
        phase.name(),
        changed.name(),
        reply.name(),
        nameless.name(),
    ];
    let mut world = World::new(handle);
    world.spawn(async {
        let _locks = (lock.lock().await, account.lock().await, table.write().await);
        let _others = (full.send(1).await, slots.acquire(1).await);
        nameless.wait().await.ok();
    });
    world.turn();
    let waiting = [
        world.spawn(async { lock.lock().await.ok() }).task(),
        world.spawn(async { account.lock().await.ok() }).task(),
        world.spawn(async { table.read().await.ok() }).task(),
        world.spawn(async { slots.acquire(1).await.ok() }).task(),
        world.spawn(async { jobs.recv().await.ok() }).task(),
        world.spawn(async { full.send(2).await.ok() }).task(),
        world.spawn(async { lines.receiver().recv().await.ok() }).task(),
        world.spawn(async { state.receiver().changed().await.ok() }).task(),
        world.spawn(async { start.wait().await.ok() }).task(),
        world.spawn(async { phase.wait().await.ok() }).task(),
        world
            .spawn(async {
                let other = Lock::new(handle, ());
                let guard = other.lock().await.unwrap();
                drop(changed.wait(guard).await);
            })
            .task(),
        world.spawn(async { reply.recv().await.ok() }).task(),
        world.spawn(async { nameless.wait().await.ok() }).task(),
    ];
    assert_eq!(world.run(), Rest::Stalled);
    let words = [
        "lock \"lock\"",
        "lock \"account\"",
        "read access to \"table\"",
        "permits of semaphore \"slots\"",
        "a value from channel \"jobs\"",
        "capacity of channel \"full\"",
        "a message of broadcast \"lines\"",
        "a change of watch \"state\"",
        "event \"start\"",
        "barrier \"phase\"",
        "condition \"changed\"",
        "a value from channel \"reply\"",
        "",
    ];
    for ((task, name), words) in waiting.into_iter().zip(names).zip(words) {
        assert_eq!(world.executor.wait_name(task), Some(name).filter(|name| !name.is_empty()), "{name}");
        // The host learns of each wait that has a name, with its kind.
        let noted = world.host.named_waits.get(&task);
        assert_eq!(noted.map_or_else(String::new, ToString::to_string), words);
        let kind = noted.map(|noted| noted.kind);
        assert_eq!(kind.and_then(|kind| WaitKind::from_number(kind.number())), kind);
    }
    assert_eq!(WaitKind::from_number(u8::MAX), None);
    assert_eq!(WaitKind::Write.words(), "write access to");
}

/// A name is shown as long as the wait lasts. Of several waits of one task, the last one is shown.
#[test]
fn a_name_is_forgotten_with_its_wait() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let [first, second, last] = ["first", "second", "last"].map(|name| Rc::new(Event::named(handle, name)));
    let nameless = Rc::new(Event::new(handle));
    let mut world = World::new(handle);
    let (one, two, three, four) =
        (Rc::clone(&first), Rc::clone(&second), Rc::clone(&last), Rc::clone(&nameless));
    let task = world
        .spawn(async move {
            join(one.wait(), two.wait()).await.0.unwrap();
            select(three.wait(), four.wait()).await;
            four.clear();
            four.wait().await.unwrap();
        })
        .task();
    let name = |world: &World<'_>| {
        let name = world.executor.wait_name(task);
        assert_eq!(world.host.named_waits.get(&task).map(|noted| noted.name), name, "the host knows it too");
        name
    };
    world.turn();
    world.run();
    assert_eq!(name(&world), Some("second"));
    world.spawn(async move { second.set().unwrap() });
    world.run();
    assert_eq!(name(&world), Some("first"));
    world.spawn(async move { first.set().unwrap() });
    world.run();
    assert_eq!(name(&world), Some("last"));
    let again = Rc::clone(&nameless);
    world.spawn(async move { nameless.set().unwrap() });
    world.run();
    assert_eq!(name(&world), None, "the wait for it was dropped");
    world.spawn(async move { again.set().unwrap() });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(name(&world), None);
    drop(last);
}

/// A host without I/O that keeps no names.
struct Idle<'d>(PhantomData<Async<'d>>);

impl<'d> Host for Idle<'d> {
    type Storage = Fixed<1>;
    type Task = Async<'d>;

    no_io!();
}

impl<'d> AsyncHost<'d> for Idle<'d> {}

#[test]
fn a_host_need_not_keep_the_names() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let lock = Lock::named(handle, "lock", 0);
    let mut executor = Box::new(Executor::<Idle<'_>>::new(&Fixed));
    let twice = async {
        let first = lock.lock().await;
        drop((lock.lock().await.ok(), first.ok()));
    };
    let (task, _join_handle) = Async::new(handle, twice);
    assert!(executor.spawn(task).is_ok());
    while executor.kernel.rest() == Rest::Ready {
        executor.turn(Instant::ZERO, &mut Idle(PhantomData));
    }
    assert_eq!(executor.kernel.rest(), Rest::Stalled);
}
