//! Promise 9: the cost of an event does not depend on the number of waiting tasks. The cost is measured as the number
//! of table accesses and not as time, which depends on the machine. A linear search in a single access would escape
//! this measure. Such a search would be a loop over `items()`, and the kernel has none.

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::{Instant, Interest, JobId, Kernel, SourceId, Step, TaskId, Wait, WaitTarget};
use sinbin_testkit::cases::cases;
use sinbin_testkit::kernel_model::heap::{Heap, Limits};

/// The wait of another task.
#[derive(Clone, Copy, Debug)]
enum Other {
    Recv,
    Send,
    Job,
    Named,
    Time(u64),
}

/// A kernel that counts table accesses, with a probe among many other tasks.
struct Crowd {
    heap: Heap,
    kernel: Kernel<Heap>,
    probe: TaskId,
    source: SourceId,
}

impl Crowd {
    /// Creates a kernel in which all tasks wait except the probe, which runs next.
    fn new(others: &[Other]) -> Self {
        let limit = others.len() + 2;
        let heap = Heap::new(Limits { tasks: limit, sources: limit, jobs: limit });
        let mut kernel = Kernel::new(&heap);
        for other in others {
            let task = kernel.spawn().unwrap();
            kernel.advance(Instant::ZERO);
            let wait = match other {
                Other::Recv => Wait::recv(kernel.open().unwrap()),
                Other::Send => Wait::send(kernel.open().unwrap()),
                Other::Job => Wait::job(kernel.begin_job().unwrap()),
                Other::Named => Wait::wake(),
                Other::Time(at) => Wait::time(Instant::from_nanos(*at)),
            };
            kernel.park(task, Step::Wait(wait));
        }
        while kernel.next_change().is_some() {}
        let (probe, source) = (kernel.spawn().unwrap(), kernel.open().unwrap());
        kernel.advance(Instant::ZERO);
        Self { heap, kernel, probe, source }
    }

    /// Returns the number of table accesses of `act`.
    fn cost<T>(&mut self, act: impl FnOnce(&mut Kernel<Heap>) -> T) -> u64 {
        let before = self.heap.count.get();
        act(&mut self.kernel);
        self.heap.count.get() - before
    }

    fn park(&mut self, step: Step) -> u64 {
        let probe = self.probe;
        self.cost(|kernel| kernel.park(probe, step))
    }

    fn next(&mut self) -> u64 {
        let probe = self.probe;
        self.kernel.advance(Instant::ZERO);
        self.cost(|kernel| assert_eq!(kernel.next(), Some(probe)))
    }
}

fn others() -> impl Strategy<Value = Vec<Other>> {
    let other = prop_oneof![
        Just(Other::Recv),
        Just(Other::Send),
        Just(Other::Job),
        Just(Other::Named),
        (1..1000_u64).prop_map(Other::Time),
    ];
    vec(other, 1..2000)
}

/// The ids that the probe's wait consists of.
#[derive(Clone, Copy)]
struct Probe {
    task: TaskId,
    source: SourceId,
    job: JobId,
}

/// All ways to end a wait except its deadline.
const ENDS: [fn(&mut Kernel<Heap>, Probe) -> bool; 7] = [
    |kernel, probe| {
        kernel.ready(probe.source, Interest::RECV);
        true
    },
    |kernel, probe| {
        kernel.ready(probe.source, Interest::HANGUP);
        true
    },
    |kernel, probe| kernel.wake(probe.task),
    |kernel, probe| kernel.cancel(probe.task),
    |kernel, probe| kernel.end_job(probe.job),
    |kernel, probe| {
        kernel.job_done(probe.job);
        true
    },
    |kernel, probe| kernel.close(probe.source),
];

/// Returns the cost of each operation that moves a task and no timer.
fn costs_without_timers(crowd: &mut Crowd) -> Vec<u64> {
    let mut costs = vec![crowd.park(Step::Yield)];
    for end in ENDS {
        let job = crowd.kernel.begin_job().unwrap();
        let probe = Probe { task: crowd.probe, source: crowd.source, job };
        let wait = Wait::recv(probe.source).or(WaitTarget::Send(probe.source)).or(WaitTarget::Job(job));
        costs.push(crowd.next());
        costs.push(crowd.park(Step::Wait(wait)));
        costs.push(crowd.cost(Kernel::next_change));
        costs.push(crowd.cost(|kernel| assert!(end(kernel, probe))));
        costs.push(crowd.cost(|kernel| kernel.end_job(job)));
    }
    costs.push(crowd.next());
    costs.push(crowd.park(Step::Done));
    costs.push(crowd.cost(Kernel::spawn));
    costs.push(crowd.cost(Kernel::open));
    costs
}

