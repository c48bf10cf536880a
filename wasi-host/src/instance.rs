//! An instance of a guest: its memory, its limits, and the calls to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sinbin::guests::LIMIT;
use sinbin::observe::{GuestMemory, GuestTables};
use wasmtime::component::{self, Component, Linker};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline};

use crate::contract::{Answer, Event, Limits, Progress, Service, ServicePre, Settings, Tally};
use crate::error::{Error, report};
use crate::interrupt;
use crate::names::Names;
use crate::panic::with_text;
use crate::program::{Program, is_program};
use crate::tables::{Mapped, Unpublished, ask, note_stack, publish};

/// The maximum number of bytes that a guest may return from one call, commands and output together. The host copies
/// them.
pub(crate) const ANSWER: usize = 64 << 20;
/// The optional interface of the contract that a service may export.
const BOUNDS: &str = "sinbin:service/bounds@0.1.0";

/// The component and the settings that instances are created from. A clone shares the component.
#[derive(Clone)]
pub struct GuestFactory {
    service: ServicePre<State>,
    max_memory: usize,
    turn_limit: Option<Duration>,
    is_over: Option<IsOver>,
    names: Names,
    is_program: bool,
}

/// A function that returns true if the running call has to end.
type IsOver = Arc<dyn Fn() -> bool + Send + Sync>;

impl GuestFactory {
    /// Creates a factory of instances of `component`. Each instance has at most `max_memory` bytes of memory. A call that takes
    /// longer than `turn_limit` is interrupted, provided that a [`Ticker`](crate::interrupt::Ticker) runs.
    ///
    /// # Errors
    ///
    /// Fails if the component does not export all that a service has to.
    pub fn new(
        component: &Component,
        max_memory: usize,
        turn_limit: Option<Duration>,
    ) -> Result<Self, wasmtime::Error> {
        let linker = Linker::new(component.engine());
        let service = ServicePre::new(linker.instantiate_pre(component)?)?;
        let is_program = is_program(component);
        Ok(Self { service, max_memory, turn_limit, is_over: None, names: Names::default(), is_program })
    }

    /// Also interrupts a call once `is_over` returns true. Each tick during a call evaluates `is_over`. This lets the
    /// host stop a guest while the loop itself is blocked in the call.
    #[must_use]
    pub fn until(self, is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { is_over: Some(Arc::new(is_over)), ..self }
    }

    /// Sets the names of the guest's functions, for reports of failures.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// Returns the names of the guest's functions.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Returns true if the component is a program, which works by itself and ends, instead of serving clients.
    #[must_use]
    pub fn is_program(&self) -> bool {
        self.is_program
    }

