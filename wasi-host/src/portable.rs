//! A host for ordinary WASI 0.2 commands, based on wasmtime-wasi. The commands need not use sinbin.
//!
//! A guest gets its arguments, stdout and stderr, the clocks and random numbers. It can listen on and connect to the
//! addresses in [`Settings`], and no others. It has no access to files, environment variables, UDP and host name
//! lookup. Its stdin is empty, and ends to request that the guest stops ([`Stopper`]).
//!
//! Such a guest runs its own loop. Each `poll` is a call into wasmtime-wasi, which polls the whole list each time. A
//! guest that does not end on request is ended by the host: see [`Settings::drain_timeout`].

mod limits;
mod network;
mod output;
mod poll;
mod stopper;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use wasmtime::component::{Component, Linker, Resource, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::add_to_linker_async;
use wasmtime_wasi::p2::bindings::{Command, CommandPre};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

pub use network::{Network, Peer};
pub use output::Output;
pub use stopper::{Stopper, stopper};

use limits::Limits;
use output::{Lines, Waiting};
use poll::Polls;
use stopper::Stopping;

/// The maximum number of bytes that a guest may pass in one call, in addition to a list of resources.
const PIECE: usize = 1 << 20;

/// The maximum number of random bytes that a guest gets in one call.
const MAX_RANDOM: u64 = 1 << 20;

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
    /// The guest's stdin, whose end is the request to stop.
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
}

/// The way in which a guest ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The guest exited with this code.
    Exited(i32),
    /// The host ended the guest, since it did not end within the drain timeout.
    Cut,
}

/// An error of a guest, or of its start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The async runtime or the guest's stdin could not be created.
    #[error("cannot wait for the guest's sockets: {0}")]
    Runtime(std::io::Error),
    /// The guest imports something that this host does not provide, does not export `wasi:cli/run`, or needs more
    /// memory at its start than it may have.
    #[error("the guest cannot be started as a WASI 0.2 command: {0:#}")]
    Link(wasmtime::Error),
    /// The guest trapped, or exceeded a limit. The message contains its backtrace.
    #[error("the guest trapped: {}", crate::error::report(.0))]
    Trap(wasmtime::Error),
}

/// The host's state of a guest.
struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: Limits,
    polls: Polls,
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
    let command = linker(component.engine())?.instantiate_pre(component).and_then(CommandPre::new);
    command.map(drop).map_err(Error::Link)
}

/// Checks that this host provides all imports of a component, which need not be a command.
pub(crate) fn check_imports(component: &Component) -> Result<(), Error> {
    linker(component.engine())?.instantiate_pre(component).map(drop).map_err(Error::Link)
}

/// Runs a command to its end on this thread, which must not be a thread of a tokio runtime.
///
/// # Errors
///
/// Fails if the command can't be linked, or traps.
pub fn run(engine: &Engine, component: &Component, settings: Settings) -> Result<Outcome, Error> {
    let linker = linker(engine)?;
    // A current-thread runtime polls sockets and timers on this thread. Another thread would have to wake this one.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let end = settings.stopping.end(settings.drain_timeout).map_err(Error::Runtime)?;
        let guest = async {
            let mut store = store(engine, settings)?;
            let command =
                Command::instantiate_async(&mut store, component, &linker).await.map_err(Error::Link)?;
            match command.wasi_cli_run().call_run(&mut store).await {
                Ok(ended) => Ok(Outcome::Exited(ended.is_err().into())),
                Err(error) => match error.downcast_ref::<I32Exit>() {
                    Some(exit) => Ok(Outcome::Exited(exit.0)),
                    None => Err(Error::Trap(error)),
                },
            }
        };
        // Tokio limits a task to 128 operations before it must yield; further operations report that nothing is ready.
        // There are no other tasks here, and a guest that polls more than 128 sockets at once would never see the
        // others ready.
        let mut guest = pin!(tokio::task::unconstrained(guest));
        let mut end = pin!(end);
        poll_fn(|cx| match guest.as_mut().poll(cx) {
            Poll::Pending => end.as_mut().poll(cx).map(|()| Ok(Outcome::Cut)),
            ended => ended,
        })
        .await
    })
}

fn linker(engine: &Engine) -> Result<Linker<Guest>, Error> {
    let mut linker = Linker::new(engine);
    add_to_linker_async(&mut linker).and_then(|()| poll::add_to_linker(&mut linker)).map_err(Error::Link)?;
    Ok(linker)
}

fn store(engine: &Engine, settings: Settings) -> Result<Store<Guest>, Error> {
    let Settings { program, arguments, network, max_memory, max_resources, stopping, stdout, stderr, .. } =
        settings;
    let mut wasi = WasiCtx::builder();
    wasi.arg(program)
        .args(&arguments)
        .stdin(stopping.into_stdin().map_err(Error::Runtime)?)
        .stdout(Waiting::new(stdout))
        .stderr(Lines::new(stderr));
    wasi.allow_tcp(true).allow_udp(false).allow_ip_name_lookup(false);
    wasi.socket_addr_check(move |address, purpose| {
        let allowed = network.allows(address, purpose);
        Box::pin(async move { allowed })
    });
    wasi.max_random_size(MAX_RANDOM);
    let mut table = ResourceTable::new();
    table.set_max_capacity(max_resources);
    let guest = Guest { wasi: wasi.build(), table, limits: Limits::new(max_memory), polls: Polls::default() };
    let mut store = Store::new(engine, guest);
    // The guest may pass a piece of a stream, or a list of all of its resources, in one call.
    store.set_hostcall_fuel(max_resources.saturating_mul(size_of::<Resource<()>>()).saturating_add(PIECE));
    store.limiter(|guest| &mut guest.limits);
    // A command may compute without limit. It yields at each tick, so that the host can poll the drain timeout.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    Ok(store)
}