/// Returns a bound for the accesses of one operation that moves a timer through a heap of `count` timers, down and up.
fn steps(count: usize) -> u64 {
    16 + 2 * u64::from((count + 1).ilog2() + 1)
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn promise_9_what_moves_no_timer_costs_the_same_however_many_wait(others in others()) {
        let alone = costs_without_timers(&mut Crowd::new(&[]));
        let crowded = costs_without_timers(&mut Crowd::new(&others));
        prop_assert_eq!(crowded, alone);
    }

    #[test]
    fn promise_9_a_timer_costs_a_logarithm_at_most(others in others(), at in 1..1000_u64) {
        let mut crowd = Crowd::new(&others);
        let probe = crowd.probe;
        let limit = steps(others.len());
        let at = Instant::from_nanos(at);
        let parked = crowd.park(Step::Wait(Wait::time(at)));
        prop_assert!(parked <= limit, "{} of {}", parked, limit);

        let wake_reason = crowd.cost(|kernel| kernel.wake(probe));
        prop_assert!(wake_reason <= limit, "{} of {}", wake_reason, limit);

        // All waits that are due by then end together, each within the cost of one operation.
        let due = others.iter().filter(|other| matches!(other, Other::Time(due) if *due <= at.as_nanos()));
        let due = due.count() as u64 + 1;
        let advanced = crowd.cost(|kernel| {
            kernel.advance(at);
            kernel.advance(at);
        });
        prop_assert!(advanced <= due * limit, "{} of {}", advanced, due * limit);
    }

    /// Deadlines that move later are the common case, such as an idle timeout at each request. The timer stays in its
    /// position.
    #[test]
    fn promise_9_a_deadline_that_moves_later_moves_no_timer(others in others(), times in 1..20_u64) {
        let costs = |others: &[Other]| {
            let mut crowd = Crowd::new(others);
            let probe = crowd.probe;
            crowd.park(Step::Wait(Wait::time(Instant::from_nanos(1))));
            let again = |time| {
                crowd.kernel.wake(probe);
                crowd.kernel.advance(Instant::ZERO);
                crowd.park(Step::Wait(Wait::time(Instant::from_nanos(1 + time))))
            };
            (0..times).map(again).collect::<Vec<_>>()
        };
        prop_assert_eq!(costs(&others), costs(&[]));
    }

    /// Timers left behind by waits that ended early are removed at the cost of these waits: a whole run costs at most
    /// as much as its events.
    #[test]
    fn promise_9_what_is_left_behind_is_paid_for(waits in vec((0..200_usize, 1..100_u64), 1..800)) {
        let count = 200;
        let limits = Limits { tasks: count, sources: 0, jobs: 0 };
        let heap = Heap::new(limits);
        let mut kernel = Kernel::new(&heap);
        let tasks: Vec<_> = (0..count).map(|_| kernel.spawn().unwrap()).collect();
        kernel.advance(Instant::ZERO);
        tasks.iter().for_each(|task| kernel.park(*task, Step::Wait(Wait::wake())));
        let before = heap.count.get();
        let mut clock = 0;
        for (number, (task, span)) in waits.iter().enumerate() {
            kernel.wake(tasks[*task]);
            kernel.advance(Instant::from_nanos(clock));
            while let Some(next) = kernel.next() {
                let wait = Wait::wake();
                let soon = Instant::from_nanos(clock + span);
                kernel.park(next, Step::Wait(if next == tasks[*task] { wait.until(soon) } else { wait }));
            }
            clock += number as u64 % 3;
        }
        kernel.advance(Instant::from_nanos(clock + 100));
        let cost = heap.count.get() - before;
        let limit = waits.len() as u64 * 4 * steps(count);
        prop_assert!(cost <= limit, "{} of {}", cost, limit);
    }
}
