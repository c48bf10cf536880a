//! The kernel together with the tasks it schedules: the inner half of every host's loop.

use core::pin::Pin;

use crate::bytes::Buffers;
use crate::error::{Failure, Full};
use crate::id::TaskId;
use crate::kernel::Kernel;
use crate::step::Step;
use crate::storage::{Slots, Storage};
use crate::task::{Cx, Host, Spawned, Task};
use crate::time::Instant;

/// A table of tasks in the storage of the host `H`.
type Tasks<H> = <<H as Host>::Storage as Storage>::Tasks<Option<<H as Host>::Task>>;

/// Kernel, tasks and buffers of one loop.
///
/// A host repeats three calls: [`turn`](Self::turn), then [`Kernel::rest`] to learn what to wait for, then, as
/// it finds things ready, [`Kernel::ready`] and [`Kernel::job_done`].
pub struct Executor<H: Host> {
    /// Who runs next, and who waits for what.
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
                self.settle(id, task);
                Ok(id)
            }
        }
    }

    /// Runs one turn at `now`: a step of each task that is ready. Returns how many steps that were.
    pub fn turn(&mut self, now: Instant, host: &mut H) -> usize {
        let mut steps = 0;
        self.kernel.advance(now);
        loop {
            while let Some(index) = self.kernel.begin_step() {
                match self.resume(index, host) {
                    Step::Yield => self.kernel.requeue(index),
                    Step::Wait(wait) => self.kernel.park_head(&wait),
                    Step::Done => self.end(index, host, None),
                    Step::Fail(failure) => self.end(index, host, Some(failure)),
                }
                steps += 1;
            }
            if self.spawned.is_empty() {
                return steps;
            }
            self.settle_spawned();
            self.kernel.continue_turn();
        }
    }

    /// Blocks that are lent out now: bytes that wait in the process, in units of a block's size.
    #[must_use]
    pub fn blocks_lent(&self) -> usize {
        self.buffers.blocks_lent()
    }

    #[inline]
    fn resume(&mut self, index: u32, host: &mut H) -> Step {
        let Some(Some(task)) = self.tasks.items_mut().get_mut(index as usize) else {
            debug_assert!(false, "who is queued has a place");
            return Step::Done;
        };
        let mut cx = Cx::new(&mut self.kernel, host, &mut self.buffers, &mut self.spawned);
        Pin::new(task).resume(&mut cx)
    }

    #[cold]
    fn end(&mut self, index: u32, host: &mut H, failure: Option<Failure>) {
        let (id, _) = self.kernel.head();
        let place = self.tasks.items_mut().get_mut(index as usize);
        if let Some(mut task) = place.and_then(Option::take) {
            let mut cx = Cx::new(&mut self.kernel, host, &mut self.buffers, &mut self.spawned);
            Pin::new(&mut task).end(&mut cx);
        }
        self.kernel.remove_head();
        host.ended(id, failure);
    }

    #[cold]
    fn settle_spawned(&mut self) {
        for (id, task) in core::mem::take(&mut self.spawned) {
            self.settle(id, task);
        }
    }

    /// Puts a task in the place of its id.
    fn settle(&mut self, id: TaskId, task: H::Task) {
        while self.tasks.items().len() <= id.index() {
            let pushed = self.tasks.push(None);
            debug_assert!(pushed.is_ok(), "as many places as the kernel has tasks");
            if pushed.is_err() {
                return;
            }
        }
        self.tasks.items_mut()[id.index()] = Some(task);
    }
}
