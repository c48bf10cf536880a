//! A system that allows no threads.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, geteuid};
use sinbin_tests::{Client, Running, by_shell, eventually, guest, sinbin, sinbin_wasi};

/// A user that is allowed no more processes. Root would be allowed any number.
const NOBODY: u32 = 65534;

/// Returns the command under such a limit, or `None` if that is impossible here.
fn without_threads(command: &Command) -> Option<Command> {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return None;
    }
    let mut command = by_shell("ulimit -u 0 2>/dev/null || ulimit -p 0", command);
    command.uid(NOBODY).gid(NOBODY).env("SINBIN_WASI_CACHE", "off");
    // Other users may have no access to the build directory.
    let mut look = Command::new("test");
    look.arg("-x").arg(command.get_args().nth(2).expect("the program")).uid(NOBODY).gid(NOBODY);
    if !look.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: another user can't run what is built here");
        return None;
    }
    Some(command)
}

#[test]
fn a_guest_is_compiled_by_one_thread_where_there_are_no_more() {
    let fib = guest("fib.wasm");
    let fib = fib.to_str().expect("a UTF-8 path");
    let compile = ["compile", fib, "--output", "/dev/null"];
    let off = ["--compile-timeout", "off"];
    let Some(command) = without_threads(&sinbin_wasi(&[&compile[..], &off].concat())) else { return };
    let ended = Running::start(command).wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // No process can be started for the compilation either, which is reported.
    let Some(command) = without_threads(&sinbin_wasi(&compile)) else { return };
    let ended = Running::start(command).wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("by --compile-timeout off"), "{}", ended.stderr);
}

#[test]
fn without_workers_the_loop_computes_itself_or_a_guest_hears_that_a_job_is_lost() {
    let fib = guest("fib.wasm");
    let fib = fib.to_str().expect("a UTF-8 path");
    let common = ["--workers", "2", "--listen", "127.0.0.1:0"];
    let commands = [
        (sinbin(&[&["serve", "fib"], &common[..]].concat()), "832040"),
        (sinbin(&[&["serve", "fib", "--written-as", "async-fn"], &common[..]].concat()), "832040"),
        (
            sinbin_wasi(&[&["run", fib, "--compile-timeout", "off"], &common[..]].concat()),
            "error: the computation failed",
        ),
    ];
    for (command, answer) in commands {
        let Some(command) = without_threads(&command) else { return };
        let mut running = Running::start(command);
        eventually("a server, or its end", || running.stdout().contains('\n') || running.has_ended());
        let address = running.stdout().trim().rsplit(' ').next().and_then(|word| word.parse().ok());
        let address = address.unwrap_or_else(|| panic!("it ended: {:?}", running.stderr()));
        for _ in 0..3 {
            let mut client = Client::connect(address);
            client.ask(1);
            client.send("30\n");
            assert_eq!(client.line(), answer);
            client.ask(2);
        }
        running.signal(Signal::TERM);
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let told = ended.stderr.matches("a worker thread could not be started").count();
        assert_eq!(told, 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}
