//! Guests in this process.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sinbin_core::driven::{
    Computed, Driven, DrivenHost, Event, PanicGuard, ServiceLimits, ServiceSettings, Tally, TurnOutput,
    compute,
};
use sinbin_core::{Instant, Service, Task, WireJob};

use crate::caught::caught;
use crate::guests::{Fault, Guest, GuestFactory, JobRunner};

/// Why there is no guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The service refuses its arguments.
    #[error("the service refuses its arguments: {0}")]
    Arguments(String),
    /// The loop could not be set up.
    #[error(transparent)]
    Loop(#[from] crate::Error),
}

/// Makes guests that run in this process: a service, and a [`Driven`] loop for it.
pub struct InProcess<M> {
    make: M,
}

impl<M> InProcess<M> {
    /// Guests of the service that `make` makes of its arguments; what is wrong with those is for the user.
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
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob + 'static>,
{
    type Guest = Driven<S>;
    type JobRunner = Here<S::Job>;
    type Error = StartError;

    fn start(&self, start: &ServiceSettings) -> Result<(Driven<S>, ServiceLimits), StartError> {
        let made = caught(|| (self.make)(&start.arguments));
        let made =
            made.unwrap_or_else(|said| Err(format!("the service could not be made: it panicked: {said}")));
        let (driven, takes) = start.begin(made.map_err(StartError::Arguments)?);
        Ok((driven.guard(GUARD), takes))
    }

    fn job_runner(&self) -> Here<S::Job> {
        Here(PhantomData)
    }
}

impl<S> Guest for Driven<S>
where
    S: Service<Conn: Task<DrivenHost<S>>, Job: WireJob>,
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

/// The guard for a guest in this process: a job or a connection's task that panics is lost alone.
const GUARD: PanicGuard = PanicGuard {
    call: |act| caught(act).err().map(|said| said.to_string()),
    report: |line| tracing::error!("{line}"),
};

/// Computes jobs where it is called.
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
