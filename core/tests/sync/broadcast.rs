use std::cell::Cell;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sinbin_core::Rest;
use sinbin_core::sync::{Broadcast, BroadcastReceiver, RecvError, SendError};
use sinbin_core::task::{Error, Handle, NoWakers, RunContext, WaitError, select};
use sinbin_testkit::cases::cases;
use sinbin_testkit::memory_host::{Log, World, yields};

#[test]
fn every_receiver_gets_every_message_that_was_sent_after_it_came() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let broadcast = Broadcast::<_, 4>::new(handle);
    let mut world = World::new(handle);
    for late in [0, 3] {
        let (broadcast, log) = (&broadcast, &log);
        world.spawn(async move {
            yields(handle, late).await;
            let mut receiver = broadcast.receiver();
            while let Ok(message) = receiver.recv().await {
                log.add((late, message));
            }
        });
    }
    world.spawn(async {
        for n in 1..=4 {
            handle.yield_now().await;
            broadcast.send(n).unwrap();
        }
        broadcast.close().unwrap();
        assert!(broadcast.is_closed());
        assert_eq!(broadcast.send(5), Err(SendError::Closed(5)));
    });
    assert_eq!(world.run(), Rest::Empty);
    let (late, early): (Vec<_>, Vec<_>) = log.take().into_iter().partition(|(late, _)| *late > 0);
    assert_eq!(early, [(0, 1), (0, 2), (0, 3), (0, 4)]);
    assert_eq!(late, [(3, 3), (3, 4)]);
}

