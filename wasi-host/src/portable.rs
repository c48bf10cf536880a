//! A host for ordinary WASI commands, of version 0.2 or 0.3. The commands need not use sinbin.
//!
//! A guest gets its arguments, the standard streams, the clocks and random numbers. It can listen on and connect to the
//! addresses in [`Settings`], and no others, and it has access to no other files and environment variables than those in
//! the settings. A request that the guest stops ([`Stopper`]) ends its stdin and makes its listeners refuse connections.
//!
//! Such a guest runs its own loop. Its sockets, streams, timers and `poll` are those of this host, on the reactor of the
//! native host: readiness is known from the events of the system, and a `poll` costs a few comparisons for each of its
//! pollables. Files, random numbers and the time of day are those of wasmtime-wasi. The whole guest runs on one thread,
//! except for the lookup of names and, in WASI 0.3 with directories, some of the work on files. A guest that does not end on request is ended by the host: see
//! [`Settings::drain_timeout`].

mod addresses;
mod clock;
mod io;
mod leaving;
mod limits;
mod link;
mod listener;
mod lookup;
mod network;
mod notes;
mod output;
mod p3;
mod poll;
pub mod recording;
mod slots;
mod socket_options;
mod sources;
mod stdin;
mod stdio;
mod stopper;
mod stream;
mod streams;
mod tasks;
mod tcp;
mod udp;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sinbin::observe::GuestMemory;
use wasmtime::component::{Component, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::p2::bindings::sync::{Command, CommandPre};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx, WasiCtxView, WasiView};

pub use network::{Network, ParsePeerError, Peer};
pub use output::Output;
pub use stdin::Input;
pub use stopper::{Stopper, stopper};

use io::{Ended, Io};
use limits::Limits;
use link::linker;
use output::Lines;
use recording::{Recorded, Recorder, Recording, Trace};
use sources::Most;
use stdio::Stdio;
use stopper::Stopping;

use crate::names::Names;
use crate::tables::note_stack;
use crate::world;

/// The maximum number of bytes that a guest may pass in one call, in addition to a list of resources.
const PIECE: usize = 1 << 20;

/// The maximum number of random bytes that a guest gets in one call.
const MAX_RANDOM: u64 = 1 << 20;

/// The number of handles of a guest beside those of its resources, such as those of files.
const HANDLES: usize = 4096;

/// The settings of a guest.
pub struct Settings {
    /// The name of the program, which is the first argument that the guest receives.
    pub program: String,
    /// The arguments after the name of the program.
    pub arguments: Vec<String>,
    /// The addresses that the guest may listen on and connect to.
    pub network: Network,
    /// The maximum size of the guest's memories and tables together, in bytes. A guest that exceeds it is ended.
    pub max_memory: usize,
    /// The maximum number of resources that the guest may hold: sockets, streams, pollables. A guest that exceeds it,
    /// or that polls more resources in one call, is ended.
    pub max_resources: usize,
    /// The maximum number of sockets that are not listening. At this limit, clients wait in the backlog of the listener,
    /// and the guest can create no more sockets.
    pub max_connections: usize,
    /// The maximum number of listeners.
    pub max_listeners: usize,
    /// The maximum number of bytes that the host holds back for all connections together, until their peers receive
    /// them. Each connection may always have 4 KiB.
    pub max_buffered: usize,
    /// The directories that the guest may access.
    pub directories: Vec<Directory>,
    /// The names and values of the environment variables of the guest.
    pub environment: Vec<(String, String)>,
    /// The guest's stdin. `None` means that it contains nothing, and ends with the request to stop.
    pub stdin: Option<Input>,
    /// The guest's end of the request to stop, which ends its stdin.
    pub stopping: Stopping,
    /// The destination of the guest's stdout. The guest waits while it has no capacity.
    pub stdout: Arc<dyn Output>,
    /// The function that is called with each line of the guest's stderr, without the newline. A line of more than 1 KiB
    /// is split. Control characters in the line are not escaped.
    pub stderr: fn(&str),
    /// The time that the guest may take to end after the end of its stdin. The host waits one second longer, so that a
    /// guest with the same limit can end by itself, and then ends the guest. `None` means no limit.
    ///
    /// A guest that computes can be ended only if a [`Ticker`](crate::Ticker) runs.
    pub drain_timeout: Option<Duration>,
    /// True if other processes of the user may look at what the guest waits for (`sinbin ps`), and at its stack. Linux only.
    pub observe: bool,
}

/// A directory that a guest may access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// The path of the directory.
    pub host: PathBuf,
    /// The path by which the guest knows the directory.
    pub guest: String,
    /// True if the guest may not change anything in it.
    pub is_read_only: bool,
}

/// The way in which a guest ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The guest exited with this code.
    Exited(i32),
    /// The host ended the guest on request, when it waited for new connections only.
    Drained,
    /// The host ended the guest, since it did not end within the drain timeout.
    Cut,
}