    /// Returns the engine of the component.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.service.engine()
    }

    /// Creates an instance without starting its service. This takes some microseconds.
    ///
    /// # Errors
    ///
    /// Fails if the system or the limits do not provide enough memory.
    pub fn instance(&self) -> Result<Instance, wasmtime::Error> {
        self.make().map(|(instance, _)| instance)
    }

    /// Creates an instance, and returns it with its exports.
    fn make(&self) -> Result<(Instance, component::Instance), wasmtime::Error> {
        // A service has one memory. The tables are those that the component model adds, and so are the instances, beside
        // those of libraries: a Python interpreter and its libraries have 38.
        let limits = StoreLimitsBuilder::new()
            .memory_size(self.max_memory)
            .memories(1)
            .tables(16)
            .table_elements(100_000)
            .instances(64)
            .trap_on_grow_failure(true)
            .build();
        let is_over = self.is_over.clone();
        let limit = self.turn_limit;
        let state = State { limits, first_tick: None, limit, cancelled: None, is_over, memory: None };
        let mut store = Store::new(self.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(ANSWER);
        let names = self.names.clone();
        store.epoch_deadline_callback(move |mut store| {
            let state = store.data();
            if let Some(memory) = state.memory.as_ref().filter(|_| state.first_tick.is_some()) {
                note_stack(&store, &names, memory);
            }
            store.data_mut().tick()
        });
        store.set_epoch_deadline(1);
        let exports = self.service.instance_pre().instantiate(&mut store)?;
        let service = Service::new(&mut store, &exports)?;
        let program = if self.is_program { Program::of(&exports, &mut store)? } else { None };
        Ok((Instance { store, service, program, mapped: None }, exports))
    }

    /// Creates an instance and starts its service. Returns the instance and the limits that the service has set.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Start`] if the instance can't be created or its start fails, and [`Error::Arguments`] if the
    /// service rejects its arguments.
    pub fn start(&self, settings: &Settings) -> Result<(Instance, Limits), Error> {
        self.start_bounded(settings, 0)
    }

    /// Creates and starts an instance as [`start`](Self::start) does, with at most `max_jobs` simultaneous jobs. The
    /// limit has an effect only if the service exports the interface `bounds`. 0 keeps the service's own limit.
    ///
    /// # Errors
    ///
    /// Fails as [`start`](Self::start) does.
    pub fn start_bounded(&self, settings: &Settings, max_jobs: u32) -> Result<(Instance, Limits), Error> {
        self.start_with_exports(settings, max_jobs, false).map(|(instance, _, limits)| (instance, limits))
    }

    /// Creates and starts an instance as [`start_bounded`](Self::start_bounded) does, and publishes its tables in
    /// `tables`, so that other processes can look at its tasks.
    ///
    /// # Errors
    ///
    /// Fails as [`start`](Self::start) does.
    pub fn start_published(
        &self,
        settings: &Settings,
        max_jobs: u32,
        tables: &GuestTables,
    ) -> Result<(Instance, Limits), Error> {
        let is_published = tables.are_published();
        let (mut instance, exports, limits) = self.start_with_exports(settings, max_jobs, is_published)?;
        if is_published {
            match publish(&mut instance.store, &exports, tables) {
                Ok((memory, mapped)) => {
                    instance.store.data_mut().memory = Some(memory);
                    instance.mapped = mapped;
                }
                Err(Unpublished::Harmless(error)) => {
                    tracing::warn!(%error, "other processes can't look at the guest's tasks");
                }
                Err(Unpublished::Fatal(error)) => {
                    return Err(Error::Start(self.names.insert_into(report(&error))));
                }
            }
        }
        Ok((instance, limits))
    }

    fn start_with_exports(
        &self,
        settings: &Settings,
        max_jobs: u32,
        is_published: bool,
    ) -> Result<(Instance, component::Instance, Limits), Error> {
        let failed = |error| Error::Start(self.names.insert_into(report(&error)));
        let (mut instance, exports) = self.make().map_err(failed)?;
        instance.begin(None);
        if max_jobs > 0 {
            bound_jobs(&mut instance.store, &exports, max_jobs).map_err(failed)?;
        }
        if is_published {
            ask(&mut instance.store, &exports).map_err(failed)?;
        }
        let Instance { store, service, .. } = &mut instance;
        let limits = service.sinbin_service_guest().call_start(&mut *store, settings);
        let limits = limits.map_err(|error| failed(with_text(error, store)))?;
        let limits = limits.map_err(Error::Arguments)?;
        if !(1..=LIMIT).contains(&(limits.block as usize)) {
            let block = limits.block;
            let what = format!("its block size is {block} bytes, but must be from 1 to {LIMIT}");
            return Err(Error::Start(what));
        }
        Ok((instance, exports, limits))
    }
}

/// Sets a service's limit on simultaneous jobs, if it exports the interface `bounds`.
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

