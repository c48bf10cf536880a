//! A host without sinbin, which runs a WASI 0.2 command as `wasmtime run -S inherit-network` does.
//!
//! Usage: `stock GUEST.wasm ARGUMENTS..`

use std::process::ExitCode;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::add_to_linker_async;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::runtime::in_tokio;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};

struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn main() -> Result<ExitCode, sinbin::MainError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let guest = arguments.first().ok_or("usage: stock GUEST.wasm ARGUMENTS..")?;
    let engine = Engine::default();
    let component = Component::from_file(&engine, guest)?;
    let mut linker = Linker::new(&engine);
    add_to_linker_async(&mut linker)?;
    let wasi = WasiCtx::builder().inherit_stdio().inherit_network().allow_tcp(true).args(&arguments).build();
    let mut store = Store::new(&engine, Guest { wasi, table: ResourceTable::new() });
    let ran = in_tokio(async {
        let command = Command::instantiate_async(&mut store, &component, &linker).await?;
        command.wasi_cli_run().call_run(&mut store).await
    });
    Ok(match ran {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(())) => ExitCode::FAILURE,
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => ExitCode::from(u8::try_from(exit.0).unwrap_or(1)),
            None => return Err(error.into()),
        },
    })
}
