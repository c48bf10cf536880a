//! The requests of tasks to their host: connections, listeners, jobs, and to be told of the end.

use core::net::SocketAddr;

use super::DrivenHost;
use crate::driven::Command;
use crate::driven::sources::Entry;
use crate::exec::host::{Connects, Jobs, Service};
use crate::job::WireJob;
use crate::job::erased::ErasedJob;
use crate::job::task_job::JobOfTasks;
use crate::kernel::error::IoError;
use crate::kernel::id::{JobId, SourceId, TaskId};
use crate::kernel::storage::Storage;
use crate::serve::task::ServeTask;
use crate::task::endpoint::Endpoint;
use crate::task::host::AsyncHost;
use crate::task::start::Async;

/// The maximum number of bytes of a name. The longest name of the domain name system has 253.
const MAX_NAME: usize = 255;

impl<S: Service<Job: WireJob>, M: Storage> Connects for DrivenHost<S, M> {
    fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError> {
        let Self { connects, commands, output, .. } = self;
        connects.request(new, format_args!("{address}"), commands, output);
        Ok(())
    }

    fn connect_name(&mut self, host: &str, port: u16, new: SourceId) -> Result<(), IoError> {
        if host.len() > MAX_NAME {
            return Err(IoError::Invalid);
        }
        let Self { connects, commands, output, .. } = self;
        connects.request(new, format_args!("{}", Endpoint::Name { host, port }), commands, output);
        Ok(())
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        self.connects.outcome(source)
    }
}

impl<'d, S: Service<Job: JobOfTasks>, M: Storage> AsyncHost<'d> for DrivenHost<S, M>
where
    ServeTask<S>: From<Async<'d>>,
{
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        let entry = self.sources.get(source).ok_or(IoError::Closed)?;
        self.commands.push(Command::Shutdown(entry.handle));
        Ok(())
    }

    fn listen(&mut self, address: SocketAddr, new: SourceId) -> Result<SocketAddr, IoError> {
        let Self { connects, commands, output, .. } = self;
        connects.request_listener(new, address, commands, output);
        Ok(address)
    }

    fn bound(&mut self, listener: SourceId) -> Option<Result<SocketAddr, IoError>> {
        let entry = self.sources.get(listener);
        let address = entry.and_then(Entry::peer).ok_or(IoError::Unsupported);
        Some(self.connects.outcome(listener).and(address))
    }

    fn peer(&self, source: SourceId) -> Option<SocketAddr> {
        self.sources.get(source)?.peer()
    }

    fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError> {
        Connects::connect(self, address, new)
    }

    fn connect_name(&mut self, host: &str, port: u16, new: SourceId) -> Result<(), IoError> {
        Connects::connect_name(self, host, port, new)
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        Connects::connected(self, source)
    }

    fn is_stopping(&mut self, task: TaskId) -> bool {
        if !self.stopping {
            self.stop_waiters.insert(task, ());
        }
        self.stopping
    }

    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let Some(job) = S::Job::take_from(job) else { return false };
        self.submit(id, job);
        true
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        self.take(id).is_some_and(|output| S::Job::put_into(output, job))
    }

    fn cancel_job(&mut self, id: JobId) {
        self.cancel(id);
    }
}
