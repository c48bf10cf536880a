//! An instance of a guest: its memory, its limits, and the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sinbin::guests::LIMIT;
use wasmtime::component::{self, Component, Linker};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline};

use crate::contract::{Answer, Event, Limits, Progress, Service, ServicePre, Settings, Tally};
use crate::error::{Error, report};
use crate::interrupt;

/// Bytes that a guest may answer with in one call, commands and output together: the host has a copy of them.
pub(crate) const ANSWER: usize = 64 << 20;
/// An interface that a service may export beside the contract's own.
const BOUNDS: &str = "sinbin:service/bounds@0.1.0";

/// What an instance is made of. A clone is the same.
#[derive(Clone)]
pub struct GuestFactory {
    service: ServicePre<State>,
    max_memory: usize,
    turn_limit: Option<Duration>,
    is_over: Option<IsOver>,
}

/// Says whether no call may go on.
type IsOver = Arc<dyn Fn() -> bool + Send + Sync>;

impl GuestFactory {
    /// A blueprint of `component`: each instance has `max_memory` bytes at the most, and a call of it that takes longer
    /// than `turn_limit` is interrupted (as far as [`Ticker`](crate::interrupt::Ticker) ticks).
    ///
    /// # Errors
    ///
    /// What the component lacks of a service.
    pub fn new(
        component: &Component,
        max_memory: usize,
        turn_limit: Option<Duration>,
    ) -> Result<Self, wasmtime::Error> {
        let linker = Linker::new(component.engine());
        let service = ServicePre::new(linker.instantiate_pre(component)?)?;
        Ok(Self { service, max_memory, turn_limit, is_over: None })
    }

    /// Also interrupts a call once `is_over` returns true. `is_over` is asked now and then while a call computes, since
    /// a loop that waits for its guest hears nothing itself.
    #[must_use]
    pub fn until(self, is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_over: Some(Arc::new(is_over)), ..self }
    }

    /// Of which engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.service.engine()
    }

    /// An instance that is not started. Some microseconds.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub fn instance(&self) -> Result<Instance, wasmtime::Error> {
        self.make().map(|(instance, _)| instance)
    }

    /// Makes an instance, and returns it with its exports.
    fn make(&self) -> Result<(Instance, component::Instance), wasmtime::Error> {
        // A service has one memory; of the rest it has what the component model makes for it.
        let limits = StoreLimitsBuilder::new()
            .memory_size(self.max_memory)
            .memories(1)
            .tables(16)
            .table_elements(100_000)
            .instances(16)
            .trap_on_grow_failure(true)
            .build();
        let is_over = self.is_over.clone();
        let state = State { limits, first_tick: None, limit: self.turn_limit, cancelled: None, is_over };
        let mut store = Store::new(self.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(ANSWER);
        store.epoch_deadline_callback(|mut store| store.data_mut().tick());
        store.set_epoch_deadline(1);
        let exports = self.service.instance_pre().instantiate(&mut store)?;
        let service = Service::new(&mut store, &exports)?;
        Ok((Instance { store, service }, exports))
    }

    /// An instance that is started, and what it takes.
    ///
    /// # Errors
    ///
    /// When it can't be made; when it refuses its arguments.
    pub fn start(&self, settings: &Settings) -> Result<(Instance, Limits), Error> {
        self.start_bounded(settings, 0)
    }

    /// Starts an instance as [`start`](Self::start) does, and tells one that can be told to have no more than `max_jobs` jobs
    /// at a time; 0 leaves that to the service.
    ///
    /// # Errors
    ///
    /// As those of [`start`](Self::start).
    pub fn start_bounded(&self, settings: &Settings, max_jobs: u32) -> Result<(Instance, Limits), Error> {
        let failed = |error| Error::Start(report(&error));
        let (mut instance, exports) = self.make().map_err(failed)?;
        instance.begin(None);
        if max_jobs > 0 {
            bound_jobs(&mut instance.store, &exports, max_jobs).map_err(failed)?;
        }
        let Instance { store, service } = &mut instance;
        let limits = service.sinbin_service_guest().call_start(store, settings).map_err(failed)?;
        let limits = limits.map_err(Error::Arguments)?;
        if !(1..=LIMIT).contains(&(limits.block as usize)) {
            let block = limits.block;
            let what = format!("it takes {block} bytes of a source in a turn, and there can be 1 to {LIMIT}");
            return Err(Error::Start(what));
        }
        Ok((instance, limits))
    }
}

