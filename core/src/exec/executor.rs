//! The kernel together with the tasks that it schedules: the inner half of every host's loop.

use core::pin::Pin;

use crate::exec::buffers::Buffers;
use crate::exec::context::{Cx, Spawned, Task};
use crate::exec::host::Host;
use crate::exec::label::Label;
use crate::kernel::Kernel;
use crate::kernel::error::{Failure, Full};
use crate::kernel::id::TaskId;
use crate::kernel::instant::Instant;
use crate::kernel::step::Step;
use crate::kernel::storage::{Slots, Storage};

/// A table of tasks in the storage of the host `H`.
type Tasks<H> = <<H as Host>::Storage as Storage>::Tasks<Option<<H as Host>::Task>>;

/// The kernel, tasks and buffers of one loop.
///
/// A host repeats three calls: [`turn`](Self::turn), then [`Kernel::rest`] to find out what to wait for, and then
/// [`Kernel::ready`] and [`Kernel::job_done`] for each event that it finds.
///
/// ```
/// # use sinbin_core::{Executor, Fixed, Instant, Rest};
/// # use core::pin::Pin;
/// # use sinbin_core::{Cx, Host, IoError, SourceId, Step, Task};
/// #
/// # struct Idle;
/// #
/// # impl Host for Idle {
/// #     type Storage = Fixed<4>;
/// #     type Task = Countdown;
/// #
/// #     fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
/// #         Err(IoError::Unsupported)
/// #     }
/// #     fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
/// #         Err(IoError::Unsupported)
/// #     }
/// #     fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
/// #         Err(IoError::Unsupported)
/// #     }
/// #     fn close(&mut self, _: SourceId) {}
/// #     fn serve(&mut self, _: SourceId, _: SourceId) -> Countdown {
/// #         Countdown(0)
/// #     }
/// # }
/// #
/// # struct Countdown(u32);
/// #
/// # impl Task<Idle> for Countdown {
/// #     fn resume(mut self: Pin<&mut Self>, _: &mut Cx<'_, Idle>) -> Step {
/// #         self.0 = self.0.saturating_sub(1);
/// #         if self.0 == 0 { Step::Done } else { Step::Yield }
/// #     }
/// # }
///
/// // `Idle` is a host without I/O. Its tasks count down, one number a step.
/// let (mut executor, mut host) = (Executor::<Idle>::new(&Fixed), Idle);
/// for count in [1, 3] {
///     assert!(executor.spawn(Countdown(count)).is_ok());
/// }
/// let mut steps = 0;
/// while executor.kernel.rest() == Rest::Ready {
///     steps += executor.turn(Instant::ZERO, &mut host);
/// }
/// assert_eq!(executor.kernel.rest(), Rest::Empty);
/// assert_eq!(steps, 4);
/// ```
pub struct Executor<H: Host> {
    /// The kernel, which decides which task runs next and records what each task waits for.
    pub kernel: Kernel<H::Storage>,
    tasks: Tasks<H>,
    buffers: Buffers<H::Storage>,
    spawned: Spawned<H::Task>,
}

impl<H: Host<Task: Task<H> + Unpin>> Executor<H> {
    /// Creates an executor without tasks, with the capacity of `storage`.
    #[must_use]
    pub fn new(storage: &H::Storage) -> Self {
        Self {
            kernel: Kernel::new(storage),
            tasks: storage.tasks(),
            buffers: Buffers::new(storage),
            spawned: Spawned::new(),
        }
    }

    /// Adds a task. Its first step is in the next turn.
    ///
    /// # Errors
    ///
    /// Returns the task if the storage has no free slot for it.
    pub fn spawn(&mut self, task: H::Task) -> Result<TaskId, H::Task> {
        match self.kernel.spawn() {
            Err(Full) => Err(task),
            Ok(id) => {
                settle::<H>(&mut self.tasks, id, task);
                Ok(id)
            }
        }
    }

    /// Runs one turn at `now`, after a poll of all sources ([`Kernel::advance`]): one step of each ready task. Returns
    /// the number of steps.
    pub fn turn(&mut self, now: Instant, host: &mut H) -> usize {
        self.kernel.advance(now);
        self.run_turn(host)
    }

    /// Runs one turn at `now` without a poll of all sources ([`Kernel::advance_unpolled`]): one step of each ready task.
    /// No wait ends by its deadline. Returns the number of steps.
    pub fn turn_unpolled(&mut self, now: Instant, host: &mut H) -> usize {
        self.kernel.advance_unpolled(now);
        self.run_turn(host)
    }

