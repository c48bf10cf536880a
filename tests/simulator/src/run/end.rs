//! The end of a run: no resource may be left.

use sinbin_core::serve::{Engine, Platform};
use sinbin_core::{Kernel, Limits, Service, Task};

use crate::client_model::ClientModel;
use crate::rng::Rng;
use crate::run::Simulation;
use crate::world::World;

impl<S, T, M> Simulation<S, T, M>
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
    M: FnMut(&mut Rng) -> T,
{
    /// Checks, after the run, that no resource is left.
    pub(crate) fn check_end(&mut self) -> Result<(), String> {
        let Engine { executor, platform: world, .. } = &mut self.engine;
        executor
            .kernel
            .audit()
            .map_err(|broken| format!("the audit failed at the end, this does not hold: {}", broken.0))?;
        let lent = executor.blocks_lent();
        let sources = world.sources.iter().count();
        let connections = world.room().open();
        let fresh = room(&mut Kernel::new(&world.plan.capacity.limits()));
        let left = room(&mut executor.kernel);
        world.check_calls()?;
        match () {
            () if lent > 0 => Err(format!("{lent} blocks of bytes were not returned")),
            () if !world.work.is_idle() => Err("a job is computed that no task waits for".to_owned()),
            () if sources > 0 => Err(format!("{sources} sources were not closed")),
            () if connections > 0 => Err(format!("{connections} connections are still counted")),
            () if left != fresh => {
                Err(format!("of {fresh:?} slots for tasks, sources and jobs, {left:?} are free at the end"))
            }
            () => Ok(()),
        }
    }
}

/// Returns the numbers of tasks, sources and jobs that still fit.
fn room(kernel: &mut Kernel<Limits>) -> [usize; 3] {
    let tasks = std::iter::from_fn(|| kernel.spawn().ok()).count();
    let sources = std::iter::from_fn(|| kernel.open().ok()).count();
    let jobs = std::iter::from_fn(|| kernel.begin_job().ok()).count();
    [tasks, sources, jobs]
}
