//! A service that is an `async fn`.

use core::pin::Pin;

use crate::exec::host::Service;
use crate::job::carry::BoxedJob;
use crate::kernel::id::SourceId;
use crate::task::conn::Conn;
use crate::task::error::Unspawned;
use crate::task::handle::Loop;
use crate::task::mixed::Mixed;
use crate::task::pool::{GrowingPlaces, Pool};
use crate::task::report::name_of;
use crate::task::start::Async;

/// A service that runs an `async fn` for each connection.
pub struct AsyncService<'d, M, F: Future + 'd> {
    on: Loop<'d>,
    /// Where the futures of the connections live.
    pool: Pin<&'d Pool<F, GrowingPlaces<F>>>,
    serve: M,
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> AsyncService<'d, M, F> {
    /// The service that runs `serve` for each connection, on the loop `on`. `pool` needs a place for every connection
    /// there can be: one that finds none is closed.
    pub const fn new(on: Loop<'d>, pool: Pin<&'d Pool<F, GrowingPlaces<F>>>, serve: M) -> Self {
        Self { on, pool, serve }
    }
}

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> Service for AsyncService<'d, M, F> {
    type Conn = Mixed<'d, F>;
    type Job = BoxedJob;

    fn connect(&self, source: SourceId) -> Mixed<'d, F> {
        let future = (self.serve)(Conn::new(self.on, source));
        match self.pool.put(self.on, future) {
            Ok((task, _)) => Mixed::Own(task),
            // The connection lies in the future. Only a task can close it.
            Err(Unspawned(future)) => Mixed::Other(Async::new(self.on, async move { drop(future) }).0),
        }
    }

    fn name(&self) -> &'static str {
        name_of::<F>()
    }
}
