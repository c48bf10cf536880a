//! Hostile files: guests, machine code, recordings, cache entries, and files to record in.

mod bomb;
mod cache;
mod code;
mod record;
mod recordings;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sinbin_tests::{Ended, Running, guest, sinbin_wasi};

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Creates an empty directory.
fn scratch() -> PathBuf {
    static DIRECTORIES: AtomicU32 = AtomicU32::new(0);
    let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
    let path = format!("{}/attack-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let path = PathBuf::from(path);
    fs::remove_dir_all(&path).ok();
    fs::create_dir_all(&path).expect("a directory");
    path
}

/// Runs `sinbin-wasi` to its end.
fn run(args: &[&str]) -> Ended {
    Running::start(sinbin_wasi(args)).wait()
}

/// Creates a recording that a guest can replay.
fn recording(directory: &Path) -> PathBuf {
    let path = directory.join("echo.sinbin");
    let guest = guest("echo.wasm");
    let args = ["run", text(&guest), "--listen", "127.0.0.1:0", "--record", text(&path)];
    let server = sinbin_tests::Server::announced(sinbin_wasi(&args));
    assert_eq!(server.ask("hello"), "hello");
    assert_eq!(server.stop().code, Some(0));
    path
}

/// Asserts that each command that accepts a guest refuses this one, with code 1, a message that contains `what`, and no
/// other output. `extra` are options for the commands that run the guest.
fn refused_everywhere(path: &Path, extra: &[&str], what: &str) {
    let directory = scratch();
    let recording = recording(&directory);
    let output = directory.join("out.cwasm");
    let run_it = [&["run", text(path), "--listen", "127.0.0.1:0"], extra].concat();
    let replay = [&["replay", text(&recording), text(path)], extra].concat();
    let inspect = vec!["inspect", text(path)];
    let compile = vec!["compile", text(path), "-o", text(&output)];
    for args in [run_it, replay, inspect, compile] {
        let ended = run(&args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(what), "{args:?}: {what:?} in {}", ended.stderr);
        assert!(ended.stderr.contains(text(path)), "{args:?}: {}", ended.stderr);
    }
    assert!(!output.exists());
    fs::remove_dir_all(directory).ok();
}
