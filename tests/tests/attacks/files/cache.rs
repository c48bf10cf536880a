//! Cache entries that another user has created or can change.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use sinbin_tests::{Server, guest, sinbin_wasi};

use super::{run, scratch, text};

/// A user that is neither root nor the one who builds.
const OTHER: u32 = 65534;

/// Serves `echo` with this cache, and returns the log.
fn serve(cache: &Path) -> String {
    let guest = guest("echo.wasm");
    let args = ["run", text(&guest), "--cache", text(cache), "--listen", "127.0.0.1:0"];
    let server = Server::announced(sinbin_wasi(&args));
    assert_eq!(server.ask("hello"), "hello");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stderr
}

/// Creates a cache with one entry. Returns both paths.
fn filled(directory: &Path) -> (PathBuf, PathBuf) {
    let cache = directory.join("cache");
    fs::remove_dir_all(&cache).ok();
    let log = serve(&cache);
    assert!(!log.contains(" cached "), "{log}");
    let mut files = fs::read_dir(&cache).expect("a cache").map(|entry| entry.expect("a file").path());
    let entry = files.find(|path| path.extension().is_some_and(|name| name == "cwasm"));
    (cache, entry.expect("an entry"))
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode can be set");
}

/// Returns the metadata of a file that a write would change.
fn identity(path: &Path) -> (u64, u32, u32, i64, i64) {
    let found = fs::symlink_metadata(path).expect("it exists");
    (found.ino(), found.mode(), found.uid(), found.mtime(), found.mtime_nsec())
}

/// Asserts that the server does not use or change the file, for the reason `why`.
fn unused(cache: &Path, path: &Path, why: &str) {
    let before = identity(path);
    let log = serve(cache);
    assert!(log.contains(why), "{why:?} in {log}");
    assert_eq!(identity(path), before, "{why}");
}

#[test]
fn an_entry_is_for_its_user_alone_whatever_the_umask() {
    let directory = scratch();
    let (cache, entry) = filled(&directory);
    assert_eq!(fs::metadata(&cache).expect("it exists").mode() & 0o777, 0o700);
    for path in [&entry, &cache.join("key")] {
        assert_eq!(fs::metadata(path).expect("it exists").mode() & 0o7777, 0o600);
    }
    // A valid entry is used: no file is written again.
    let before = identity(&entry);
    let log = serve(&cache);
    assert!(!log.contains(" cached "), "{log}");
    assert_eq!(identity(&entry), before);
    fs::remove_dir_all(directory).ok();
}

#[test]
fn an_entry_that_others_can_write_to_or_have_written_is_neither_run_nor_overwritten() {
    let directory = scratch();
    let (cache, entry) = filled(&directory);
    for bits in [0o660, 0o606, 0o644, 0o4600] {
        mode(&entry, bits);
        unused(&cache, &entry, "but must be 0600");
    }
    mode(&entry, 0o600);
    let elsewhere = directory.join("elsewhere");
    fs::rename(&entry, &elsewhere).expect("it can be moved");
    symlink(&elsewhere, &entry).expect("a link");
    unused(&cache, &entry, "it is a symbolic link");
    unused(&cache, &elsewhere, "it is a symbolic link");
    fs::remove_file(&entry).expect("it can be removed");
    fs::create_dir(&entry).expect("a directory");
    unused(&cache, &entry, "it is not a regular file");
    fs::remove_dir_all(directory).ok();
}

#[test]
fn an_entry_with_other_content_is_not_run() {
    let directory = scratch();
    let (cache, entry) = filled(&directory);
    let whole = fs::read(&entry).expect("an entry");
    // Code of the same user for another guest, as a restored backup or another cache could contain.
    let other = directory.join("upper.cwasm");
    assert_eq!(run(&["compile", text(&guest("upper.wasm")), "-o", text(&other)]).code, Some(0));
    let other = fs::read(other).expect("it exists");
    let mut bent = whole.clone();
    bent[whole.len() / 2] ^= 1;
    let forged = [&whole[..32], &other[..other.len() - 12]].concat();
    for (what, bytes) in
        [("bent", &bent[..]), ("other", &other), ("forged", &forged), ("cut", &whole[..100]), ("empty", &[])]
    {
        fs::write(&entry, bytes).expect("a file");
        mode(&entry, 0o600);
        let log = serve(&cache);
        assert!(
            log.contains("the entry is not what this cache has written; compiling it again"),
            "{what}: {log}"
        );
        assert_eq!(fs::metadata(&entry).expect("it exists").len(), whole.len() as u64, "{what}");
    }
    // The entry of another guest under the name of this one.
    let guest = guest("upper.wasm");
    let args = ["run", text(&guest), "--cache", text(&cache), "--listen", "127.0.0.1:0"];
    drop(Server::announced(sinbin_wasi(&args)));
    let files = fs::read_dir(&cache).expect("a cache").map(|entry| entry.expect("a file").path());
    let mut others = files.filter(|path| *path != entry && path.extension().is_some());
    fs::copy(others.next().expect("another entry"), &entry).expect("it can be copied");
    let log = serve(&cache);
    assert!(log.contains("the entry is not what this cache has written; compiling it again"), "{log}");
    fs::remove_dir_all(directory).ok();
}

#[test]
fn a_key_that_others_know_is_not_used() {
    let directory = scratch();
    let (cache, _) = filled(&directory);
    let key = cache.join("key");
    mode(&key, 0o640);
    unused(&cache, &key, "its mode is 0640, but must be 0600");
    mode(&key, 0o600);
    fs::write(&key, "short").expect("a file");
    unused(&cache, &key, "does not contain a key; remove it");
    fs::remove_file(&key).expect("it can be removed");
    symlink("/dev/zero", &key).expect("a link");
    unused(&cache, &key, "it is a symbolic link");
    fs::remove_dir_all(directory).ok();
}

#[test]
fn a_directory_that_is_not_the_users_alone_is_not_written_to() {
    let directory = scratch();
    let (cache, _) = filled(&directory);
    mode(&cache, 0o770);
    unused(&cache, &cache, "other users can write to it (mode 0770)");
    mode(&cache, 0o700);
    let link = directory.join("link");
    symlink(&cache, &link).expect("a link");
    unused(&link, &cache, "it is not a directory (symbolic links are not followed)");
    // No files are created there either.
    let empty = directory.join("empty");
    fs::create_dir(&empty).expect("a directory");
    mode(&empty, 0o777);
    unused(&empty, &empty, "other users can write to it");
    assert_eq!(fs::read_dir(&empty).expect("it exists").count(), 0);
    fs::remove_dir_all(directory).ok();
}

#[test]
fn what_belongs_to_another_user_is_neither_run_nor_overwritten() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let directory = scratch();
    let (cache, entry) = filled(&directory);
    let own = fs::metadata(&entry).expect("it exists").uid();
    for path in [&entry, &cache.join("key"), &cache] {
        chown(path, Some(OTHER), None).expect("root can give files away");
        unused(&cache, path, "it belongs to user 65534");
        chown(path, Some(own), None).expect("root can take files");
    }
    assert!(!serve(&cache).contains(" cached "));
    fs::remove_dir_all(directory).ok();
}
