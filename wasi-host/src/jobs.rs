//! The jobs of a guest. Each worker thread computes them in its own instance.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sinbin::driven::Computed;
use sinbin::guests::{Fault, JobRunner};

use crate::contract::Progress;
use crate::error::fault;
use crate::instance::{GuestFactory, Instance};

/// A handle for computing jobs. Clones share their state.
#[derive(Clone)]
pub struct SandboxedJobs(Arc<Tools>);

/// The factory of the instances that compute jobs.
struct Tools {
    /// A number that identifies the shop within the process.
    number: u64,
    factory: GuestFactory,
}

thread_local! {
    /// The instance of this worker thread, and the number of the shop that it belongs to.
    static INSTANCE: RefCell<Option<(u64, Instance)>> = const { RefCell::new(None) };
}

impl SandboxedJobs {
    pub(crate) fn new(factory: GuestFactory) -> Self {
        static SHOPS: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Tools { number: SHOPS.fetch_add(1, Ordering::Relaxed), factory }))
    }

    fn slice(
        &self,
        job: &[u8],
        budget: u32,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<Progress, wasmtime::Error> {
        let tools = &*self.0;
        INSTANCE.with_borrow_mut(|place| {
            if place.as_ref().is_none_or(|(shop, _)| *shop != tools.number) {
                *place = Some((tools.number, tools.factory.instance()?));
            }
            let Some((_, instance)) = place else { unreachable!("it was put there") };
            // An instance that has failed is unusable.
            instance.compute(job, budget, cancelled).inspect_err(|_| *place = None)
        })
    }
}

impl JobRunner for SandboxedJobs {
    fn compute(&self, job: &[u8], budget: u32, cancelled: &Arc<AtomicBool>) -> Result<Computed, Fault> {
        match self.slice(job, budget, cancelled) {
            Ok(Progress::More(job)) => Ok(Computed::More(job)),
            Ok(Progress::Done(result)) => Ok(Computed::Done(result)),
            Ok(Progress::Nonsense) => Ok(Computed::Nonsense),
            Err(error) => Err(fault(&error, self.0.factory.names())),
        }
    }
}
