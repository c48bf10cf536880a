//! Objects that a task operates itself, and for whose readiness it waits on the loop.

use std::sync::Arc;
#[cfg(unix)]
use std::task::{Context, Poll};

use sinbin_core::IoError;
use sinbin_core::sync::Lock;
use sinbin_core::task::{Conn, Error, Handle};

use crate::sockets::{Object, Shared};

/// An object with a descriptor that the loop watches. Several tasks can wait for it, in the order of their requests.
#[derive(Debug)]
pub(crate) struct Watched<'d, T> {
    conn: Conn<'d>,
    object: Arc<T>,
    receives: Lock<'d, ()>,
    sends: Lock<'d, ()>,
}

impl<'d, T: Object + 'static> Watched<'d, T> {
    /// Adds an object to the loop. Its operations must not block. If it `drains`, waits for input end when the loop
    /// stops.
    pub(crate) fn new(handle: Handle<'d>, object: T, drains: bool) -> Result<Self, Error> {
        let object = Arc::new(object);
        let shared = Shared { object: object.clone(), drains };
        Ok(Self {
            conn: handle.adopt(shared)?,
            object,
            receives: Lock::new(handle, ()),
            sends: Lock::new(handle, ()),
        })
    }

    pub(crate) fn get(&self) -> &T {
        &self.object
    }

    pub(crate) fn conn(&self) -> &Conn<'d> {
        &self.conn
    }

    /// Calls `attempt`, and waits for readiness to receive and repeats it as long as it would block.
    pub(crate) async fn recv<R>(
        &self,
        mut attempt: impl FnMut(&T) -> Result<R, IoError>,
    ) -> Result<R, Error> {
        let _turn = self.receives.lock().await?;
        self.conn.recv_by(|_| attempt(&self.object)).await
    }

    /// Calls `attempt`, and waits for readiness to send and repeats it as long as it would block.
    pub(crate) async fn send<R>(
        &self,
        mut attempt: impl FnMut(&T) -> Result<R, IoError>,
    ) -> Result<R, Error> {
        let _turn = self.sends.lock().await?;
        self.conn.send_by(|_| attempt(&self.object)).await
    }

    /// Receives as [`recv`](Self::recv) does, or registers a wait of the task.
    #[cfg(unix)]
    pub(crate) fn poll_recv<R>(
        &self,
        context: &Context<'_>,
        attempt: impl FnOnce(&T) -> Result<R, IoError>,
    ) -> Poll<Result<R, Error>> {
        self.conn.poll_recv_by(context, |_| attempt(&self.object))
    }
}
