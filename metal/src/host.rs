//! The host that the tasks of the loop use: sockets, jobs in slices, and the service.

use core::net::SocketAddr;

use sinbin_core::exec::Jobs;
use sinbin_core::job::Slicer;
use sinbin_core::kernel::{Failure, Storage};
use sinbin_core::serve::{Admission, Guarded, ServeTask, Unguarded};
use sinbin_core::task::Signals;
use sinbin_core::{Host, Instant, IoError, Job, JobId, Serves, Service, SourceId, TaskId};
use smoltcp::phy::Device;
use smoltcp::wire::IpListenEndpoint;

use crate::board::Board;
use crate::net::Net;
use crate::settings::Settings;
use crate::sources::{Closing, Sources, Unread};

/// The counts of a loop since its start. They may wrap around.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// The number of accepted connections.
    pub connections: u32,
    /// The number of connections whose task failed.
    pub failed: u32,
    /// The number of jobs.
    pub jobs: u32,
}

/// The host of a loop that runs the service `V` on a board.
///
/// `S` is the storage of the loop. It needs a task and a source for each connection and each listener.
pub struct Metal<V: Service, D: Device, B: Board, S: Storage> {
    pub(crate) service: V,
    pub(crate) sources: Sources<D, S>,
    pub(crate) board: B,
    pub(crate) slicer: Slicer<V::Job, S>,
    pub(crate) room: Admission<Unread>,
    pub(crate) signals: Option<Signals>,
    pub(crate) stop: Stop,
    tally: Tally,
}

/// The progress of a request to stop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    No,
    /// The request was made, and the tasks that wait for it are to be woken.
    Asked,
    Told,
}

impl<V: Service, D: Device, B: Board, S: Storage> Metal<V, D, B, S> {
    /// Creates the host of a loop whose executor has the same `storage`.
    #[must_use]
    pub fn new(service: V, net: Net<D>, board: B, storage: &S, settings: Settings) -> Self {
        let connections = settings.max_connections.min(net.slots().len());
        Self {
            service,
            sources: Sources::new(net, storage, settings),
            board,
            slicer: Slicer::new(storage),
            room: Admission::new(connections),
            signals: None,
            stop: Stop::No,
            tally: Tally::default(),
        }
    }

    /// Sets the wakers that interrupts use. The loop delivers their wakes, and does not sleep while one is pending.
    #[must_use]
    pub fn with_signals(self, signals: Signals) -> Self {
        Self { signals: Some(signals), ..self }
    }

    /// Listens on `endpoint`, such as a port, as `source`. Intended for [`Engine::accept_from`].
    ///
    /// [`Engine::accept_from`]: sinbin_core::serve::Engine::accept_from
    pub fn listen_on(&mut self, source: SourceId, endpoint: impl Into<IpListenEndpoint>) {
        self.sources.listen(source, endpoint.into());
    }

    /// Asks the loop to stop: it then accepts no new connections, answers what it has received, and ends.
    pub fn stop(&mut self) {
        if self.stop == Stop::No {
            self.stop = Stop::Asked;
        }
    }

    /// Returns the network.
    pub fn net(&mut self) -> &mut Net<D> {
        &mut self.sources.net
    }

    /// Returns the board.
    pub fn board(&mut self) -> &mut B {
        &mut self.board
    }

    /// Returns the counts since the start.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Returns the number of connections, lingering ones included.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.room.open()
    }

    /// Returns the address of the peer of a connection.
    #[must_use]
    pub fn peer(&self, source: SourceId) -> Option<SocketAddr> {
        self.sources.peer(source).map(SocketAddr::from)
    }
}

impl<V: Service, D: Device, B: Board, S: Storage> Guarded for Metal<V, D, B, S> {
    type Guard = Unguarded;
}

impl<V: Service, D: Device, B: Board, S: Storage> Host for Metal<V, D, B, S> {
    type Storage = S;
    type Task = ServeTask<V>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        self.room.check(listener)?;
        self.sources.accept(listener, new)?;
        self.room.enter();
        self.tally.connections = self.tally.connections.wrapping_add(1);
        Ok(())
    }

    #[inline]
    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        self.sources.recv(source, buffer)
    }

    #[inline]
    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        self.sources.send(source, bytes)
    }

    fn close(&mut self, source: SourceId) {
        match self.sources.close(source, self.board.now()) {
            Some(Closing::Unread(unread)) => self.room.linger(unread),
            Some(Closing::Done) => self.room.leave(1),
            None => {}
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> ServeTask<V> {
        ServeTask::connect(self, connection)
    }

    #[inline]
    fn clock(&self, turn: Instant) -> Instant {
        self.board.now().max(turn)
    }

    fn ended(&mut self, _: TaskId, failure: Option<Failure>) {
        if failure.is_some() {
            self.tally.failed = self.tally.failed.wrapping_add(1);
        }
    }
}

impl<V: Service, D: Device, B: Board, S: Storage> Serves<V> for Metal<V, D, B, S> {
    #[inline]
    fn service(&self) -> &V {
        &self.service
    }
}

impl<V: Service, D: Device, B: Board, S: Storage> Jobs<V::Job> for Metal<V, D, B, S> {
    fn submit(&mut self, id: JobId, job: V::Job) {
        self.tally.jobs = self.tally.jobs.wrapping_add(1);
        self.slicer.submit(id, job);
    }

    fn take(&mut self, id: JobId) -> Option<<V::Job as Job>::Output> {
        self.slicer.take(id)
    }

    fn cancel(&mut self, id: JobId) {
        self.slicer.cancel(id);
    }
}