/// The host's state of an instance, as far as it is not in the instance's memory.
pub struct State {
    limits: StoreLimits,
    /// The CPU time of this thread at the first tick in this call.
    first_tick: Option<Duration>,
    limit: Option<Duration>,
    /// True once the result of the call is not needed.
    cancelled: Option<Arc<AtomicBool>>,
    is_over: Option<IsOver>,
    /// The memory in which the tables of the instance and its stack are published.
    memory: Option<GuestMemory>,
}

impl State {
    /// Decides at a tick whether the running call may continue. The timer of the ticks measures the CPU time of all
    /// threads together. The limit applies to the CPU time of this thread since its first tick, so a tick alone decides
    /// nothing.
    fn tick(&mut self) -> Result<UpdateDeadline, wasmtime::Error> {
        let now = interrupt::computed();
        let first = *self.first_tick.get_or_insert(now);
        if self.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Relaxed)) {
            return Err(wasmtime::format_err!("the job was cancelled"));
        }
        if self.is_over.as_ref().is_some_and(|is_over| is_over()) {
            return Err(wasmtime::format_err!("the drain timeout has expired"));
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
    program: Option<Program>,
    /// The tables that other processes can read.
    mapped: Option<Mapped>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mapped) = self.mapped.take() {
            mapped.restore(&self.store);
        }
    }
}

impl Instance {
    /// Passes events and input to the guest, which runs every task that is ready.
    ///
    /// # Errors
    ///
    /// Fails if the guest traps, is interrupted, or violates the rules of the component model. The instance is then
    /// unusable.
    pub fn turn(
        &mut self,
        now: u64,
        window: u32,
        events: &[Event],
        input: &[u8],
    ) -> Result<Answer, wasmtime::Error> {
        self.begin(None);
        let Self { store, service, .. } = self;
        let answer = service.sinbin_service_guest().call_turn(&mut *store, now, window, events, input);
        answer.map_err(|error| with_text(error, store))
    }

    /// Returns what the guest has written to its standard output since the previous call: nothing if it is no program.
    ///
    /// # Errors
    ///
    /// Fails as [`turn`](Self::turn) does.
    pub fn output(&mut self) -> Result<Vec<u8>, wasmtime::Error> {
        self.begin(None);
        let Self { store, program: Some(program), .. } = self else { return Ok(Vec::new()) };
        program.output(store).map_err(|error| with_text(error, store))
    }

    /// Returns the exit code of the guest, or 0 if it is no program.
    ///
    /// # Errors
    ///
    /// Fails as [`turn`](Self::turn) does.
    pub fn exit_code(&mut self) -> Result<u8, wasmtime::Error> {
        self.begin(None);
        let Self { store, program: Some(program), .. } = self else { return Ok(0) };
        program.exit_code(store).map_err(|error| with_text(error, store))
    }

    /// Returns true if the guest is a program.
    #[must_use]
    pub fn is_program(&self) -> bool {
        self.program.is_some()
    }

    /// Returns the guest's counts since its start.
    ///
    /// # Errors
    ///
    /// Fails as [`turn`](Self::turn) does.
    pub fn counts(&mut self) -> Result<Tally, wasmtime::Error> {
        self.begin(None);
        let Self { store, service, .. } = self;
        let counts = service.sinbin_service_guest().call_counts(&mut *store);
        counts.map_err(|error| with_text(error, store))
    }

    /// Computes a slice of a job. Interrupts it at a tick if `cancelled` is true.
    ///
    /// # Errors
    ///
    /// Fails as [`turn`](Self::turn) does.
    pub fn compute(
        &mut self,
        job: &[u8],
        budget: u32,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<Progress, wasmtime::Error> {
        self.begin(Some(Arc::clone(cancelled)));
        let Self { store, service, .. } = self;
        let progress = service.sinbin_service_guest().call_compute(&mut *store, job, budget);
        progress.map_err(|error| with_text(error, store))
    }

    fn begin(&mut self, cancelled: Option<Arc<AtomicBool>>) {
        let state = self.store.data_mut();
        state.first_tick = None;
        state.cancelled = cancelled;
    }
}
