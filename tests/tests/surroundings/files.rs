//! The output file of `sinbin-wasi compile -o`, and the files that all commands refuse.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::geteuid;
use sinbin_tests::{Ended, Running, guest, sinbin_wasi};

use crate::scratch;

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn run(args: &[&str]) -> Ended {
    Running::start(sinbin_wasi(args)).wait()
}

fn compile(output: &Path) -> Ended {
    run(&["compile", text(&guest("echo.wasm")), "-o", text(output)])
}

/// Returns the bytes of a compiled `echo.wasm`.
fn compiled() -> &'static [u8] {
    static COMPILED: OnceLock<Vec<u8>> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let path = scratch("echo.cwasm");
        let ended = compile(&path);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let bytes = fs::read(&path).expect("it exists");
        let size = format!("{}: {} bytes\n", path.display(), bytes.len());
        let how = format!("to run it: sinbin-wasi run --allow-precompiled {}\n", path.display());
        assert_eq!(ended.stdout, size + &how);
        bytes
    })
}

#[test]
fn a_device_is_written_to_and_stays_one() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root makes devices");
        return;
    }
    for (name, minor, code) in [("null", 3, 0), ("full", 7, 1)] {
        let path = scratch(name);
        let made =
            mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, minor));
        if made.is_err() {
            eprintln!("skipped: devices can't be made here");
            return;
        }
        let ended = compile(&path);
        assert!(fs::symlink_metadata(&path).expect("it exists").file_type().is_char_device(), "{name}");
        assert_eq!(ended.code, Some(code), "{name}: {}", ended.stderr);
        fs::remove_file(path).ok();
    }
}

#[test]
fn a_fifo_is_written_to_and_stays_one() {
    let path = scratch("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    let reader = thread::spawn({
        let path = path.clone();
        move || {
            let mut bytes = Vec::new();
            File::open(path).and_then(|mut fifo| fifo.read_to_end(&mut bytes)).expect("bytes");
            bytes
        }
    });
    assert_eq!(compile(&path).code, Some(0));
    assert!(fs::symlink_metadata(&path).expect("it exists").file_type().is_fifo());
    assert_eq!(reader.join().expect("the reader"), compiled());
    fs::remove_file(path).ok();
}

#[test]
fn a_symbolic_link_is_followed_and_stays_one() {
    for exists in [true, false] {
        let (link, target) = (scratch("link"), scratch("target"));
        if exists {
            fs::write(&target, "what was there").expect("a file");
        }
        symlink(&target, &link).expect("a link");
        assert_eq!(compile(&link).code, Some(0));
        assert!(fs::symlink_metadata(&link).expect("it exists").is_symlink());
        assert_eq!(fs::read(&target).expect("it exists"), compiled());
    }
}

#[test]
fn a_regular_file_is_replaced_as_a_whole_and_no_part_of_it_is_left() {
    let path = scratch("regular");
    fs::write(&path, "what was there").expect("a file");
    let before = fs::metadata(&path).expect("it exists").ino();
    let kept = File::open(&path).expect("a file");
    assert_eq!(compile(&path).code, Some(0));
    assert_ne!(fs::metadata(&path).expect("it exists").ino(), before);
    assert_eq!(std::io::read_to_string(kept).expect("text"), "what was there");
    let name = path.file_name().expect("a name").to_str().expect("of ours");
    let dir = fs::read_dir(path.parent().expect("a directory")).expect("a directory");
    let names: Vec<_> = dir.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    assert_eq!(names.iter().filter(|other| other.starts_with(name)).collect::<Vec<_>>(), [name]);
}

#[test]
fn a_dash_is_stdout_and_so_is_another_name_of_it() {
    for name in ["-", "/dev/stdout"] {
        let out = scratch("stdout");
        let file = File::create(&out).expect("a file");
        let command: Command = sinbin_wasi(&["compile", text(&guest("echo.wasm")), "-o", name]);
        assert_eq!(Running::start_into(command, file).wait().code, Some(0), "{name}");
        assert!(fs::read(out).expect("it exists") == compiled(), "{name}: nothing else is written");
    }
    assert!(!Path::new("-").exists());
}

#[test]
fn what_is_written_where_it_cannot_be_is_an_error() {
    for place in ["/nowhere/at/all", env!("CARGO_TARGET_TMPDIR")] {
        let ended = compile(Path::new(place));
        assert_eq!(ended.code, Some(1), "{place}: {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("cannot write {place}")), "{}", ended.stderr);
    }
    // The guest under another name.
    let guest = guest("echo.wasm");
    let link = scratch("guest.wasm");
    symlink(&guest, &link).expect("a link");
    let before = fs::read(&guest).expect("it exists");
    let ended = run(&["compile", text(&guest), "-o", text(&link)]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(fs::read(&guest).expect("it exists") == before, "the guest is unchanged");
}

/// Writes a guest that claims another version of the interfaces with this prefix.
fn of_another_version(name: &str, interface: &str, digit: usize) -> PathBuf {
    let mut bytes = fs::read(guest(name)).expect("it exists");
    let mut changed = 0;
    for at in 0..bytes.len() {
        if !bytes[at..].starts_with(interface.as_bytes()) {
            continue;
        }
        let end = bytes[at..].iter().position(|byte| *byte == b'@').expect("a version") + at + 1;
        bytes[end + digit] = b'9';
        changed += 1;
    }
    assert!(changed > 0, "{name} says nothing of {interface}");
    let path = scratch(name);
    fs::write(&path, bytes).expect("a file");
    path
}

#[test]
fn what_run_refuses_inspect_and_compile_refuse_in_the_same_words() {
    let guests = [
        of_another_version("echo.wasm", "sinbin:service/", 2),
        of_another_version("echo-portable.wasm", "wasi:sockets/", 2),
    ];
    for guest in &guests {
        let run_it = run(&["run", text(guest), "--listen", "127.0.0.1:0"]);
        assert_eq!((run_it.code, run_it.stdout.as_str()), (Some(1), ""), "{}", run_it.stderr);
        let output = scratch("refused.cwasm");
        for args in [&["inspect", text(guest)][..], &["compile", text(guest), "-o", text(&output)]] {
            let ended = run(args);
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{args:?}: {}", ended.stderr);
            let why = |text: &str| text.trim_end().rsplit(": ").next().unwrap_or_default().to_owned();
            assert_eq!(why(&ended.stderr), why(&run_it.stderr), "{args:?}");
        }
        assert!(!output.exists());
    }
}
