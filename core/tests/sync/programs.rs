use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sinbin_core::sync::order::{Order, OrderError, Ordered, acquire};
use sinbin_core::sync::{Barrier, Channel, Condition, Event, Lock, RecvError, Semaphore, SendError};
use sinbin_core::task::{Handle, NoWakers, RunContext, select};
use sinbin_core::{Instant, Rest, TaskId};
use sinbin_testkit::cases::cases;
use sinbin_testkit::memory_host::{World, yields};

use crate::oracle::{Oracle, PARTY, PERMITS, ROOM, Value, Who};

/// An operation of a task. The number of turns is the time for which the task keeps what it acquires.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Yield(usize),
    Sleep(u64),
    Lock(usize, usize),
    /// Acquires this lock, and then the other one as well.
    Nested(usize, usize),
    Acquire(u32, usize),
    TryAcquire(u32, usize),
    Send,
    TrySend,
    Recv,
    TryRecv,
    Close,
    Arrive,
    Set,
    Clear,
    Hope,
    Listen,
    Notify,
    NotifyAll,
}

/// An operation, and the number of turns after which the task gives it up.
#[derive(Clone, Copy, Debug)]
struct Op {
    deed: Deed,
    patience: Option<usize>,
}

/// A program for each task, and cancellations: before which turn, and of which task.
#[derive(Clone, Debug)]
struct Plan {
    tasks: Vec<Vec<Op>>,
    cancels: Vec<(usize, Who)>,
}

fn deed() -> impl Strategy<Value = Deed> {
    let held = 0..4_usize;
    prop_oneof![
        2 => held.clone().prop_map(Deed::Yield),
        1 => (0..3_u64).prop_map(Deed::Sleep),
        4 => (0..2_usize, held.clone()).prop_map(|(at, held)| Deed::Lock(at, held)),
        1 => (0..2_usize, held.clone()).prop_map(|(at, held)| Deed::Nested(at, held)),
        4 => (0..=PERMITS, held.clone()).prop_map(|(count, held)| Deed::Acquire(count, held)),
        1 => (0..=PERMITS, held).prop_map(|(count, held)| Deed::TryAcquire(count, held)),
        4 => Just(Deed::Send),
        1 => Just(Deed::TrySend),
        4 => Just(Deed::Recv),
        1 => Just(Deed::TryRecv),
        1 => Just(Deed::Close),
        3 => Just(Deed::Arrive),
        1 => Just(Deed::Set),
        1 => Just(Deed::Clear),
        2 => Just(Deed::Hope),
        3 => Just(Deed::Listen),
        3 => Just(Deed::Notify),
        1 => Just(Deed::NotifyAll),
    ]
}

fn plan(patience: impl Strategy<Value = Option<usize>>) -> impl Strategy<Value = Plan> {
    let op = (deed(), patience).prop_map(|(deed, patience)| Op { deed, patience });
    let tasks = vec(vec(op, 0..8), 1..7);
    let cancels = vec((0..30_usize, 0..7_usize), 0..5);
    (tasks, cancels).prop_map(|(tasks, cancels)| Plan { tasks, cancels })
}

/// The primitives that the tasks share.
struct Things<'d> {
    handle: Handle<'d>,
    locks: [Lock<'d, u32>; 2],
    semaphore: Semaphore<'d>,
    channel: Channel<'d, Value, ROOM>,
    barrier: Barrier<'d>,
    event: Event<'d>,
    condition: Condition<'d>,
    oracle: Oracle,
}

impl<'d> Things<'d> {
    fn new(handle: Handle<'d>) -> Self {
        Self {
            handle,
            locks: [Lock::new(handle, 0), Lock::new(handle, 0)],
            semaphore: Semaphore::new(handle, PERMITS),
            channel: Channel::new(handle),
            barrier: Barrier::new(handle, u32::try_from(PARTY).unwrap()),
            event: Event::new(handle),
            condition: Condition::new(handle),
            oracle: Oracle::default(),
        }
    }

    /// Runs a program to its end, regardless of refusals. A cancelled task continues and is refused at every wait.
    async fn run(&self, who: Who, program: &[Op]) {
        for op in program {
            let Some(turns) = op.patience else {
                self.act(who, op.deed).await;
                continue;
            };
            self.oracle.excuse(who);
            select(yields(self.handle, turns), self.act(who, op.deed)).await;
        }
    }

