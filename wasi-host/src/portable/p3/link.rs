//! The linker of WASI 0.3 commands: the interfaces of this host, those of wasmtime-wasi for files, the environment,
//! random numbers and the time of day, and all interfaces of WASI 0.2.

use wasmtime::component::Linker;
use wasmtime::{Engine, Result};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::random::WasiRandom;

use super::super::{Guest, link};
use super::P3;

/// Creates the linker of WASI 0.3 commands.
pub(in super::super) fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    link::add_to(&mut linker)?;
    add_own(&mut linker)?;
    add_others(&mut linker)?;
    Ok(linker)
}

fn add_own(l: &mut Linker<Guest>) -> Result<()> {
    cli::types::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    cli::stdin::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    cli::stdout::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    cli::stderr::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    cli::terminal_input::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    cli::terminal_output::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    cli::terminal_stdin::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    cli::terminal_stdout::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    cli::terminal_stderr::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    clocks::monotonic_clock::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    sockets::types::add_to_linker::<Guest, P3>(l, |guest| guest)?;
    sockets::ip_name_lookup::add_to_linker::<Guest, P3>(l, |guest| guest)
}

fn add_others(l: &mut Linker<Guest>) -> Result<()> {
    cli::exit::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    cli::environment::add_to_linker::<Guest, WasiCli>(l, Guest::cli)?;
    clocks::types::add_to_linker::<Guest, WasiClocks>(l, Guest::clocks)?;
    clocks::system_clock::add_to_linker::<Guest, WasiClocks>(l, Guest::clocks)?;
    filesystem::types::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem)?;
    filesystem::preopens::add_to_linker::<Guest, WasiFilesystem>(l, Guest::filesystem)?;
    random::random::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())?;
    random::insecure::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<Guest, WasiRandom>(l, |guest| guest.ctx().ctx.random())
}
