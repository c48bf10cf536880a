//! A service that is an `async fn`.

use core::marker::PhantomData;
use core::pin::Pin;

use crate::exec::host::Service;
use crate::job::erased::BoxedJob;
use crate::job::task_job::{JobOfTasks, TaskJob};
use crate::kernel::id::SourceId;
use crate::task::conn::Conn;
use crate::task::conn_task::ConnTask;
use crate::task::error::TrySpawnError;
use crate::task::handle::Handle;
use crate::task::pool::{GrowingPlaces, Pool};
use crate::task::report::name_of;
use crate::task::start::Async;

/// A service that runs an `async fn` for each connection. `J` is the type of the jobs that its host computes.
pub struct AsyncService<'d, M, F: Future + 'd, J = BoxedJob> {
    handle: Handle<'d>,
    /// The slots for the futures of the connections.
    pool: Pin<&'d Pool<F, GrowingPlaces<F>>>,
    serve: M,
    jobs: PhantomData<fn() -> J>,
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> AsyncService<'d, M, F> {
    /// Creates a service that runs `serve` for each connection, on the loop `handle`. `pool` needs a slot for every
    /// possible connection: a connection that finds no free slot is closed.
    pub const fn new(handle: Handle<'d>, pool: Pin<&'d Pool<F, GrowingPlaces<F>>>, serve: M) -> Self {
        Self { handle, pool, serve, jobs: PhantomData }
    }

    /// Allows the host to have jobs of type `J` computed elsewhere, such as in another instance of a guest. Jobs of other
    /// types are computed by the loop itself, in slices.
    pub fn with_jobs<J>(self) -> AsyncService<'d, M, F, TaskJob<J>> {
        let Self { handle, pool, serve, jobs: _ } = self;
        AsyncService { handle, pool, serve, jobs: PhantomData }
    }
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd, J: JobOfTasks> Service for AsyncService<'d, M, F, J> {
    type Conn = ConnTask<'d, F>;
    type Job = J;

    fn connect(&self, source: SourceId) -> ConnTask<'d, F> {
        let future = (self.serve)(Conn::new(self.handle, source));
        match self.pool.put(self.handle, future) {
            Ok((task, _)) => ConnTask::Own(task),
            // The connection is owned by the future. Only a task can close it.
            Err(TrySpawnError(future)) => {
                ConnTask::Other(Async::new(self.handle, async move { drop(future) }).0)
            }
        }
    }

    fn name(&self) -> &'static str {
        name_of::<F>()
    }
}