    async fn act(&self, who: Who, deed: Deed) {
        match deed {
            Deed::Yield(turns) => yields(self.handle, turns).await,
            Deed::Sleep(millis) => self.handle.sleep(Duration::from_millis(millis)).await,
            Deed::Lock(at, turns) => self.lock(who, at, yields(self.handle, turns)).await,
            Deed::Nested(at, turns) => {
                self.lock(who, at, self.lock(who, 1 - at, yields(self.handle, turns))).await;
            }
            Deed::Acquire(..) | Deed::TryAcquire(..) => self.acquire(who, deed).await,
            Deed::Send | Deed::TrySend => self.send(who, deed).await,
            Deed::Recv | Deed::TryRecv => self.recv(who, deed).await,
            Deed::Close => {
                self.oracle.closes();
                self.channel.close().unwrap();
            }
            Deed::Arrive => self.arrive().await,
            Deed::Set => {
                self.oracle.sets(true);
                self.event.set().unwrap();
            }
            Deed::Clear => {
                self.oracle.sets(false);
                self.event.clear();
            }
            Deed::Hope => self.hope().await,
            Deed::Listen => self.listen(who).await,
            Deed::Notify => {
                self.oracle.notifies(false);
                self.condition.notify_one().unwrap();
            }
            Deed::NotifyAll => {
                self.oracle.notifies(true);
                self.condition.notify_all().unwrap();
            }
        }
    }

    async fn lock(&self, who: Who, at: usize, then: impl Future<Output = ()>) {
        let Ok(mut count) =
            self.oracle.locks[at].stand((who, 1), &self.oracle.nobody, self.locks[at].lock()).await
        else {
            return;
        };
        let _has = self.oracle.has_lock(at, who);
        *count += 1;
        let before = *count;
        then.await;
        assert_eq!(*count, before);
    }

    async fn acquire(&self, who: Who, deed: Deed) {
        let (permit, turns) = match deed {
            Deed::TryAcquire(count, turns) => (self.semaphore.try_acquire(count).unwrap(), turns),
            Deed::Acquire(count, turns) => {
                let acquired = self
                    .oracle
                    .permits
                    .stand((who, count), &self.oracle.excused, self.semaphore.acquire(count))
                    .await;
                (acquired.ok(), turns)
            }
            _ => unreachable!(),
        };
        let Some(permit) = permit else { return };
        let _has = self.oracle.has_permits(permit.count());
        yields(self.handle, turns).await;
    }

    async fn send(&self, who: Who, deed: Deed) {
        let value = self.oracle.value();
        let number = value.0;
        let sent = match deed {
            Deed::TrySend => self.channel.try_send(value),
            _ => self.oracle.senders.stand((who, 1), &self.oracle.excused, self.channel.send(value)).await,
        };
        match sent {
            Ok(()) => self.oracle.sent(number),
            Err(error) => {
                assert_eq!(matches!(error, SendError::Closed(_)), self.oracle.is_closed(), "{error}");
                assert_eq!(error.into_value().0, number);
            }
        }
    }

    async fn recv(&self, who: Who, deed: Deed) {
        let received = match deed {
            Deed::TryRecv => self.channel.try_recv(),
            _ => self
                .oracle
                .receivers
                .stand((who, 1), &self.oracle.excused, self.channel.recv())
                .await
                .map(Some),
        };
        match received {
            Ok(Some(value)) => self.oracle.received(&value),
            Ok(None) => {}
            Err(RecvError::Closed) => assert!(self.oracle.is_over()),
            Err(_) => assert!(!self.oracle.is_over() || self.channel.is_closed()),
        }
    }

    async fn arrive(&self) {
        let (number, _arrival) = self.oracle.arrives();
        if let Ok(is_leader) = self.barrier.wait().await {
            self.oracle.passes(number, is_leader);
        }
    }

    async fn hope(&self) {
        let (may_go_on, _hope) = self.oracle.hopes();
        if self.event.wait().await.is_ok() {
            assert!(may_go_on(), "it was set");
        }
    }

    async fn listen(&self, who: Who) {
        let Ok(guard) = self.oracle.locks[0].stand((who, 1), &self.oracle.nobody, self.locks[0].lock()).await
        else {
            return;
        };
        let listens = self.oracle.listens();
        if let Ok(_guard) = self.condition.wait(guard).await {
            let _has = self.oracle.has_lock(0, who);
            self.oracle.hears();
            drop(listens);
        }
    }

