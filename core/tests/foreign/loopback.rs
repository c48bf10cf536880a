//! A host whose connections are loopback wires, and its loop.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use sinbin_core::task::{Async, AsyncHost, Conn, Handle, RunContext};
use sinbin_core::{Executor, Fixed, Host, Instant, Interest, IoError, Rest, SourceId};

use crate::inbox::Inbox;

/// The duration of a turn, as the host has no clock.
pub(crate) const TURN: Duration = Duration::from_micros(100);

/// A host whose connections are wires that return the bytes sent. A wire holds four bytes.
#[derive(Default)]
pub(crate) struct Loopback<'d> {
    wires: Vec<(SourceId, VecDeque<u8>)>,
    tasks: PhantomData<Async<'d>>,
}

impl Loopback<'_> {
    fn wire(&mut self, source: SourceId) -> Result<&mut VecDeque<u8>, IoError> {
        let wire = self.wires.iter_mut().find(|(id, _)| *id == source);
        wire.map(|(_, bytes)| bytes).ok_or(IoError::Closed)
    }
}

impl<'d> Host for Loopback<'d> {
    type Storage = Fixed<16, 8, 0>;
    type Task = Async<'d>;

    fn accept(&mut self, _: SourceId, _: SourceId) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        let wire = self.wire(source)?;
        let count = wire.len().min(buffer.len());
        if count == 0 {
            return Err(IoError::WouldBlock);
        }
        for (byte, there) in buffer.iter_mut().zip(wire.drain(..count)) {
            *byte = there;
        }
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        let wire = self.wire(source)?;
        let count = bytes.len().min(4 - wire.len());
        if count == 0 {
            return Err(IoError::WouldBlock);
        }
        wire.extend(&bytes[..count]);
        Ok(count)
    }

    fn close(&mut self, source: SourceId) {
        self.wires.retain(|(id, _)| *id != source);
    }

    fn serve(&mut self, _: SourceId, _: SourceId) -> Async<'d> {
        unreachable!("nothing is accepted")
    }
}

impl<'d> AsyncHost<'d> for Loopback<'d> {
    fn connect(&mut self, _: SocketAddr, new: SourceId) -> Result<(), IoError> {
        self.wires.push((new, VecDeque::new()));
        Ok(())
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        self.wire(source).map(|_| ())
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Stalled;

/// Runs `main` and the tasks that it spawns to the end. Other threads can use `inbox` to wait until all tasks wait.
pub(crate) fn run_with<T>(inbox: &Inbox, main: impl AsyncFnOnce(Handle<'_>) -> T) -> Result<T, Stalled> {
    let result = RefCell::new(None);
    let run_context = RunContext::new(inbox);
    let handle = Handle::new(&run_context);
    let mut host = Loopback::default();
    let mut executor = Executor::new(&Fixed);
    let (task, _) = Async::new(handle, async { *result.borrow_mut() = Some(main(handle).await) });
    assert!(executor.spawn(task).is_ok(), "the first one");
    let mut now = Instant::ZERO;
    loop {
        executor.turn(now, &mut host);
        for (source, bytes) in &host.wires {
            if !bytes.is_empty() {
                executor.kernel.ready(*source, Interest::RECV);
            }
            if bytes.len() < 4 {
                executor.kernel.ready(*source, Interest::SEND);
            }
        }
        for task in inbox.take() {
            executor.kernel.wake(task);
        }
        match executor.kernel.rest() {
            Rest::Empty => break,
            Rest::Stalled => return Err(Stalled),
            Rest::Ready => now = now + TURN,
            Rest::Until(Instant::NEVER) => inbox.rest(),
            Rest::Until(moment) => now = moment,
        }
    }
    Ok(result.take().expect("all tasks are over"))
}

pub(crate) fn run<T>(main: impl AsyncFnOnce(Handle<'_>) -> T) -> T {
    run_with(&Inbox::default(), main).expect("the tasks don't wait for each other")
}

pub(crate) async fn wire(handle: Handle<'_>) -> Conn<'_> {
    handle.connect(SocketAddr::from(([127, 0, 0, 1], 1))).await.expect("a host gives wires")
}
