//! The operations that tasks request which are `async fn`s.

use core::net::SocketAddr;

use sinbin_core::kernel::Storage;
use sinbin_core::task::{Async, AsyncHost, ErasedJob};
use sinbin_core::{IoError, Job, JobId, Service, SourceId, TaskId};
use smoltcp::phy::Device;
use smoltcp::wire::IpListenEndpoint;

use crate::board::Board;
use crate::connect::endpoint;
use crate::host::{Metal, Stop};

impl<'d, V, D, B, S> AsyncHost<'d> for Metal<V, D, B, S>
where
    V: Service<Conn: From<Async<'d>>, Job: Job<Output: 'static> + 'static>,
    D: Device,
    B: Board,
    S: Storage,
{
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        self.sources.shutdown(source)
    }

    fn listen(&mut self, address: SocketAddr, new: SourceId) -> Result<SocketAddr, IoError> {
        if address.port() == 0 {
            return Err(IoError::Unsupported);
        }
        let mut endpoint = IpListenEndpoint::from(endpoint(address).ok_or(IoError::Unsupported)?);
        endpoint.addr = endpoint.addr.filter(|address| !address.is_unspecified());
        self.sources.listen(new, endpoint);
        Ok(address)
    }

    fn peer(&self, source: SourceId) -> Option<SocketAddr> {
        Metal::peer(self, source)
    }

    fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError> {
        self.sources.connect(address, new)?;
        self.room.enter();
        Ok(())
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        self.sources.connected(source)
    }

    fn is_stopping(&mut self, _: TaskId) -> bool {
        self.stop != Stop::No
    }

    fn stop(&mut self) -> Result<(), IoError> {
        Metal::stop(self);
        Ok(())
    }

    /// Takes jobs of the service's type. Without a heap, the host has no slot for jobs of other types.
    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let job = job.job().downcast_mut::<Option<V::Job>>().and_then(Option::take);
        let is_taken = job.is_some();
        if let Some(job) = job {
            self.slicer.submit(id, job);
        }
        is_taken
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let mut output = self.slicer.take(id);
        output.is_some() && job.put(&mut output)
    }

    fn cancel_job(&mut self, id: JobId) {
        self.slicer.cancel(id);
    }
}
