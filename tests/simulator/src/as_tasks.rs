//! Services that are `async fn`s, in a run.

use std::net::SocketAddr;
use std::pin::pin;

use sinbin_core::task::{Async, AsyncHost, AsyncService, Carry, Conn, Door, Loop, Mixed, NoWakers, Pool};
use sinbin_core::{Host, IoError, JobId, Jobs, SourceId};

use crate::luck::Luck;
use crate::plan::Plan;
use crate::report::Ended;
use crate::run::Simulation;
use crate::story::Story;
use crate::talk::Talk;
use crate::tasks::SimTask;
use crate::world::{Role, World};

impl<'d, M: Fn(Conn<'d>) -> F, F: Future + 'd> From<Async<'d>> for SimTask<AsyncService<'d, M, F>> {
    fn from(task: Async<'d>) -> Self {
        Self::Serve(Mixed::Other(task), SourceId::from_bits(u64::MAX))
    }
}

impl<'d, M, F, T> AsyncHost<'d> for World<AsyncService<'d, M, F>, T>
where
    M: Fn(Conn<'d>) -> F,
    F: Future + 'd,
    T: Talk,
    Self: Host<Task: From<Async<'d>>>,
{
    fn shutdown(&mut self, source: SourceId) -> Result<(), IoError> {
        let Some(Role::Peer(number)) = self.entry(source).map(|entry| entry.role) else {
            return Err(IoError::Closed);
        };
        self.peers[number].shut = true;
        self.rouse(number);
        Ok(())
    }

    fn peer(&self, _: SourceId) -> Option<SocketAddr> {
        None
    }

    fn hire(&mut self, id: JobId, job: &mut dyn Carry) -> bool {
        let Some(job) = job.boxed() else { return false };
        self.submit(id, job);
        true
    }

    fn collect(&mut self, id: JobId, job: &mut dyn Carry) -> bool {
        self.take(id).is_some_and(|mut output| job.put(&mut *output))
    }

    fn dismiss(&mut self, id: JobId) {
        self.cancel(id);
    }
}

/// A run of a service that is an `async fn`, by `plan`, for clients that `talks` makes; told as a story if that is asked
/// for.
///
/// Wakers that cross threads are of no use here: there are none.
pub fn simulate_tasks<T: Talk, R: 'static>(
    service: impl AsyncFn(Conn<'_>, Loop<'_>) -> R,
    plan: &Plan,
    luck: Luck,
    talks: impl FnMut(&mut Luck) -> T,
    told: bool,
) -> Ended {
    run(service, plan, luck, talks, Story::of(told), false)
}

/// The same of a service whose tasks do not wake or cancel each other: that nobody else does so is checked.
pub(crate) fn simulate_lone_tasks<T: Talk, R: 'static>(
    service: impl AsyncFn(Conn<'_>, Loop<'_>) -> R,
    plan: &Plan,
    luck: Luck,
    talks: impl FnMut(&mut Luck) -> T,
    story: Story,
) -> Ended {
    run(service, plan, luck, talks, story, true)
}

fn run<T: Talk, R: 'static>(
    service: impl AsyncFn(Conn<'_>, Loop<'_>) -> R,
    plan: &Plan,
    luck: Luck,
    talks: impl FnMut(&mut Luck) -> T,
    story: Story,
    tasks_ask_nothing: bool,
) -> Ended {
    let door = Door::new(&NoWakers);
    let on = Loop::new(&door);
    let pool = pin!(Pool::growing(u32::try_from(plan.rooms.tasks).unwrap_or(u32::MAX)));
    let service = AsyncService::new(on, pool.as_ref(), |conn| service(conn, on));
    let mut run = Simulation::telling(service, plan, luck, talks, story);
    run.world.evidence.tasks_ask_nothing = tasks_ask_nothing;
    run.run_recorded()
}
