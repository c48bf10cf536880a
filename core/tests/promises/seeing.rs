//! Promise 10, from the side of a host that runs the loop of the crate's documentation with an arbitrary clock.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::{
    Fixed, Instant, Interest, Kernel, Rest, SourceId, Step, TaskId, Wait, WaitTarget, WakeReason,
};
use sinbin_testkit::cases::cases;

/// The durations of a host's operations in nanoseconds, and the end of its wait.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// The time before each step of a task.
    step: u64,
    /// The time between a poll and the next turn.
    back: u64,
    /// The end of a wait that may block.
    wait: Ends,
    /// True if the poll leaves out ready sources, so that the next turn counts as one without a poll.
    is_partial: bool,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    /// The wait ends when a source is ready or the deadline has come.
    InTime,
    /// The wait ends this many nanoseconds late, like that of a stopped process.
    Late(u64),
    /// The wait is interrupted by a signal after this many nanoseconds, without an event.
    Interrupted(u64),
}

/// A task that repeatedly waits for bytes until a deadline.
#[derive(Clone, Copy, Debug)]
struct Reader {
    /// The time at which bytes arrive, after the previous ones were received.
    comes: u64,
    /// The time limit of a wait.
    span: u64,
}

fn round() -> impl Strategy<Value = Round> {
    let span = || prop_oneof![3 => Just(0_u64), 3 => 0..8_u64, 1 => 0..200_u64];
    let wait = prop_oneof![
        4 => Just(Ends::InTime),
        2 => (0..300_u64).prop_map(Ends::Late),
        1 => (0..30_u64).prop_map(Ends::Interrupted),
    ];
    let is_partial = prop_oneof![4 => Just(false), 1 => Just(true)];
    (span(), span(), wait, is_partial).prop_map(|(step, back, wait, is_partial)| Round {
        step,
        back,
        wait,
        is_partial,
    })
}

fn reader() -> impl Strategy<Value = Reader> {
    (0..120_u64, 1..120_u64).prop_map(|(comes, span)| Reader { comes, span })
}

/// The host of a run.
struct Host {
    kernel: Kernel<Fixed<8, 8>>,
    clock: u64,
    tasks: Vec<(TaskId, SourceId, Reader)>,
    /// The time at which bytes arrive for each task. `deadlines` holds the deadline of each task.
    bytes_at: Vec<u64>,
    deadlines: Vec<Option<Instant>>,
    /// The beginning of the last complete poll.
    looked: Instant,
    received: usize,
    timed_out: usize,
}

impl Host {
    fn new(readers: &[Reader]) -> Self {
        let mut kernel = Kernel::new(&Fixed);
        let make = |reader: &Reader| (kernel.spawn().unwrap(), kernel.open().unwrap(), *reader);
        let tasks: Vec<_> = readers.iter().map(make).collect();
        Self {
            bytes_at: readers.iter().map(|reader| reader.comes).collect(),
            deadlines: vec![None; tasks.len()],
            kernel,
            clock: 0,
            tasks,
            looked: Instant::ZERO,
            received: 0,
            timed_out: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.clock)
    }

    /// Runs a turn whose steps take time.
    fn turn(&mut self, round: Round) {
        if round.is_partial {
            self.kernel.advance_unpolled(self.now());
        } else {
            self.kernel.advance(self.now());
        }
        while let Some(task) = self.kernel.next() {
            let number = self.tasks.iter().position(|(id, ..)| *id == task).unwrap();
            let wake_reason = self.kernel.wake_reason(task).unwrap();
            self.check(number, wake_reason);
            self.clock += round.step;
            let (_, source, reader) = self.tasks[number];
            if wake_reason == WakeReason::Ready {
                self.received += 1;
                self.bytes_at[number] = self.clock + reader.comes;
            }
            // A time span begins when the task asks for it.
            let deadline = self.now() + Duration::from_nanos(reader.span);
            self.deadlines[number] = Some(deadline);
            self.kernel.park(task, Step::Wait(Wait::recv(source).until(deadline)));
        }
    }

