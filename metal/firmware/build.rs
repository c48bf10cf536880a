//! Writes the linker's map of the board's memory, and the number of sockets, for the firmware and for `compare`.

use std::path::PathBuf;
use std::{env, fs};

/// The number of sockets without `SINBIN_SOCKETS`.
const SOCKETS: usize = 16;

fn main() {
    // A core without registers for the cause of a fault.
    println!("cargo:rustc-check-cfg=cfg(armv6m)");
    if env::var("TARGET").is_ok_and(|target| target.starts_with("thumbv6m")) {
        println!("cargo:rustc-cfg=armv6m");
    }
    println!("cargo:rerun-if-env-changed=SINBIN_SOCKETS");
    let sockets = env::var("SINBIN_SOCKETS").map_or(SOCKETS, |text| {
        text.parse().unwrap_or_else(|_| panic!("SINBIN_SOCKETS={text}: a number of sockets, up to 128"))
    });
    assert!((1..=128).contains(&sockets), "SINBIN_SOCKETS={sockets}: 1 to 128 sockets");
    // The programs for this board have no network.
    println!("cargo:rustc-check-cfg=cfg(microbit)");
    println!("cargo:rerun-if-env-changed=SINBIN_BOARD");
    let is_microbit = env::var("SINBIN_BOARD").is_ok_and(|board| board == "microbit");
    if is_microbit {
        println!("cargo:rustc-cfg=microbit");
    }
    // A board for 16 connections has 64 KiB. The emulated one has 4 MiB, for tests with more.
    let ram = match sockets {
        _ if is_microbit => "16K",
        ..=SOCKETS => "64K",
        _ => "512K",
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let memory = format!(
        "MEMORY {{ FLASH : ORIGIN = 0x00000000, LENGTH = 256K RAM : ORIGIN = 0x20000000, LENGTH = {ram} }}\n"
    );
    fs::write(out.join("memory.x"), memory).expect("a file in the directory of the build");
    fs::write(out.join("sockets.rs"), format!("{sockets}")).expect("a file in the directory of the build");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rustc-link-arg-bins=--nmagic");
}
