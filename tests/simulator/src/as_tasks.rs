//! Simulation of services that are `async fn`s.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use sinbin_core::exec::{Connects, Jobs};
use sinbin_core::task::{
    Async, AsyncHost, AsyncService, Conn, ErasedJob, Handle, NoWakers, Pool, Resolver, RunContext,
};
use sinbin_core::{Host, IoError, JobId, SourceId};

use crate::client_model::ClientModel;
use crate::network::{Names, Network};
use crate::plan::Plan;
use crate::report::Ended;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::story::Story;
use crate::world::{Role, World};

impl<'d, M, F, T> AsyncHost<'d> for World<AsyncService<'d, M, F>, T>
where
    M: Fn(Conn<'d>) -> F,
    F: Future + 'd,
    T: ClientModel,
    Self: Host<Task: From<Async<'d>>>,
{
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        let number = match self.entry(source).map(|entry| entry.role) {
            Some(Role::Peer(number)) => number,
            Some(Role::Upstream(number)) => return self.shut_upstream(number),
            _ => return Err(IoError::Closed),
        };
        self.check_shut_client(number);
        self.peers[number].shut = true;
        self.rouse(number);
        Ok(())
    }

    fn peer(&self, _: SourceId) -> Option<SocketAddr> {
        None
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

    fn resolver(&self) -> Option<Arc<dyn Resolver>> {
        self.resolves_names().then(|| self.next_lookup())
    }

    fn submit_blocking(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let Some(job) = job.boxed().filter(|_| self.resolves_names()) else { return false };
        self.submit_lookup(id, job);
        true
    }

    fn submit_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        let Some(job) = job.boxed() else { return false };
        self.submit(id, job);
        true
    }

    fn take_job(&mut self, id: JobId, job: &mut dyn ErasedJob) -> bool {
        self.take(id).is_some_and(|mut output| job.put(&mut *output))
    }

    fn cancel_job(&mut self, id: JobId) {
        self.cancel(id);
    }
}

/// Runs a service that is an `async fn` by `plan`, with clients that `talks` creates. The run records its story if
/// `told` is set.
///
/// The run context has no wakers that cross threads, because a simulation has no other threads.
pub fn simulate_tasks<T: ClientModel, R: 'static>(
    service: impl AsyncFn(Conn<'_>, Handle<'_>) -> R,
    plan: &Plan,
    rng: Rng,
    talks: impl FnMut(&mut Rng) -> T,
    told: bool,
) -> Ended {
    run(service, plan, rng, talks, Story::of(told), false, None)
}

/// Runs a service whose tasks do not wake or cancel each other. The simulation checks that no task is woken or
/// cancelled except by the simulation itself.
pub(crate) fn simulate_lone_tasks<T: ClientModel, R: 'static>(
    service: impl AsyncFn(Conn<'_>, Handle<'_>) -> R,
    plan: &Plan,
    rng: Rng,
    talks: impl FnMut(&mut Rng) -> T,
    story: Story,
) -> Ended {
    run(service, plan, rng, talks, story, true, None)
}

/// Runs a service that is an `async fn` and calls out into `network`, by `plan`. If the network says that the service is
/// a relay, its clients are relayed ones ([`RelayTalk`](crate::client_model::RelayTalk)). The run records its story if
/// `told` is set.
pub fn simulate_callers<T: ClientModel, R: 'static>(
    service: impl AsyncFn(Conn<'_>, Handle<'_>) -> R,
    network: Network,
    plan: &Plan,
    rng: Rng,
    talks: impl FnMut(&mut Rng) -> T,
    told: bool,
) -> Ended {
    run(service, plan, rng, talks, Story::of(told), false, Some(network))
}

/// Runs a service that calls out. If the host resolves names, its tasks do not wake or cancel each other.
pub(crate) fn simulate_lone_callers<T: ClientModel, R: 'static>(
    service: impl AsyncFn(Conn<'_>, Handle<'_>) -> R,
    network: Network,
    plan: &Plan,
    rng: Rng,
    talks: impl FnMut(&mut Rng) -> T,
    story: Story,
) -> Ended {
    run(service, plan, rng, talks, story, network.names == Names::ByHost, Some(network))
}

fn run<T: ClientModel, R: 'static>(
    service: impl AsyncFn(Conn<'_>, Handle<'_>) -> R,
    plan: &Plan,
    rng: Rng,
    talks: impl FnMut(&mut Rng) -> T,
    story: Story,
    tasks_ask_nothing: bool,
    network: Option<Network>,
) -> Ended {
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let pool = pin!(Pool::growing(u32::try_from(plan.capacity.tasks).unwrap_or(u32::MAX)));
    let service = AsyncService::new(handle, pool.as_ref(), |conn| service(conn, handle));
    let mut run = Simulation::telling(service, plan, rng, talks, story);
    run.engine.platform.evidence.tasks_ask_nothing = tasks_ask_nothing;
    run.engine.platform.outgoing.network = network;
    run.run_recorded()
}
