//! Machine code under any name, and damaged guests.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sinbin_tests::{Server, guest, sinbin_wasi};

use super::{refused_everywhere, run, scratch, text};

/// Compiles `echo.wasm` to this file, and returns its bytes.
fn compiled(path: &Path) -> Vec<u8> {
    let ended = run(&["compile", text(&guest("echo.wasm")), "-o", text(path)]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    fs::read(path).expect("it exists")
}

/// Replaces the checksum of a compiled file by a matching one, as an attacker can.
fn forge(bytes: &mut [u8]) {
    let (code, trailer) = bytes.split_at_mut(bytes.len() - 12);
    let sum = code.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    });
    trailer[..4].copy_from_slice(&(!sum).to_le_bytes());
}

#[test]
fn machine_code_is_refused_by_whatever_name() {
    let directory = scratch();
    let innocent = directory.join("innocent.wasm");
    let mut bytes = compiled(&innocent);
    let what = "machine code, which runs outside the sandbox, with all your rights";
    refused_everywhere(&innocent, &[], what);
    // Modified code with a matching checksum.
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xcc);
    forge(&mut bytes);
    for name in ["forged.wasm", "forged.cwasm", "forged"] {
        let forged = directory.join(name);
        fs::write(&forged, &bytes).expect("a file");
        refused_everywhere(&forged, &[], what);
    }
    let link = directory.join("link.wasm");
    symlink(&innocent, &link).expect("a link");
    refused_everywhere(&link, &[], "--allow-precompiled");
    fs::remove_dir_all(directory).ok();
}

#[test]
fn machine_code_of_ours_runs_when_that_is_asked_for() {
    let directory = scratch();
    let path = directory.join("echo.cwasm");
    compiled(&path);
    let args = ["run", text(&path), "--allow-precompiled", "--listen", "127.0.0.1:0"];
    let server = Server::announced(sinbin_wasi(&args));
    assert_eq!(server.ask("hello"), "hello");
    assert_eq!(server.stop().code, Some(0));
    let recording = super::recording(&directory);
    let ended = run(&["replay", text(&recording), text(&path), "--allow-precompiled"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Other commands do not accept the option.
    let inspected = run(&["inspect", text(&path), "--allow-precompiled"]);
    assert_eq!(inspected.code, Some(2), "{}", inspected.stderr);
    fs::remove_dir_all(directory).ok();
}

#[test]
fn machine_code_that_is_cut_or_bent_is_refused_where_it_is_allowed() {
    let directory = scratch();
    let path = directory.join("echo.cwasm");
    let whole = compiled(&path);
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).expect("a file");
        let ended = run(&["run", text(&path), "--allow-precompiled", "--listen", "127.0.0.1:0"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains(what), "{what:?} in {}", ended.stderr);
    };
    for len in [whole.len() - 1, whole.len() - 12] {
        refused(&whole[..len], "is a compiled component that is truncated or was not made by sinbin-wasi");
    }
    // Without its tables the file is not recognized as code.
    for len in [whole.len() / 2, 1000, 3] {
        refused(&whole[..len], "is not a wasm file");
    }
    for at in (0x100..whole.len() - 12).step_by(whole.len() / 7) {
        let mut bent = whole.clone();
        bent[at] ^= 0x40;
        refused(&bent, "is a compiled component that is damaged");
    }
    fs::remove_dir_all(directory).ok();
}

#[test]
fn a_guest_that_is_cut_or_bent_is_refused_or_runs_but_does_nothing_else() {
    let directory = scratch();
    let whole = fs::read(guest("echo.wasm")).expect("a guest");
    let path = directory.join("bent.wasm");
    for len in [0, 4, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).expect("a file");
        let ended = run(&["inspect", text(&path)]);
        assert_eq!(ended.code, Some(1), "cut to {len}: {}", ended.stdout);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bent = whole.clone();
        bent[at] ^= 0xff;
        fs::write(&path, &bent).expect("a file");
        let ended = run(&["inspect", text(&path)]);
        assert!(matches!(ended.code, Some(0 | 1)), "bent at {at}: {:?} {}", ended.code, ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "bent at {at}: {}", ended.stderr);
    }
    fs::remove_dir_all(directory).ok();
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let directory = scratch();
    let fifo = directory.join("fifo.wasm");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    let cases: [(PathBuf, &str); 3] = [
        (fifo, "it is a FIFO, where a regular file is needed"),
        ("/dev/zero".into(), "it is a device, where a regular file is needed"),
        (directory.clone(), "it is a directory, where a regular file is needed"),
    ];
    for (path, what) in &cases {
        refused_everywhere(path, &[], what);
        let allowed = run(&["run", text(path), "--allow-precompiled"]);
        assert!(allowed.stderr.contains(what), "{}", allowed.stderr);
    }
    fs::remove_dir_all(directory).ok();
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let directory = scratch();
    let path = directory.join("large.wasm");
    let file = File::create(&path).expect("a file");
    file.set_len(1 << 40).expect("a sparse file");
    refused_everywhere(&path, &[], "--max-guest-size allows more");
    fs::remove_dir_all(directory).ok();
}