#[test]
fn whoever_is_slow_is_told_how_much_it_missed() {
    let (run_context, log) = (RunContext::new(&NoWakers), Log::new());
    let handle = Handle::new(&run_context);
    let broadcast = Broadcast::<_, 3>::new(handle);
    let mut world = World::new(handle);
    world.spawn(async {
        let mut receiver = broadcast.receiver();
        assert_eq!((receiver.try_recv(), broadcast.capacity()), (Ok(None), 3));
        for n in 0..5 {
            broadcast.send(n).unwrap();
        }
        assert_eq!(format!("{receiver:?}"), "BroadcastReceiver { len: 5, .. }");
        let mut same = receiver.clone();
        assert_eq!(same.try_recv(), Err(RecvError::Lagged(2)));
        assert_eq!(same.try_recv(), Ok(Some(2)));
        for _ in 0..4 {
            log.add(receiver.recv().await);
        }
        assert!(receiver.is_empty());
        receiver.broadcast().close().unwrap();
        assert_eq!(receiver.try_recv(), Err(RecvError::Closed));
        assert_eq!(receiver.recv().await, Err(RecvError::Closed));
        assert_eq!(format!("{broadcast:?}"), "Broadcast { sent: 5, capacity: 3, closed: true, .. }");
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(log.take(), [Err(RecvError::Lagged(2)), Ok(2), Ok(3), Ok(4)]);
    let error = Error::from(RecvError::Lagged(2));
    assert_eq!((error, error.to_string()), (Error::Lagged(2), RecvError::Lagged(2).to_string()));
    assert_eq!(error.to_string(), "the receiver was too slow and missed 2 messages");
}

#[test]
fn no_more_messages_are_kept_than_there_is_room_for() {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let message = Rc::new(());
    let mut world = World::new(handle);
    world.spawn(async {
        let broadcast = Broadcast::<_, 2>::new(handle);
        for _ in 0..5 {
            broadcast.send(Rc::clone(&message)).unwrap();
            assert!(Rc::strong_count(&message) <= 3);
        }
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(Rc::strong_count(&message), 1, "what is in a channel is dropped with it");
}

/// A message whose drop sends another.
struct Meddles<'a, 'd>(&'a Broadcast<'d, Option<Rc<Meddles<'a, 'd>>>, 1>, &'a Log<&'static str>);

impl Drop for Meddles<'_, '_> {
    fn drop(&mut self) {
        self.1.add(if self.0.send(None).is_ok() { "sent" } else { "refused" });
    }
}

#[test]
fn a_message_that_is_dropped_may_send() {
    let (run_context, log) = (RunContext::new(&NoWakers), &Log::new());
    let handle = Handle::new(&run_context);
    let broadcast = std::mem::ManuallyDrop::new(Broadcast::new(handle));
    let broadcast = &broadcast;
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut receiver = broadcast.receiver();
        broadcast.send(Some(Rc::new(Meddles(broadcast, log)))).ok().unwrap();
        broadcast.send(None).ok().unwrap();
        assert_eq!((log.take(), receiver.len()), (vec!["sent"], 3));
        assert!(matches!(receiver.recv().await, Err(RecvError::Lagged(2))));
        assert!(matches!(receiver.recv().await, Ok(None)));
    });
    assert_eq!(world.run(), Rest::Empty);
}

/// A message whose clone sends another.
struct Breeds<'a, 'd>(Option<&'a Broadcast<'d, Breeds<'a, 'd>, 2>>, &'a Cell<u32>);

impl Clone for Breeds<'_, '_> {
    fn clone(&self) -> Self {
        if let Some(broadcast) = self.0 {
            let Err(SendError::Wait(WaitError::Busy, _)) = broadcast.send(Breeds(None, self.1)) else {
                panic!("it is refused");
            };
            self.1.set(self.1.get() + 1);
        }
        Self(None, self.1)
    }
}

#[test]
fn a_message_that_is_cloned_must_not_send() {
    let (run_context, count) = (RunContext::new(&NoWakers), &Cell::new(0));
    let handle = Handle::new(&run_context);
    let broadcast = std::mem::ManuallyDrop::new(Broadcast::new(handle));
    let broadcast = &broadcast;
    let mut world = World::new(handle);
    world.spawn(async move {
        let mut receiver = broadcast.receiver();
        assert!(broadcast.send(Breeds(Some(broadcast), count)).is_ok());
        assert!(receiver.recv().await.is_ok());
    });
    assert_eq!(world.run(), Rest::Empty);
    assert_eq!(count.get(), 1);
}

#[test]
fn outside_a_task_nothing_is_sent() {
    let run_context = RunContext::new(&NoWakers);
    let broadcast = Broadcast::<_, 1>::new(Handle::new(&run_context));
    assert_eq!(broadcast.send(1), Err(SendError::Wait(WaitError::Elsewhere, 1)));
    assert_eq!(broadcast.close(), Err(WaitError::Elsewhere));
    let mut receiver = broadcast.receiver();
    assert_eq!(receiver.try_recv(), Err(RecvError::Wait(WaitError::Elsewhere)));
    assert!(receiver.is_empty() && !broadcast.is_closed());
}

const ROOM: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Yield(usize),
    Send(usize),
    Recv,
    TryRecv,
    /// A receiver of the messages from now on, instead of the one it has.
    Anew,
    Close,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => (0..4_usize).prop_map(Deed::Yield),
        3 => (1..5_usize).prop_map(Deed::Send),
        8 => Just(Deed::Recv),
        2 => Just(Deed::TryRecv),
        1 => Just(Deed::Anew),
        1 => Just(Deed::Close),
    ]
}

/// A receiver, and the number of the message that is its next.
struct Receiver<'a, 'd> {
    receiver: BroadcastReceiver<'a, 'd, u64, ROOM>,
    next: &'a Cell<u64>,
    sent: &'a Cell<u64>,
}

impl Receiver<'_, '_> {
    fn got(&self, result: Result<u64, RecvError>) {
        let next = self.next.get();
        match result {
            Ok(message) => {
                assert_eq!(message, next, "each in its turn");
                self.next.set(next + 1);
            }
            Err(RecvError::Lagged(missed)) => {
                assert_eq!(next + missed + ROOM as u64, self.sent.get(), "no more than it had to miss");
                self.next.set(next + missed);
            }
            Err(RecvError::Closed) => {
                assert!(next == self.sent.get() && self.receiver.broadcast().is_closed());
            }
            Err(error) => assert_eq!(error, RecvError::Wait(WaitError::Cancelled)),
        }
        assert_eq!(self.receiver.len(), self.sent.get() - self.next.get());
    }
}

/// Each message is the number of those before it.
fn try_programs(programs: &[Vec<(Deed, Option<usize>)>], cancels: &[(usize, usize)]) {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let (broadcast, sent) = (&Broadcast::<u64, ROOM>::new(handle), &Cell::new(0));
    let nexts: Vec<_> = programs.iter().map(|_| (Cell::new(0), Cell::new(false))).collect();
    let mut world = World::new(handle);
    let mut tasks = Vec::new();
    for (program, (next, waits)) in programs.iter().zip(&nexts) {
        tasks.push(world.spawn(async move {
            let mut receiver = Receiver { receiver: broadcast.receiver(), next, sent };
            next.set(sent.get());
            for (deed, patience) in program {
                let act = async {
                    match deed {
                        Deed::Yield(turns) => yields(handle, *turns).await,
                        Deed::Send(times) => {
                            for _ in 0..*times {
                                let result = broadcast.send(sent.get());
                                assert_eq!(result.is_err(), broadcast.is_closed());
                                sent.set(sent.get() + u64::from(result.is_ok()));
                            }
                        }
                        Deed::Recv => {
                            waits.set(true);
                            let result = receiver.receiver.recv().await;
                            waits.set(false);
                            receiver.got(result);
                        }
                        Deed::TryRecv => match receiver.receiver.try_recv() {
                            Ok(None) => assert!(next.get() == sent.get() && !broadcast.is_closed()),
                            Ok(Some(message)) => receiver.got(Ok(message)),
                            Err(error) => receiver.got(Err(error)),
                        },
                        Deed::Anew => {
                            receiver.receiver = broadcast.receiver();
                            next.set(sent.get());
                        }
                        Deed::Close => broadcast.close().unwrap(),
                    }
                };
                match patience {
                    None => act.await,
                    Some(turns) => drop(select(yields(handle, *turns), act).await),
                }
                waits.set(false);
            }
        }));
    }
    for turn in 0..60 {
        for (_, who) in cancels.iter().filter(|(when, _)| *when == turn) {
            tasks.get(*who).map(|task| world.cancel(task.task()));
        }
        world.turn();
    }
    for (task, (next, waits)) in tasks.iter().zip(&nexts) {
        assert!(
            task.is_over() || !waits.get() || (next.get() == sent.get() && !broadcast.is_closed()),
            "who waits has got all"
        );
        world.cancel(task.task());
    }
    assert_eq!(world.run(), Rest::Empty);
}

proptest! {
    #![proptest_config(cases(if cfg!(miri) { 4 } else { 400 }))]

    #[test]
    fn each_message_is_received_in_its_turn_or_counted_as_missed(
        programs in vec(vec((deed(), option::of(0..5_usize)), 0..8), 1..6),
        cancels in vec((0..20_usize, 0..6_usize), 0..4),
    ) {
        try_programs(&programs, &cancels);
    }
}