/// An error of a guest, or of its start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The poller or the guest's stdin could not be created.
    #[error("cannot wait for the guest's sockets: {0}")]
    Runtime(std::io::Error),
    /// A directory could not be opened.
    #[error("cannot open the directory {} for the guest: {error:#}", .path.display())]
    Directory {
        /// The path of the directory.
        path: PathBuf,
        /// The error of the system.
        error: wasmtime::Error,
    },
    /// The guest imports something that this host does not provide, does not export `wasi:cli/run`, or needs more
    /// memory at its start than it may have.
    #[error("the guest cannot be started as a WASI command: {0:#}")]
    Link(wasmtime::Error),
    /// The guest is a command of WASI 0.3, whose calls can't be recorded.
    #[error("calls of WASI 0.3 cannot be recorded or traced yet: only those of WASI 0.2 can")]
    Unrecorded,
    /// The guest trapped, or exceeded a limit. The message contains its backtrace.
    #[error("the guest trapped: {}", crate::error::report(.0))]
    Trap(wasmtime::Error),
}

/// The host's state of a guest.
struct Guest {
    /// The state of wasmtime-wasi.
    wasi: WasiCtx,
    /// The errors and files of the guest.
    table: ResourceTable,
    limits: Limits,
    io: Io,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Checks that this host provides all imports of a command, and that it exports `wasi:cli/run`.
///
/// # Errors
///
/// Returns [`Error::Link`], which names what is missing.
pub fn check(component: &Component) -> Result<(), Error> {
    if is_asynchronous(component) {
        let linker = p3::linker(component.engine()).map_err(Error::Link)?;
        let checked = linker.instantiate_pre(component).and_then(p3::check);
        return checked.map_err(Error::Link);
    }
    let linker = linker(component.engine()).map_err(Error::Link)?;
    linker.instantiate_pre(component).and_then(CommandPre::new).map(drop).map_err(Error::Link)
}

/// Returns true if a component is a command of WASI 0.3, whose calls are asynchronous. Its engine is another one than that
/// of a WASI 0.2 command.
#[must_use]
pub fn is_asynchronous(component: &Component) -> bool {
    let exports = component.component_type();
    exports.exports(component.engine()).any(|(name, _)| world::is_asynchronous(name))
}

/// Checks that this host provides all imports of a component, which need not be a command.
pub(crate) fn check_imports(component: &Component, is_asynchronous: bool) -> Result<(), Error> {
    let engine = component.engine();
    let linker = if is_asynchronous { p3::linker(engine) } else { linker(engine) };
    let linker = linker.map_err(Error::Link)?;
    linker.instantiate_pre(component).map(drop).map_err(Error::Link)
}

/// The host's state of a command, whatever answers its calls.
trait StoreData: Send + 'static {
    /// Returns the limits on the memory of the command.
    fn limits(&mut self) -> &mut Limits;

    /// Checks whether the command, which computes, is to stop. This happens several times a second.
    ///
    /// # Errors
    ///
    /// Fails if the command is to be ended.
    fn tick(&mut self) -> wasmtime::Result<()>;

    /// Returns the memory for the stack of the command, if that is to be noted at this tick for other processes.
    fn stack_at_tick(&mut self) -> Option<Arc<GuestMemory>>;

    /// Sends the bytes that are held back, after the command has ended.
    fn finish_io(&mut self, outcome: Outcome);
}

impl StoreData for Guest {
    fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    fn tick(&mut self) -> wasmtime::Result<()> {
        self.io.look()
    }

    fn stack_at_tick(&mut self) -> Option<Arc<GuestMemory>> {
        self.io.notes.as_mut()?.stack_at_tick()
    }

    fn finish_io(&mut self, outcome: Outcome) {
        let open = self.io.sources.sockets;
        self.io.finish();
        if let Some(notes) = &self.io.notes {
            notes.ended(if outcome == Outcome::Cut { open } else { 0 });
        }
    }
}

/// Runs a command to its end on this thread. If the guest may access directories, this must not be a thread of a tokio
/// runtime.
///
/// The engine must be that of the component: [`Component::engine`].
///
/// # Errors
///
/// Fails if the command can't be linked, or traps.
pub fn run(engine: &Engine, component: &Component, settings: Settings) -> Result<Outcome, Error> {
    let runtime = runtime(&settings)?;
    let _entered = runtime.as_ref().map(tokio::runtime::Runtime::enter);
    let max_resources = settings.max_resources;
    if is_asynchronous(component) {
        let linker = p3::linker(engine).map_err(Error::Link)?;
        return execute(engine, component, &linker, guest(settings)?, max_resources, p3::run).0;
    }
    let linker = linker(engine).map_err(Error::Link)?;
    execute(engine, component, &linker, guest(settings)?, max_resources, call).0
}

