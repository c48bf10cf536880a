//! What happens to a service from outside, beside its clients; and what can be seen of it there.

use sinbin_core::{Service, Task};

use super::{ClientId, Scripted};
use crate::client_model::ClientModel;
use crate::world::World;

impl<S, T> Scripted<S, T>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    /// Asks the service to stop: nobody is accepted any more, and who has nothing to say is sent home.
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

    /// Cancels the task that serves the client, wherever it waits. Before the client is accepted there is none.
    pub fn cancel(&mut self, client: ClientId) {
        let (kernel, world) = self.run.kernel();
        if let Some(task) = world.peers[client.0].task {
            world.peers[client.0].cancelled = true;
            world.say_cancel(kernel, task);
        }
    }

    /// All workers die, and new ones take their places: the jobs that they computed are lost. Returns how many those are.
    /// Where the loop computes, that is none.
    pub fn lose_jobs(&mut self) -> usize {
        let (kernel, world) = self.run.kernel();
        let lost = world.work.die_all();
        for job in &lost {
            world.say_lost(kernel, *job);
        }
        lost.len()
    }

    /// Whether a job is being computed, or is done and nobody has taken its result.
    pub fn is_computing(&mut self) -> bool {
        !self.run.engine.platform.work.is_idle()
    }

    /// How many tasks the service has: one for its listener, one for each connection, and one for each that is closed and
    /// lingers.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.run.engine.executor.kernel.count()
    }

    /// How much the client has sent that the service has not read.
    #[must_use]
    pub fn unread(&self, client: ClientId) -> usize {
        self.run.engine.platform.peers[client.0].inbox.len()
    }
}
