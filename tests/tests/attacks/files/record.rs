//! Hostile paths of recording files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use rustix::process::geteuid;
use sinbin_tests::{Running, Server, guest, sinbin, sinbin_wasi};

use super::{scratch, text};

/// Returns the two commands that record, with this recording file.
fn recording(path: &Path) -> [std::process::Command; 2] {
    let echo = guest("echo.wasm");
    let common = ["--listen", "127.0.0.1:0", "--record", text(path)];
    [
        sinbin(&[&["serve", "echo"], &common[..]].concat()),
        sinbin_wasi(&[&["run", text(&echo)], &common[..]].concat()),
    ]
}

fn refused(path: &Path, what: &str) {
    for command in recording(path) {
        let ended = Running::start(command).wait();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        let begin = format!("cannot record in {}: ", path.display());
        assert!(ended.stderr.contains(&begin) && ended.stderr.contains(what), "{what:?} in {}", ended.stderr);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").mode() & 0o7777
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let directory = scratch();
    let (target, link) = (directory.join("target"), directory.join("link"));
    for exists in [true, false] {
        fs::remove_file(&target).ok();
        fs::remove_file(&link).ok();
        if exists {
            fs::write(&target, "").expect("a file");
            fs::set_permissions(&target, Permissions::from_mode(0o644)).expect("a mode");
        }
        symlink(&target, &link).expect("a link");
        refused(&link, "a symbolic link is not followed");
        assert_eq!(target.exists(), exists);
        if exists {
            assert_eq!((mode(&target), fs::metadata(&target).expect("it exists").len()), (0o644, 0));
        }
    }
    fs::remove_dir_all(directory).ok();
}

#[test]
fn a_file_that_is_there_keeps_its_mode_and_one_that_is_new_is_for_its_owner() {
    let directory = scratch();
    for (number, before) in [Some(0o644), Some(0o600), None].into_iter().enumerate() {
        for (host, command) in ["native", "sandbox"].iter().zip([0, 1]) {
            let path = directory.join(format!("{host}-{number}"));
            if let Some(bits) = before {
                fs::write(&path, "").expect("a file");
                fs::set_permissions(&path, Permissions::from_mode(bits)).expect("a mode");
            }
            let [native, sandboxed] = recording(&path);
            let server = Server::announced(if command == 0 { native } else { sandboxed });
            assert_eq!(server.ask("hello"), "hello");
            assert_eq!(server.stop().code, Some(0));
            assert_eq!(mode(&path), before.unwrap_or(0o600));
            assert!(fs::metadata(&path).expect("it exists").len() > 0);
        }
    }
    fs::remove_dir_all(directory).ok();
}

#[test]
fn a_file_of_another_user_is_not_recorded_in() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let directory = scratch();
    let path = directory.join("theirs");
    fs::write(&path, "").expect("a file");
    chown(&path, Some(65534), None).expect("root can give files away");
    refused(&path, "it belongs to another user");
    fs::remove_dir_all(directory).ok();
}