/// Runs a command as [`run`] does. Records its calls, and passes each of them to `trace`.
///
/// # Errors
///
/// Fails as [`run`] does. An error of the recording is logged.
pub fn run_recorded(
    engine: &Engine,
    component: &Component,
    settings: Settings,
    recording: Option<Recording>,
    trace: Option<Trace>,
) -> Result<Outcome, Error> {
    if is_asynchronous(component) {
        return Err(Error::Unrecorded);
    }
    let linker = link::recorded_linker(engine).map_err(Error::Link)?;
    let runtime = runtime(&settings)?;
    let _entered = runtime.as_ref().map(tokio::runtime::Runtime::enter);
    let max_resources = settings.max_resources;
    let recorded = Recorded::new(guest(settings)?, Recorder::new(recording, trace));
    let (ended, recorded) = execute(engine, component, &linker, recorded, max_resources, call);
    recorded.finish(&ended);
    ended
}

/// Creates the runtime that wasmtime-wasi needs for files. Without one, it would start one with several threads.
fn runtime(settings: &Settings) -> Result<Option<tokio::runtime::Runtime>, Error> {
    if settings.directories.is_empty() {
        return Ok(None);
    }
    tokio::runtime::Builder::new_current_thread().build().map(Some).map_err(Error::Runtime)
}

/// Runs a command to its end. Returns its outcome, and the state of its host.
fn execute<T: StoreData>(
    engine: &Engine,
    component: &Component,
    linker: &Linker<T>,
    data: T,
    max_resources: usize,
    call: impl FnOnce(&mut Store<T>, &Component, &Linker<T>) -> Result<Returned, Error>,
) -> (Result<Outcome, Error>, T) {
    let mut store = store(engine, data, max_resources);
    let ended = call(&mut store, component, linker).and_then(outcome);
    if let Ok(outcome) = ended {
        store.data_mut().finish_io(outcome);
    }
    (ended, store.into_data())
}

/// The result of the function `run` of a command, or the error that ended it.
type Returned = wasmtime::Result<Result<(), ()>>;

/// Instantiates and calls a command of WASI 0.2.
fn call<T: StoreData>(
    store: &mut Store<T>,
    component: &Component,
    linker: &Linker<T>,
) -> Result<Returned, Error> {
    let command = Command::instantiate(&mut *store, component, linker).map_err(Error::Link)?;
    Ok(command.wasi_cli_run().call_run(store))
}

fn outcome(ended: Returned) -> Result<Outcome, Error> {
    match ended {
        Ok(ended) => Ok(Outcome::Exited(ended.is_err().into())),
        Err(error) => match (error.downcast_ref::<I32Exit>(), error.downcast_ref::<Ended>()) {
            (Some(exit), _) => Ok(Outcome::Exited(exit.0)),
            (_, Some(Ended::Cut)) => Ok(Outcome::Cut),
            (_, Some(Ended::Drained)) => Ok(Outcome::Drained),
            (None, None) => Err(Error::Trap(error)),
        },
    }
}

/// Creates the state of the host that answers a command's calls.
fn guest(settings: Settings) -> Result<Guest, Error> {
    let wasi = context(&settings)?;
    let Settings { network, max_memory, max_resources, max_connections, max_listeners, max_buffered, .. } =
        settings;
    let mut table = ResourceTable::new();
    table.set_max_capacity(max_resources);
    let most = Most { sockets: max_connections, listeners: max_listeners, unsent: max_buffered };
    let stdio = Stdio::new(settings.stdin, settings.stdout, Lines::new(settings.stderr));
    let io = Io::new(most, max_resources, network, stdio, settings.stopping, settings.drain_timeout);
    let mut io = io.map_err(Error::Runtime)?;
    if settings.observe {
        io.observe(&settings.program);
    }
    Ok(Guest { wasi, table, limits: Limits::new(max_memory), io })
}

fn store<T: StoreData>(engine: &Engine, data: T, max_resources: usize) -> Store<T> {
    let mut store = Store::new(engine, data);
    // The guest may pass a piece of a stream, or a list of all of its resources, in one call.
    store.set_hostcall_fuel(max_resources.saturating_mul(size_of::<Resource<()>>()).saturating_add(PIECE));
    // Each resource may be in a list, which counts as another handle. This host counts resources itself.
    store.set_max_component_handles(max_resources.saturating_mul(3).saturating_add(HANDLES));
    store.limiter(|data| data.limits());
    // A command may compute without limit. At each tick, the host checks whether it is to stop.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        if let Some(memory) = store.data_mut().stack_at_tick() {
            note_stack(&store, &Names::default(), &memory);
        }
        store.data_mut().tick()?;
        Ok(UpdateDeadline::Continue(1))
    });
    store
}

/// Creates the state of wasmtime-wasi, with what it provides to the guest.
fn context(settings: &Settings) -> Result<WasiCtx, Error> {
    let mut wasi = WasiCtx::builder();
    wasi.arg(&settings.program).args(&settings.arguments).envs(&settings.environment);
    wasi.max_random_size(MAX_RANDOM).allow_blocking_current_thread(true);
    for Directory { host, guest, is_read_only } in &settings.directories {
        let permissions = if *is_read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        wasi.preopened_dir(host, guest, permissions)
            .map_err(|error| Error::Directory { path: host.clone(), error })?;
    }
    Ok(wasi.build())
}