/// Tells a service how many jobs there may be at a time, if it exports what it can be told by.
fn bound_jobs(
    store: &mut Store<State>,
    exports: &component::Instance,
    max_jobs: u32,
) -> Result<(), wasmtime::Error> {
    let Some(bounds) = exports.get_export_index(&mut *store, None, BOUNDS) else { return Ok(()) };
    let Some(function) = exports.get_export_index(&mut *store, Some(&bounds), "max-jobs") else {
        return Ok(());
    };
    exports.get_typed_func::<(u32,), ()>(&mut *store, function)?.call(&mut *store, (max_jobs,))
}

/// What the host keeps of a call, beside the instance's memory.
pub struct State {
    limits: StoreLimits,
    /// How long this thread had computed when the clock first ticked in this call.
    first_tick: Option<Duration>,
    limit: Option<Duration>,
    /// Somebody wants no result any more.
    cancelled: Option<Arc<AtomicBool>>,
    is_over: Option<IsOver>,
}

impl State {
    /// The guest still runs when the clock ticks: whether it may go on. The clock ticks by what all threads compute, so a
    /// tick is only the occasion to look; what counts is the time that this thread has computed since the first.
    fn tick(&mut self) -> Result<UpdateDeadline, wasmtime::Error> {
        let now = interrupt::computed();
        let first = *self.first_tick.get_or_insert(now);
        if self.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Relaxed)) {
            return Err(wasmtime::format_err!("nobody wants the result any more"));
        }
        if self.is_over.as_ref().is_some_and(|is_over| is_over()) {
            return Err(wasmtime::format_err!("the time to drain is over"));
        }
        match self.limit {
            Some(limit) if now.saturating_sub(first) >= limit.mul_f32(interrupt::REST) => {
                Err(wasmtime::format_err!("the call takes longer than the limit of {limit:?}"))
            }
            _ => Ok(UpdateDeadline::Continue(1)),
        }
    }
}

/// An instance of a guest.
pub struct Instance {
    store: Store<State>,
    service: Service,
}

impl Instance {
    /// Tells what happened, and runs every task that can run for it.
    ///
    /// # Errors
    ///
    /// When the guest traps, is interrupted, or breaks the component model's rules. The instance is of no use then.
    pub fn turn(
        &mut self,
        now: u64,
        window: u32,
        events: &[Event],
        input: &[u8],
    ) -> Result<Answer, wasmtime::Error> {
        self.begin(None);
        let Self { store, service } = self;
        service.sinbin_service_guest().call_turn(store, now, window, events, input)
    }

    /// What the guest has counted since it was started.
    ///
    /// # Errors
    ///
    /// As with [`turn`](Self::turn).
    pub fn counts(&mut self) -> Result<Tally, wasmtime::Error> {
        self.begin(None);
        let Self { store, service } = self;
        service.sinbin_service_guest().call_counts(store)
    }

    /// Computes a slice of a job, unless it is cancelled meanwhile.
    ///
    /// # Errors
    ///
    /// As with [`turn`](Self::turn).
    pub fn compute(
        &mut self,
        job: &[u8],
        budget: u32,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<Progress, wasmtime::Error> {
        self.begin(Some(Arc::clone(cancelled)));
        let Self { store, service } = self;
        service.sinbin_service_guest().call_compute(store, job, budget)
    }

    fn begin(&mut self, cancelled: Option<Arc<AtomicBool>>) {
        let state = self.store.data_mut();
        state.first_tick = None;
        state.cancelled = cancelled;
    }
}
