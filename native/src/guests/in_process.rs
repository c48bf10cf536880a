//! Guests in the current process.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sinbin_core::driven::{
    Computed, Driven, DrivenHost, Event, PanicGuard, ServiceLimits, ServiceSettings, Tally, TurnOutput,
    compute,
};
use sinbin_core::job::WireJob;
use sinbin_core::kernel::Storage;
use sinbin_core::{Instant, Service, Task};

use crate::caught::caught;
use crate::guests::{Fault, Guest, GuestFactory, JobRunner};
use crate::memory::Memory;
use crate::observe::{Board, GuestTables};

/// Error returned when a guest cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Error returned when the service rejects its arguments.
    #[error("the service refuses its arguments: {0}")]
    Arguments(String),
    /// Error returned when the loop cannot be set up.
    #[error(transparent)]
    Loop(#[from] crate::Error),
}

/// The host of the tasks of a service that runs in the current process.
pub type InProcessHost<S> = DrivenHost<S, Memory>;

/// Creates guests that run in the current process: a service, and a [`Driven`] loop for it.
pub struct InProcess<M> {
    make: M,
}

impl<M> InProcess<M> {
    /// Creates a factory of guests. `make` creates the service from its arguments, or returns an error message for the
    /// user.
    pub fn new<S>(make: M) -> Self
    where
        M: Fn(&[String]) -> Result<S, String>,
    {
        Self { make }
    }
}

impl<M, S> GuestFactory for InProcess<M>
where
    M: Fn(&[String]) -> Result<S, String>,
    S: Service<Conn: Task<InProcessHost<S>>, Job: WireJob + 'static>,
{
    type Guest = Driven<S, Memory>;
    type JobRunner = Here<S::Job>;
    type Error = StartError;

    fn start(&self, start: &ServiceSettings) -> Result<(Self::Guest, ServiceLimits), StartError> {
        self.start_published(start, &GuestTables::new(&Board::off()))
    }

    fn start_published(
        &self,
        start: &ServiceSettings,
        tables: &GuestTables,
    ) -> Result<(Self::Guest, ServiceLimits), StartError> {
        let made = caught(|| (self.make)(&start.arguments));
        let made =
            made.unwrap_or_else(|said| Err(format!("the service could not be created: it panicked: {said}")));
        let service = made.map_err(StartError::Arguments)?;
        let (driven, takes) = start.begin_in(|limits| tables.storage(limits), service);
        Ok((driven.guard(GUARD), takes))
    }

    fn job_runner(&self) -> Here<S::Job> {
        Here(PhantomData)
    }
}

impl<S, M> Guest for Driven<S, M>
where
    S: Service<Conn: Task<DrivenHost<S, M>>, Job: WireJob>,
    M: Storage,
{
    fn turn(
        &mut self,
        now: Instant,
        window: u32,
        events: &[Event],
        input: &[u8],
    ) -> Result<TurnOutput, Fault> {
        let events = events.iter().copied();
        Ok(Driven::turn(self, now, window as usize, events, input.to_vec()))
    }

    fn counts(&mut self) -> Result<Tally, Fault> {
        Ok(Driven::counts(self))
    }
}

/// The guard for a guest in this process: a panic ends only the job or the connection's task in which it occurs.
const GUARD: PanicGuard = PanicGuard {
    call: |act| caught(act).err().map(|said| said.to_string()),
    report: |line| tracing::error!("{line}"),
};

/// Computes jobs in the current process, on the calling thread.
#[doc(hidden)]
pub struct Here<J>(PhantomData<fn() -> J>);

impl<J> Clone for Here<J> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<J: WireJob + 'static> JobRunner for Here<J> {
    fn compute(&self, job: &[u8], budget: u32, _: &Arc<AtomicBool>) -> Result<Computed, Fault> {
        Ok(compute::<J>(job, budget))
    }
}
