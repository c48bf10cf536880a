//! Operations that are deferred within a callback, in a core without a heap.

use std::cell::Cell;
use std::pin::Pin;

use sinbin_core::task::{Async, AsyncHost, Conn, Handle, NoWakers, Pool, RunContext};
use sinbin_core::{Executor, Fixed, Host, Instant, IoError, Rest, SourceId, TaskId};

const TASKS: usize = 24;

/// A host whose connections have always ended. It counts the connections that are closed.
#[derive(Default)]
struct Ended<'d> {
    closed: usize,
    _tasks: std::marker::PhantomData<Handle<'d>>,
}

impl<'d> Host for Ended<'d> {
    type Storage = Fixed<TASKS, TASKS, 0>;
    type Task = Async<'d>;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    fn recv(&mut self, _: SourceId, _: &mut [u8]) -> Result<usize, IoError> {
        Ok(0)
    }

    fn send(&mut self, _: SourceId, _: &[u8]) -> Result<usize, IoError> {
        Err(IoError::Unsupported)
    }

    fn close(&mut self, _: SourceId) {
        self.closed += 1;
    }

    fn serve(&mut self, _: SourceId, _: SourceId) -> Async<'d> {
        unreachable!("nothing is accepted")
    }
}

impl<'d> AsyncHost<'d> for Ended<'d> {}

/// Spawns a future in memory that is never freed.
fn spawn<F: Future + 'static>(
    executor: &mut Executor<Ended<'static>>,
    handle: Handle<'static>,
    future: F,
) -> TaskId {
    let pool: Pin<&'static _> = Pin::static_ref(Box::leak(Box::new(Pool::<_, _>::fixed::<1>())));
    let (task, _) = pool.put(handle, future).expect("a free slot");
    executor.spawn(task.erase()).ok().expect("the limit is not reached")
}

fn run(executor: &mut Executor<Ended<'static>>, host: &mut Ended<'static>) -> Rest {
    while executor.kernel.rest() == Rest::Ready {
        executor.turn(Instant::ZERO, host);
        assert_eq!(executor.kernel.audit(), Ok(()));
    }
    executor.kernel.rest()
}

fn handle() -> Handle<'static> {
    Handle::new(Box::leak(Box::new(RunContext::new(&NoWakers))))
}

/// A callback that drops more connections than the queue can hold closes eight of them, and panics nowhere.
#[test]
fn operations_beyond_the_capacity_are_not_performed() {
    for (dropped, closed) in [(0, 1), (1, 2), (8, 9), (9, 9), (20, 9)] {
        let (handle, mut host) = (handle(), Ended::default());
        let mut executor = Box::new(Executor::new(&Fixed));
        let mut conns: Vec<_> =
            (0..=dropped).map(|_| Conn::new(handle, executor.kernel.open().unwrap())).collect();
        let last = conns.pop().expect("one at least");
        spawn(&mut executor, handle, async move {
            last.try_recv_with(|_| drop(conns)).expect("the host has ended it");
        });
        assert_eq!(run(&mut executor, &mut host), Rest::Empty);
        assert_eq!(host.closed, closed, "{dropped} connections were dropped");
    }
}

/// A callback that wakes more tasks than the queue can hold, also behind other operations, wakes all of them.
#[test]
fn no_wake_is_lost_beyond_the_capacity() {
    for (conns, tasks) in [(0, 8), (0, 9), (0, 20), (8, 1), (8, 20), (5, 5)] {
        let (handle, mut host) = (handle(), Ended::default());
        let mut executor = Box::new(Executor::new(&Fixed));
        let woken: &'static Cell<usize> = Box::leak(Box::new(Cell::new(0)));
        let waiting: Vec<_> = (0..tasks)
            .map(|_| {
                spawn(&mut executor, handle, async move {
                    handle.wait_named().await.expect("a task of the loop");
                    woken.set(woken.get() + 1);
                })
            })
            .collect();
        let dropped: Vec<_> =
            (0..conns).map(|_| Conn::new(handle, executor.kernel.open().unwrap())).collect();
        let last = Conn::new(handle, executor.kernel.open().unwrap());
        spawn(&mut executor, handle, async move {
            let wakes = move |_: &[u8]| {
                drop(dropped);
                for task in waiting {
                    handle.wake(task);
                }
            };
            last.try_recv_with(wakes).expect("the host has ended it");
        });
        assert_eq!(run(&mut executor, &mut host), Rest::Empty, "{conns} connections, {tasks} tasks");
        assert_eq!(woken.get(), tasks);
    }
}
