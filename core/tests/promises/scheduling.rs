//! Promises 1 to 4: the state of a task, and the order of tasks.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use sinbin_core::kernel::Storage;
use sinbin_core::{Fixed, Instant, Interest, Kernel, TaskId, Wait, WaitTarget, WakeReason};
use sinbin_testkit::cases::cases;
use sinbin_testkit::kernel_model::heap::{Heap, Limits};
use sinbin_testkit::kernel_model::model::Step;
use sinbin_testkit::kernel_model::ops::{Op, Ops, Plan, op, ops};
use sinbin_testkit::kernel_model::world::{Sight, World};

const SMALL: Limits = Limits { tasks: 5, sources: 3, jobs: 2 };

/// A way to end a wait for a source and a job.
#[derive(Clone, Copy, Debug)]
enum End {
    Ready(u8),
    JobDone,
    JobGone,
    Close,
    Wake,
    Cancel,
    Time,
}

impl End {
    fn told(self) -> Option<WakeReason> {
        Some(match self {
            Self::Ready(0) => return None,
            Self::Ready(bits) if bits & 4 != 0 => WakeReason::Hangup,
            Self::Ready(_) | Self::JobDone => WakeReason::Ready,
            Self::JobGone | Self::Close => WakeReason::Closed,
            Self::Wake => WakeReason::Named,
            Self::Cancel => WakeReason::Cancelled,
            Self::Time => WakeReason::TimedOut,
        })
    }
}

fn ends() -> impl Strategy<Value = Vec<End>> {
    let end = prop_oneof![
        3 => (0..8_u8).prop_map(End::Ready),
        1 => Just(End::JobDone),
        1 => Just(End::JobGone),
        1 => Just(End::Close),
        1 => Just(End::Wake),
        1 => Just(End::Cancel),
        1 => Just(End::Time),
    ];
    vec(end, 1..6)
}

proptest! {
    #![proptest_config(cases(200))]

    /// All operations together: the model agrees after every step, and nothing is left at the end.
    #[test]
    fn the_kernel_does_what_its_model_does(ops in ops(200)) {
        let mut world = World::after(&ops);
        world.end_everything();
        world.fill_up();
    }

    /// Checked without the model: each task that was spawned and has not ended is listed exactly once. The audit checks
    /// that waiting tasks are in no queue and ready tasks in no wait table.
    #[test]
    fn promise_1_a_task_is_in_exactly_one_place(ops in ops(120)) {
        let mut world = World::small();
        let mut alive = BTreeSet::new();
        for op in ops.0.iter().filter(|op| !matches!(op, Op::Park(..))) {
            let next = world.kernel.next();
            let before = world.ever[0].len();
            world.apply(op);
            alive.extend(world.ever[0][before..].iter().copied().map(TaskId::from_bits));
            if let (Op::Run(Plan::Done | Plan::Fail), Some(id)) = (op, next) {
                prop_assert!(alive.remove(&id), "a task that ends was listed");
            }
            prop_assert!(world.kernel.tasks().map(|view| view.id).eq(alive.iter().copied()));
        }
    }

    /// Many events may end a wait together. The first one makes the task ready, and the task has a single turn.
    #[test]
    fn promise_2_a_waiter_is_moved_once(ends in ends(), bystanders in 0..3_usize) {
        let mut kernel = Kernel::new(&Fixed::<4>);
        let mut tasks = vec![kernel.spawn().unwrap()];
        tasks.extend((0..bystanders).map(|_| kernel.spawn().unwrap()));
        let (source, job) = (kernel.open().unwrap(), kernel.begin_job().unwrap());
        let deadline = Instant::from_nanos(7);
        kernel.advance(Instant::ZERO);
        let wait = Wait::recv(source).or(WaitTarget::Send(source)).or(WaitTarget::Hangup(source)).or(WaitTarget::Job(job));
        kernel.park(tasks[0], sinbin_core::Step::Wait(wait.until(deadline)));
        for task in &tasks[1..] {
            kernel.park(*task, sinbin_core::Step::Wait(Wait::wake()));
        }

        for end in &ends {
            match end {
                End::Ready(bits) => kernel.ready(source, Interest::from_bits(*bits)),
                End::JobDone => kernel.job_done(job),
                End::JobGone => drop(kernel.end_job(job)),
                End::Close => drop(kernel.close(source)),
                End::Wake => drop(kernel.wake(tasks[0])),
                End::Cancel => drop(kernel.cancel(tasks[0])),
                End::Time => [deadline; 2].into_iter().for_each(|now| kernel.advance(now)),
            }
            prop_assert_eq!(kernel.audit(), Ok(()));
        }

        kernel.advance(Instant::ZERO);
        match ends.iter().find_map(|end| end.told()) {
            None => prop_assert_eq!(kernel.next(), None),
            Some(wake_reason) => {
                prop_assert_eq!(kernel.next(), Some(tasks[0]));
                prop_assert_eq!(kernel.wake_reason(tasks[0]), Some(wake_reason));
                kernel.park(tasks[0], sinbin_core::Step::Done);
            }
        }
        prop_assert_eq!(kernel.next(), None, "no other task was woken, and none twice");
    }

    /// A task that yields goes behind all ready tasks, including new and woken ones. Every step of every sequence also
    /// checks that no task has two turns while another waits for its first.
    #[test]
    fn promise_3_first_in_first_out(ops in ops(80), rounds in 1..4_usize) {
        let mut world = World::after(&ops);
        world.pass(world.model.now);
        let order = world.turn(&Step::Yield);
        for _ in 0..rounds {
            prop_assert_eq!(&world.turn(&Step::Yield), &order);
        }
    }

    /// Equal inputs lead to equal runs, for any storage.
    #[test]
    fn promise_4_the_same_inputs_give_the_same_run(ops in ops(100)) {
        let first = trace(&Heap::new(SMALL), &ops);
        prop_assert!(first == trace(&Heap::new(SMALL), &ops));
        prop_assert!(first == trace(&Fixed::<5, 3, 2>, &ops));
    }

    /// A task that is spawned, woken or timed out during a turn runs in the next turn, so that every turn ends.
    #[test]
    fn a_turn_is_one_step_of_each_task_that_was_ready(ops in ops(80), during in vec(op(), 0..8)) {
        let mut world = World::after(&ops);
        world.advance(world.model.now);
        let ready = world.kernel.tasks().filter(|view| view.state == sinbin_core::kernel::TaskState::Ready).count();
        let mut during = during.iter().filter(|op| !matches!(op, Op::Advance(_) | Op::AdvanceUnseen(_) | Op::Run(_) | Op::Park(..)));
        let mut steps = 0;
        while world.run(&Step::Yield).is_some() {
            steps += 1;
            during.by_ref().take(2).for_each(|op| world.apply(op));
        }
        prop_assert_eq!(steps, ready);
    }
}

/// Returns the whole observable behaviour of a run.
fn trace<S: Storage>(storage: &S, ops: &Ops) -> (Vec<Sight>, Vec<(sinbin_core::SourceId, Interest)>) {
    let mut world = World::new(storage, SMALL);
    let mut sights = Vec::new();
    for op in &ops.0 {
        world.apply(op);
        sights.push(world.see());
    }
    (sights, world.changes)
}
