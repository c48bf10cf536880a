//! Operations of the caller on the object that the host has for a connection, such as a system call on its socket.

use core::any::Any;
use core::future::poll_fn;
use core::task::{Context, Poll};

use crate::kernel::error::{IoError, Op};
use crate::kernel::id::SourceId;
use crate::kernel::interest::Interest;
use crate::kernel::step::WaitTarget;
use crate::task::conn::{Conn, Receiving, SENDING, Waiting};
use crate::task::error::Error;
use crate::task::handle::Handle;
use crate::task::run_context::{Catches, Ops};

/// Calls `attempt` with the object of a source, and returns its result.
fn operate<'d, R>(
    ops: &mut dyn Ops<'d>,
    source: SourceId,
    interest: Interest,
    attempt: impl FnOnce(&dyn Any) -> Result<R, IoError>,
) -> Result<R, IoError> {
    let (mut attempt, mut result) = (Some(attempt), None);
    ops.operate(source, interest, &mut |object| {
        let attempt = attempt.take().ok_or(IoError::Unsupported)?;
        result = Some(attempt(object)?);
        Ok(())
    })?;
    result.ok_or(IoError::Unsupported)
}

/// Operations of the caller, for hosts that give access to the objects of their sources. The native host passes a
/// `std::net::TcpStream` for each stream socket; its modules for datagrams, pipes and files use these functions.
///
/// `attempt` must not block, and fails with [`IoError::WouldBlock`] if it would. Within it, operations of the loop fail
/// with [`WaitError::Elsewhere`](crate::task::WaitError::Elsewhere).
impl<'d> Conn<'d> {
    /// Receives by an operation of the caller: calls `attempt`, and waits and repeats it as long as it would block.
    ///
    /// # Errors
    ///
    /// Fails as [`recv`](Self::recv) does, with the error of `attempt`, and with [`IoError::Unsupported`] if the host
    /// gives no access.
    pub async fn recv_by<R>(
        &self,
        mut attempt: impl FnMut(&dyn Any) -> Result<R, IoError>,
    ) -> Result<R, Error> {
        let mut receiving = Receiving::new(self);
        poll_fn(|context| {
            let _catches = Catches(self.handle.run_context());
            receiving
                .poll(context, |ops| Ok((operate(ops, self.source(), Interest::RECV, &mut attempt)?, false)))
        })
        .await
    }

    /// Sends by an operation of the caller: calls `attempt`, and waits and repeats it as long as it would block.
    ///
    /// # Errors
    ///
    /// Fails as [`send`](Self::send) does, with the error of `attempt`, and with [`IoError::Unsupported`] if the host
    /// gives no access.
    pub async fn send_by<R>(
        &self,
        mut attempt: impl FnMut(&dyn Any) -> Result<R, IoError>,
    ) -> Result<R, Error> {
        self.check_free(SENDING)?;
        let mut wait = Waiting::new(WaitTarget::Send(self.source()));
        poll_fn(|context| {
            let _catches = Catches(self.handle.run_context());
            self.poll_send_op(&mut wait, context, |ops| {
                operate(ops, self.source(), Interest::SEND, &mut attempt)
            })
        })
        .await
    }

    /// Receives as [`recv_by`](Self::recv_by) does, or registers a wait of the task, which the next poll continues: see
    /// [`poll_recv`](Self::poll_recv).
    ///
    /// # Errors
    ///
    /// Fails as [`recv_by`](Self::recv_by) does.
    pub fn poll_recv_by<R>(
        &self,
        context: &Context<'_>,
        attempt: impl FnOnce(&dyn Any) -> Result<R, IoError>,
    ) -> Poll<Result<R, Error>> {
        let _catches = Catches(self.handle.run_context());
        self.poll_recv_kept(context, |ops| Ok((operate(ops, self.source(), Interest::RECV, attempt)?, false)))
    }

    /// Calls `act` with the object of the source, once, and returns its result.
    ///
    /// # Errors
    ///
    /// Fails with the error of `act`, and with [`IoError::Unsupported`] if the host gives no access.
    pub fn inspect<R>(&self, act: impl FnOnce(&dyn Any) -> Result<R, IoError>) -> Result<R, Error> {
        operate_once(self.handle, self.source(), act)
    }
}

/// Calls `act` with the object of a source, once.
pub(crate) fn operate_once<R>(
    handle: Handle<'_>,
    source: SourceId,
    act: impl FnOnce(&dyn Any) -> Result<R, IoError>,
) -> Result<R, Error> {
    let _catches = Catches(handle.run_context());
    let acted = handle.run_context().with(|ops| operate(ops, source, Interest::NONE, act))?;
    acted.map_err(|error| Error::of(Op::Wait, source, error))
}
