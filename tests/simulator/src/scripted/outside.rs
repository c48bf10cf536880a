//! Events from outside of the service other than those of its clients, and observations of the service.

use sinbin_core::{Service, Task};

use super::{ClientId, Scripted};
use crate::client_model::ClientModel;
use crate::world::World;

impl<S, T> Scripted<S, T>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    /// Asks the service to stop: no more connections are accepted, and idle connections are closed.
    pub fn stop(&mut self) {
        self.run.engine.platform.stop();
    }

    /// Closes the listener, as if the host had lost it. Clients that were not accepted yet are refused.
    pub fn close_listener(&mut self) {
        let (kernel, world) = self.run.kernel();
        if let Some(listener) = world.listener {
            world.say_closed(kernel, listener);
            world.close_listener();
        }
    }

    /// Cancels the task that serves the client, wherever it waits. Has no effect before the client is accepted.
    pub fn cancel(&mut self, client: ClientId) {
        let (kernel, world) = self.run.kernel();
        if let Some(task) = world.peers[client.0].task {
            world.peers[client.0].cancelled = true;
            world.say_cancel(kernel, task);
        }
    }

    /// Replaces all workers, as if they had died. The jobs that they computed are lost. Returns the number of lost
    /// jobs, which is 0 if the loop computes jobs.
    pub fn lose_jobs(&mut self) -> usize {
        let (kernel, world) = self.run.kernel();
        let lost = world.work.die_all();
        for job in &lost {
            world.say_lost(kernel, *job);
        }
        lost.len()
    }

    /// Returns true if a job is being computed, or has a result that was not taken yet.
    pub fn is_computing(&mut self) -> bool {
        !self.run.engine.platform.work.is_idle()
    }

    /// Returns the number of the service's tasks: one for the listener, one for each connection, and one for each
    /// closed connection that lingers.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.run.engine.executor.kernel.count()
    }

    /// Returns the number of bytes that the client has sent and the service has not read.
    #[must_use]
    pub fn unread(&self, client: ClientId) -> usize {
        self.run.engine.platform.peers[client.0].inbox.len()
    }
}
