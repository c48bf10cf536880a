//! Services that are `async fn`s, in a pool of fixed size.

use core::marker::PhantomData;
use core::pin::Pin;

use sinbin_core::task::{Async, AsyncHost, Conn, ConnTask, Handle, Label, Places, Pool};
use sinbin_core::{Cx, Job, Service, SourceId, Step, Task, TaskId};

/// A service that runs an `async fn` for each connection, in the slots `P` of a pool. `J` is the type of its jobs.
///
/// ```
/// use core::pin::pin;
/// # use sinbin_core::NoJob;
/// # use sinbin_core::task::{Conn, Error, Handle, NoWakers, Pool, RunContext};
/// # use sinbin_metal::Pooled;
///
/// async fn discard(conn: Conn<'_>) -> Result<(), Error> {
///     let mut buf = [0; 64];
///     while conn.recv(&mut buf).await? > 0 {}
///     Ok(())
/// }
///
/// let run_context = RunContext::new(&NoWakers);
/// let pool = pin!(Pool::<_, _>::fixed::<16>());
/// let service = Pooled::<_, _, _, NoJob>::new(Handle::new(&run_context), pool.as_ref(), discard);
/// ```
pub struct Pooled<'d, M, F: Future + 'd, P, J> {
    handle: Handle<'d>,
    pool: Pin<&'d Pool<F, P>>,
    serve: M,
    _jobs: PhantomData<fn() -> J>,
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd, P: Places<F>, J: Job> Pooled<'d, M, F, P, J> {
    /// Creates a service that runs `serve` for each connection, on the loop `handle`. `pool` needs a slot for every
    /// possible connection: a connection that finds no free slot is closed.
    pub const fn new(handle: Handle<'d>, pool: Pin<&'d Pool<F, P>>, serve: M) -> Self {
        Self { handle, pool, serve, _jobs: PhantomData }
    }
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd, P: Places<F>, J: Job> Service for Pooled<'d, M, F, P, J> {
    type Conn = PooledConn<'d, F>;
    type Job = J;

    fn connect(&self, source: SourceId) -> PooledConn<'d, F> {
        match self.pool.put(self.handle, (self.serve)(Conn::new(self.handle, source))) {
            Ok((task, _)) => PooledConn::Task(ConnTask::Own(task)),
            // The future owned the connection, and was dropped outside of a task, where it could close nothing.
            Err(_) => PooledConn::Refused(source),
        }
    }
}

/// The task of a connection of a [`Pooled`] service.
#[must_use = "it does nothing until it is spawned"]
pub enum PooledConn<'d, F: Future + 'd> {
    /// The task is in the pool, or was put elsewhere by the program.
    Task(ConnTask<'d, F>),
    /// The pool was full, and the connection is to be closed.
    Refused(SourceId),
}

impl<'d, F: Future> From<Async<'d>> for PooledConn<'d, F> {
    fn from(task: Async<'d>) -> Self {
        Self::Task(ConnTask::Other(task))
    }
}

impl<'d, F: Future, H: AsyncHost<'d>> Task<H> for PooledConn<'d, F> {
    #[inline]
    fn resume(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) -> Step {
        match self.get_mut() {
            Self::Task(task) => Pin::new(task).resume(cx),
            Self::Refused(_) => Step::Done,
        }
    }

    fn spawned(self: Pin<&mut Self>, id: TaskId) {
        if let Self::Task(task) = self.get_mut() {
            Task::<H>::spawned(Pin::new(task), id);
        }
    }

    fn label(&self) -> Option<Label> {
        match self {
            Self::Task(task) => Task::<H>::label(task),
            Self::Refused(_) => None,
        }
    }

    fn end(self: Pin<&mut Self>, cx: &mut Cx<'_, H>) {
        match self.get_mut() {
            Self::Task(task) => Pin::new(task).end(cx),
            Self::Refused(source) => cx.close(*source),
        }
    }
}