    fn check_that_all_is_given_back(&self) {
        assert_eq!(self.channel.len(), self.oracle.all_ended());
        assert_eq!(self.semaphore.available(), PERMITS);
        assert!(self.locks.iter().all(|lock| lock.holder().is_none()));
        assert_eq!(self.barrier.waiting(), 0);
    }
}

fn try_plan(plan: &Plan) {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let things = Things::new(handle);
    let mut world = World::new(handle);
    let spawn = |(who, program)| world.spawn(things.run(who, program)).task();
    let tasks: Vec<TaskId> = plan.tasks.iter().map(Vec::as_slice).enumerate().map(spawn).collect();
    let mut turn = 0;
    while turns_left(&mut world, turn, plan) {
        for (_, who) in plan.cancels.iter().filter(|(when, _)| *when == turn) {
            if let Some(task) = tasks.get(*who) {
                things.oracle.excuse(*who);
                world.cancel(*task);
            }
        }
        world.turn();
        turn += 1;
    }
    things.oracle.all_rest();
    while world.executor.kernel.count() > 0 {
        for (who, task) in tasks.iter().enumerate() {
            things.oracle.excuse(who);
            world.cancel(*task);
        }
        world.run();
    }
    drop(world);
    things.check_that_all_is_given_back();
}

/// Returns true if a task can still run. Advances the clock to the next deadline if necessary.
fn turns_left(world: &mut World<'_>, turn: usize, plan: &Plan) -> bool {
    match world.executor.kernel.rest() {
        Rest::Ready => true,
        Rest::Until(deadline) => {
            assert!(deadline < Instant::NEVER, "no task waits for the outside");
            world.now = deadline;
            true
        }
        Rest::Stalled | Rest::Empty => plan.cancels.iter().any(|(when, _)| *when >= turn),
    }
}

/// Returns the number of cases. Miri takes a thousand times as long.
const fn many(cases: u32) -> u32 {
    if cfg!(miri) { 6 } else { cases }
}

proptest! {
    #![proptest_config(cases(many(1000)))]

    /// Without timeouts, waiters are served in order.
    #[test]
    fn the_patient_are_served_in_turn(plan in plan(Just(None))) {
        try_plan(&plan);
    }

    /// Futures are dropped at any point.
    #[test]
    fn the_impatient_leave_nothing_behind(plan in plan(option::of(0..5_usize))) {
        try_plan(&plan);
    }

    /// Locks of an order never stall, for any nesting.
    #[test]
    fn locks_in_order_never_stall(tasks in vec(vec(vec(0..4_usize, 1..4), 1..5), 1..6)) {
        try_orders(&tasks);
    }
}

/// Each task acquires groups of locks one after another, and keeps them until it has all or is refused one.
fn try_orders(tasks: &[Vec<Vec<usize>>]) {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let order = Order::<64>::new(handle);
    let locks: [_; 4] = std::array::from_fn(|_| order.lock("lock", ()));
    let mut world = World::new(handle);
    for groups in tasks {
        let locks = &locks;
        world.spawn(async move {
            for _ in 0..3 {
                let mut held = Vec::new();
                for group in groups {
                    match take(locks, group).await {
                        Ok(more) => held.push(more),
                        Err(OrderError::OutOfOrder(_)) => break,
                        Err(error) => panic!("{error}"),
                    }
                    handle.yield_now().await;
                }
            }
        });
    }
    assert_eq!(world.run(), Rest::Empty);
    assert!(locks.iter().all(|lock| lock.holder().is_none()));
    assert_eq!(format!("{order:?}"), "[]");
}

type OrderedGuard<'a, 'd> = Vec<sinbin_core::sync::order::OrderedGuard<'a, 'd, ()>>;

async fn take<'a, 'd>(
    locks: &'a [Ordered<'_, 'd, ()>; 4],
    group: &[usize],
) -> Result<OrderedGuard<'a, 'd>, OrderError> {
    Ok(match *group {
        [a] => vec![acquire(&locks[a]).await?],
        [a, b] => {
            let (a, b) = acquire((&locks[a], &locks[b])).await?;
            vec![a, b]
        }
        [a, b, c] => acquire([&locks[a], &locks[b], &locks[c]]).await?.into(),
        _ => unreachable!(),
    })
}