    fn check(&mut self, number: usize, wake_reason: WakeReason) {
        if wake_reason != WakeReason::TimedOut {
            return;
        }
        self.timed_out += 1;
        let deadline = self.deadlines[number].expect("it waited");
        assert!(deadline <= self.now(), "a deadline that has not come");
        assert!(deadline <= self.looked, "the last look began before the deadline");
        let bytes = Instant::from_nanos(self.bytes_at[number]);
        assert!(bytes >= deadline, "bytes came at {bytes:?}, before the deadline at {deadline:?}");
    }

    /// Polls the sources and reports those that are ready.
    fn look(&mut self, round: Round) {
        let began = self.now();
        while self.kernel.next_change().is_some() {}
        for (number, (_, source, _)) in self.tasks.clone().into_iter().enumerate() {
            let is_left_out = round.is_partial && number % 2 == 0;
            if self.bytes_at[number] <= self.clock && !is_left_out {
                self.kernel.ready(source, Interest::RECV);
            }
        }
        if !round.is_partial {
            self.looked = began;
        }
        self.clock += round.back;
    }

    fn wait(&mut self, round: Round) {
        match self.kernel.rest() {
            Rest::Ready => {}
            Rest::Until(at) => {
                let end = self.bytes_at.iter().copied().chain([at.as_nanos()]).min().unwrap();
                let end = end.max(self.clock);
                match round.wait {
                    Ends::InTime => self.clock = end,
                    Ends::Late(late) => self.clock = end + late,
                    Ends::Interrupted(after) => {
                        // The interrupted wait polled before it blocked, and not again after that.
                        self.look(round);
                        self.clock = end.min(self.clock + after);
                        return;
                    }
                }
            }
            rest => panic!("all tasks wait, but the host is to rest {rest:?}"),
        }
        self.look(round);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// For any durations of steps, polls and waits, and any end of a wait: no task times out while bytes had arrived
    /// before its deadline. Every wait ends.
    #[test]
    fn promise_10_what_came_before_a_deadline_is_seen_before_it(
        readers in vec(reader(), 1..6),
        rounds in vec(round(), 1..120),
    ) {
        let mut host = Host::new(&readers);
        for round in rounds.iter().copied() {
            host.turn(round);
            prop_assert_eq!(host.kernel.audit(), Ok(()));
            host.wait(round);
        }
        // From here on no operation is late, so every wait must end after a few rounds, and the host must not spin.
        let calm = Round { step: 0, back: 0, wait: Ends::InTime, is_partial: false };
        let ended = |host: &Host| host.received + host.timed_out;
        for _ in 0..10 {
            let before = ended(&host);
            for _ in 0..6 {
                host.turn(calm);
                host.wait(calm);
            }
            prop_assert!(ended(&host) > before, "six rounds of the loop end no wait");
        }
    }

    /// Without a complete poll, a host ends no wait by its deadline, but still ends waits for ready sources.
    #[test]
    fn promise_10_without_a_look_no_deadline_is_over(span in 1..100_u64, turns in 1..20_u64) {
        let mut kernel = Kernel::new(&Fixed::<2, 1>);
        let (task, other) = (kernel.spawn().unwrap(), kernel.spawn().unwrap());
        let source = kernel.open().unwrap();
        kernel.advance(Instant::ZERO);
        kernel.park(task, Step::Wait(Wait::time(Instant::from_nanos(span))));
        kernel.park(other, Step::Wait(Wait::on(WaitTarget::Recv(source)).until(Instant::from_nanos(span))));
        for turn in 1..=turns {
            kernel.advance_unpolled(Instant::from_nanos(span * turn));
            prop_assert_eq!((kernel.next(), kernel.rest()), (None, Rest::Ready));
        }
        kernel.ready(source, Interest::RECV);
        kernel.advance_unpolled(Instant::from_nanos(span * turns));
        prop_assert_eq!(kernel.next(), Some(other));
        prop_assert_eq!(kernel.wake_reason(other), Some(WakeReason::Ready));
    }
}
