//! Ordinary WASI commands, which know nothing of sinbin: fairness to all of their connections, limits, the standard
//! streams, and what becomes of wrong calls.

#![cfg(unix)]

mod fairness;
mod files;
mod limits;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod looking;
mod misuse;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod polls;
mod stopping;
mod wasip3;

use std::process::Command;

use sinbin_tests::{Ended, Running, Server, guest, sinbin_wasi};

/// Returns the command that runs a guest with options of the host, and with the guest's own arguments only.
fn wasi(name: &str, options: &[&str], arguments: &[&str]) -> Command {
    let guest = guest(&format!("{name}.wasm"));
    let guest = guest.to_str().expect("a UTF-8 path");
    sinbin_wasi(&[&["run", guest, "--raw-arguments"], options, &["--"], arguments].concat())
}

/// Runs one of the guest's misuses to its end.
fn misuse(options: &[&str], arguments: &[&str]) -> Ended {
    Running::start(wasi("misuse", options, arguments)).wait()
}

/// Starts one of the guest's misuses that listen on a free port.
fn listening(options: &[&str], what: &str) -> Server {
    let options = [&["--listen", "127.0.0.1:0"], options].concat();
    Server::announced(wasi("misuse", &options, &[what, "127.0.0.1:0"]))
}
