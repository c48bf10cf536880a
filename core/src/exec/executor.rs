//! The kernel together with the tasks it schedules: the inner half of every host's loop.

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

/// Kernel, tasks and buffers of one loop.
///
/// A host repeats three calls: [`turn`](Self::turn), then [`Kernel::rest`] to learn what to wait for, then, as
/// it finds things ready, [`Kernel::ready`] and [`Kernel::job_done`].
pub struct Executor<H: Host> {
    /// The kernel: it knows who runs next, and who waits for what.
    pub kernel: Kernel<H::Storage>,
    tasks: Tasks<H>,
    buffers: Buffers<H::Storage>,
    spawned: Spawned<H::Task>,
}

impl<H: Host<Task: Task<H> + Unpin>> Executor<H> {
    /// An executor without tasks, as large as `storage` says.
    #[must_use]
    pub fn new(storage: &H::Storage) -> Self {
        Self {
            kernel: Kernel::new(storage),
            tasks: storage.tasks(),
            buffers: Buffers::new(storage),
            spawned: Spawned::new(),
        }
    }

    /// Adds a task. It runs in the next turn.
    ///
    /// # Errors
    ///
    /// Gives the task back when there is no place for another.
    pub fn spawn(&mut self, task: H::Task) -> Result<TaskId, H::Task> {
        match self.kernel.spawn() {
            Err(Full) => Err(task),
            Ok(id) => {
                settle::<H>(&mut self.tasks, id, task);
                Ok(id)
            }
        }
    }

    /// Runs one turn at `now`, after a look at all sources ([`Kernel::advance`]): a step of each task that is ready.
    /// Returns how many steps that were.
    pub fn turn(&mut self, now: Instant, host: &mut H) -> usize {
        self.kernel.advance(now);
        self.run_turn(host)
    }

    /// Runs one turn at `now` without a look at all sources ([`Kernel::advance_unpolled`]): a step of each task that is
    /// ready; no wait ends by its deadline. Returns how many steps that were.
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
            }
            cx.continue_turn();
        }
    }

    /// Takes all tasks out, one by one, without a further step: for a host that is of no use any more, and whose tasks may
    /// panic when they are dropped.
    #[cfg(feature = "alloc")]
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

    /// What the task is called, and where it was spawned: if it knows.
    #[must_use]
    pub fn label(&self, task: TaskId) -> Option<Label> {
        self.kernel.state(task)?;
        self.tasks.items().get(task.index())?.as_ref()?.label()
    }

    /// Blocks that are lent out now: bytes that wait in the process, in units of a block's size.
    #[must_use]
    pub fn blocks_lent(&self) -> usize {
        self.buffers.blocks_lent()
    }

    /// Blocks that have memory: those [lent out](Self::blocks_lent), and those that are kept for who needs one next.
    #[must_use]
    pub fn blocks_committed(&self) -> usize {
        self.buffers.blocks_committed()
    }

    /// The most blocks that were lent out at a time since [`reset_peak`](Self::reset_peak): more need no memory.
    #[must_use]
    pub fn blocks_peak(&self) -> usize {
        self.buffers.blocks_peak()
    }

    /// Begins to look for the [peak](Self::blocks_peak) anew. A host that does so about once a second can give back the
    /// memory of blocks that nobody has needed for so long; by such a mark tcmalloc trims the caches of its threads.
    pub fn reset_peak(&mut self) {
        self.buffers.reset_peak();
    }

    /// Drops the [bytes](Storage::Bytes) of `count` blocks that are free, or of as many as there are beyond the
    /// [peak](Self::blocks_peak). Returns of how many. They are blocks still, and get bytes again when they are needed.
    /// O(count).
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
    Pin::new(task).resume(cx)
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

/// Puts a task in the place of its id.
fn settle<H: Host<Task: Task<H> + Unpin>>(tasks: &mut Tasks<H>, id: TaskId, mut task: H::Task) {
    while tasks.items().len() <= id.index() {
        let pushed = tasks.push(None);
        debug_assert!(pushed.is_ok(), "as many places as the kernel has tasks");
        if pushed.is_err() {
            return;
        }
    }
    Pin::new(&mut task).spawned(id);
    tasks.items_mut()[id.index()] = Some(task);
}