    #[inline]
    fn run_turn(&mut self, host: &mut H) -> usize {
        let Self { kernel, tasks, buffers, spawned } = self;
        let mut steps = 0;
        let mut cx = Cx::new(kernel, host, buffers, spawned);
        loop {
            let mut next = cx.kernel.begin_step();
            while let Some(index) = next {
                match resume(tasks, index, &mut cx) {
                    Step::Yield => cx.kernel.requeue(index),
                    Step::Wait(wait) => cx.kernel.park_head(&wait),
                    Step::Done => end(tasks, index, &mut cx, None),
                    Step::Fail(failure) => end(tasks, index, &mut cx, Some(failure)),
                }
                steps += 1;
                next = cx.kernel.end_step(index);
            }
            if cx.spawned.is_empty() {
                return steps;
            }
            for (id, task) in cx.spawned.drain(..) {
                settle::<H>(tasks, id, task);
                let place = tasks.items().get(id.index()).and_then(Option::as_ref);
                cx.host.stored(id, || place.and_then(|task| Task::<H>::label(task)));
            }
            cx.continue_turn();
        }
    }

    /// Removes all tasks, one by one, without a further step, and passes them to `take`. For a host that cannot
    /// continue, and whose tasks may panic when they are dropped.
    pub fn drain(&mut self, mut take: impl FnMut(H::Task)) {
        for place in self.tasks.items_mut() {
            if let Some(task) = place.take() {
                take(task);
            }
        }
        for (_, task) in self.spawned.drain(..) {
            take(task);
        }
    }

    /// Returns the task's name and where it was spawned, if the task knows them.
    #[must_use]
    pub fn label(&self, task: TaskId) -> Option<Label> {
        self.kernel.state(task)?;
        self.tasks.items().get(task.index())?.as_ref()?.label()
    }

    /// Returns the name of the lock, channel or event that a task waits for: [`Task::wait_name`].
    #[must_use]
    pub fn wait_name(&self, task: TaskId) -> Option<&'static str> {
        self.kernel.state(task)?;
        self.tasks.items().get(task.index())?.as_ref()?.wait_name()
    }

    /// Returns the number of blocks that are lent now, which hold bytes that wait in the process.
    #[must_use]
    pub fn blocks_lent(&self) -> usize {
        self.buffers.blocks_lent()
    }

    /// Returns the number of blocks that have memory: [lent](Self::blocks_lent) blocks, and free blocks that are kept
    /// for reuse.
    #[must_use]
    pub fn blocks_committed(&self) -> usize {
        self.buffers.blocks_committed()
    }

    /// Returns the most blocks that were lent at a time since [`reset_peak`](Self::reset_peak). More blocks need no
    /// memory.
    #[must_use]
    pub fn blocks_peak(&self) -> usize {
        self.buffers.blocks_peak()
    }

    /// Restarts the measurement of the [peak](Self::blocks_peak). A host that does so about once a second can release
    /// the memory of blocks that no task needed in that time. tcmalloc trims its thread caches by such a mark.
    pub fn reset_peak(&mut self) {
        self.buffers.reset_peak();
    }

    /// Drops the [bytes](Storage::Bytes) of up to `count` free blocks, but of none within the
    /// [peak](Self::blocks_peak). Returns the number of these blocks. They remain in the pool, and get new bytes when
    /// they are needed. O(count).
    pub fn decommit(&mut self, count: usize) -> usize {
        self.buffers.decommit(count)
    }
}

#[inline]
fn resume<H: Host<Task: Task<H> + Unpin>>(tasks: &mut Tasks<H>, index: u32, cx: &mut Cx<'_, H>) -> Step {
    let Some(Some(task)) = tasks.items_mut().get_mut(index as usize) else {
        debug_assert!(false, "who is queued has a place");
        return Step::Done;
    };
    cx.host.before_step(cx.kernel);
    let step = Pin::new(task).resume(cx);
    cx.host.after_step(cx.kernel, &step);
    step
}

#[cold]
fn end<H>(tasks: &mut Tasks<H>, index: u32, cx: &mut Cx<'_, H>, failure: Option<Failure>)
where
    H: Host<Task: Task<H> + Unpin>,
{
    let (id, _) = cx.kernel.head();
    let place = tasks.items_mut().get_mut(index as usize);
    if let Some(mut task) = place.and_then(Option::take) {
        Pin::new(&mut task).end(cx);
    }
    cx.kernel.remove_head();
    cx.host.ended(id, failure);
}

/// Stores a task in the slot of its id.
fn settle<H: Host<Task: Task<H> + Unpin>>(tasks: &mut Tasks<H>, id: TaskId, mut task: H::Task) {
    while tasks.items().len() <= id.index() {
        let pushed = tasks.push(None);
        debug_assert!(pushed.is_ok(), "the table has capacity for the kernel's tasks");
        if pushed.is_err() {
            return;
        }
    }
    Pin::new(&mut task).spawned(id);
    tasks.items_mut()[id.index()] = Some(task);
}
