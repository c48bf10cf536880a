//! Running ordinary WASI 0.2 commands: guests that know nothing of sinbin, on wasmtime-wasi.
//!
//! A guest gets its arguments, stdout and stderr, the clocks and random numbers; it listens and connects where
//! [`Settings`] say so, and nowhere else. It gets no file, no environment, no UDP and no names of hosts. Its stdin
//! is empty, and ends when it is to stop ([`Stopper`]).
//!
//! Such a guest keeps its own loop: `poll` is a call into wasmtime-wasi, which looks at the whole list each time.

mod network;
mod stopper;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::p2::add_to_linker_async;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

pub use network::{Network, Peer};
pub use stopper::{Stopper, stopper};

use stopper::Stopping;

/// What a guest is run with.
pub struct Settings {
    /// What it is told that it is called.
    pub program: String,
    /// Its arguments, behind the name.
    pub arguments: Vec<String>,
    /// Where it may listen and connect.
    pub network: Network,
    /// The most linear memory it may have, in bytes; it is ended where it wants more.
    pub max_memory: usize,
    /// What its stdin ends by.
    pub stopping: Stopping,
}

/// How a guest ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The exit code it gave.
    pub code: i32,
}

/// Why a guest did not end by itself, or did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system gives nothing to wait with.
    #[error("cannot wait for the guest's sockets: {0}")]
    Runtime(std::io::Error),
    /// It wants something that is not there, exports no `wasi:cli/run`, or wants more memory than it may have at once.
    #[error("the guest cannot be started as a WASI 0.2 command: {0:#}")]
    Link(wasmtime::Error),
    /// It trapped, or wanted more memory than it may have. The message has its backtrace.
    #[error("the guest trapped: {}", crate::error::report(.0))]
    Trap(wasmtime::Error),
}

/// What the host keeps for a guest.
struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Runs a command to its end, on this thread, which must not be one of tokio's.
///
/// # Errors
///
/// When it cannot be linked, and when it traps.
pub fn run(engine: &Engine, component: &Component, settings: Settings) -> Result<Outcome, Error> {
    let mut linker = Linker::new(engine);
    add_to_linker_async(&mut linker).map_err(Error::Link)?;
    // Sockets and timers are looked at by the thread that waits for them: one of tokio's own would have to wake it.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let mut store = store(engine, settings)?;
        let command =
            Command::instantiate_async(&mut store, component, &linker).await.map_err(Error::Link)?;
        match command.wasi_cli_run().call_run(&mut store).await {
            Ok(Ok(())) => Ok(Outcome { code: 0 }),
            Ok(Err(())) => Ok(Outcome { code: 1 }),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => Ok(Outcome { code: exit.0 }),
                None => Err(Error::Trap(error)),
            },
        }
    })
}

fn store(engine: &Engine, settings: Settings) -> Result<Store<Guest>, Error> {
    let Settings { program, arguments, network, max_memory, stopping } = settings;
    let mut wasi = WasiCtx::builder();
    wasi.arg(program)
        .args(&arguments)
        .stdin(stopping.into_stdin().map_err(Error::Runtime)?)
        .inherit_stdout()
        .inherit_stderr();
    wasi.allow_tcp(true).allow_udp(false).allow_ip_name_lookup(false);
    wasi.socket_addr_check(move |address, purpose| {
        let allowed = network.allows(address, purpose);
        Box::pin(async move { allowed })
    });
    let limits = StoreLimitsBuilder::new()
        .memory_size(max_memory)
        .memories(2)
        .tables(64)
        .table_elements(1_000_000)
        .instances(64)
        .trap_on_grow_failure(true)
        .build();
    let mut store = Store::new(engine, Guest { wasi: wasi.build(), table: ResourceTable::new(), limits });
    store.limiter(|guest| &mut guest.limits);
    // A command blocks as long as it likes: it is stopped by its stdin. Not the largest number: it is added to the
    // epoch that the engine is in.
    store.set_epoch_deadline(u64::MAX / 2);
    Ok(store)
}
