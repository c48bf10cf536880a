//! Guests in this process.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sinbin_core::driven::{Answer, Computed, Counts, Driven, Event, Shell, Start, Takes, compute};
use sinbin_core::{Instant, Service, Task, WireJob};

use crate::driver::{Blueprint, Fault, Guest, Workshop};

/// Why there is no guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The service refuses its arguments.
    #[error("the service refuses its arguments: {0}")]
    Arguments(String),
    /// The loop could not be set up.
    #[error(transparent)]
    Loop(#[from] crate::Error),
}

/// Makes guests that run in this process: a service, and a [`Driven`] loop for it.
pub struct Inside<M> {
    make: M,
}

impl<M> Inside<M> {
    /// Guests of the service that `make` makes of its arguments; what is wrong with those is for the user.
    pub fn new<S>(make: M) -> Self
    where
        M: Fn(&[String]) -> Result<S, String>,
    {
        Self { make }
    }
}

impl<M, S> Blueprint for Inside<M>
where
    M: Fn(&[String]) -> Result<S, String>,
    S: Service<Conn: Task<Shell<S>>, Job: WireJob + 'static>,
{
    type Guest = Driven<S>;
    type Workshop = Here<S::Job>;
    type Error = Refused;

    fn start(&self, start: &Start) -> Result<(Driven<S>, Takes), Refused> {
        let service = (self.make)(&start.arguments).map_err(Refused::Arguments)?;
        Ok(start.begin(service))
    }

    fn workshop(&self) -> Here<S::Job> {
        Here(PhantomData)
    }
}

impl<S> Guest for Driven<S>
where
    S: Service<Conn: Task<Shell<S>>, Job: WireJob>,
{
    fn turn(&mut self, now: Instant, window: u32, events: &[Event], input: &[u8]) -> Result<Answer, Fault> {
        let events = events.iter().copied();
        let turn = || Driven::turn(self, now, window as usize, events, input.to_vec());
        // What a panic leaves half done is dropped with the guest.
        catch_unwind(AssertUnwindSafe(turn)).map_err(|panic| panicked(&*panic))
    }

    fn counts(&mut self) -> Result<Counts, Fault> {
        Ok(Driven::counts(self))
    }
}

fn panicked(panic: &dyn Any) -> Fault {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("?");
    Fault(format!("it panicked: {text}"))
}

/// Computes jobs where it is called.
#[doc(hidden)]
pub struct Here<J>(PhantomData<fn() -> J>);

impl<J> Clone for Here<J> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<J: WireJob + 'static> Workshop for Here<J> {
    fn compute(&self, job: &[u8], budget: u32, _: &Arc<AtomicBool>) -> Result<Computed, Fault> {
        Ok(compute::<J>(job, budget))
    }
}
