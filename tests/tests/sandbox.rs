//! Guests in their sandbox: they can harm themselves, but not their host or other guests.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};

use sinbin_tests::{Chatter, Client, Ended, Running, Server, guest, guests, sinbin_wasi};

/// Starts a service that misbehaves when a client sends a certain word.
fn unruly(args: &[&str]) -> Server {
    serve("unruly.wasm", args)
}

fn serve(name: &str, args: &[&str]) -> Server {
    let guest = guest(name);
    let mut all = vec!["run", guest.to_str().expect("a UTF-8 path"), "--listen", "127.0.0.1:0"];
    all.extend(args);
    Server::announced(sinbin_wasi(&all))
}

/// Runs `sinbin-wasi` to its end.
fn run(args: &[&str]) -> Ended {
    Running::start(sinbin_wasi(args)).wait()
}

/// Runs a file that is no guest, and returns the error message.
fn refused(path: &Path) -> String {
    let ended = run(&["run", path.to_str().expect("a UTF-8 path"), "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    ended.stderr
}

/// Writes a file with this content, and returns its path.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = guests().join(format!("test-{name}"));
    fs::write(&path, content).expect("a file can be written");
    path
}

fn echo(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.bytes(text.len()), text.as_bytes());
}

#[test]
fn a_fault_closes_what_the_guest_had_and_a_fresh_instance_serves() {
    // Little memory, and a tenth of a second for a turn.
    let server = unruly(&["--turn-limit", "100ms", "--max-memory", "8", "--max-buffered", "1"]);
    let faults = [
        ("trap", "the guest panicked at unruly/src/lib.rs:"),
        ("loop", "takes longer than the limit of 100ms"),
        ("grow", "growing memory"),
        ("stall", "nothing can wake them"),
    ];
    for (word, reason) in faults {
        let (mut other, mut client) = (server.client(), server.client());
        echo(&mut other, "before");
        echo(&mut client, "before");
        client.send(word);
        // A turn that stalls has sent its answer before.
        assert!(client.rest().is_empty() || word == "stall", "{word}");
        assert_eq!(other.rest(), "", "{word}: other connections are closed too");
        server.logs(reason);
        echo(&mut server.client(), "after");
    }
    assert!(server.stderr().contains("wasm backtrace"), "{}", server.stderr());
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("; 4 restarts of the guest"), "{}", ended.stdout);
}

#[test]
fn what_means_nothing_is_ignored_and_counted() {
    let server = unruly(&["--workers", "1"]);
    let mut client = server.client();
    for word in ["strange", "late", "ghosts"] {
        echo(&mut client, word);
        echo(&mut client, "and goes on");
    }
    echo(&mut server.client(), "others too");
    drop(client);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // The host counts invalid commands of the guest, and the guest counts invalid events of the host.
    assert!(ended.stdout.contains("commands of the guest ignored"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("restarts"), "{}", ended.stdout);
}

#[test]
fn bytes_are_handed_back_once() {
    let server = unruly(&[]);
    let mut client = server.client();
    client.send("hoard");
    assert_eq!(client.bytes(10), b"hoardhoard", "the bytes were used and returned");
    echo(&mut client, "and no more");
    drop(client);
    assert!(server.stop().stdout.contains("; 999 commands of the guest ignored"));
}

#[test]
fn a_job_that_traps_is_lost_and_the_guest_lives() {
    let server = unruly(&["--workers", "1"]);
    let mut client = server.client();
    echo(&mut client, "spoil");
    server.logs("a job failed");
    server.logs(": in a job");
    server.logs("wasm backtrace");
    echo(&mut client, "still there");
    drop(client);
    assert!(server.stop().stdout.contains(", 1 jobs;"));
}

#[test]
fn a_job_that_never_ends_does_not_keep_the_host_from_its_end() {
    for limit in ["1s", "off"] {
        let server = unruly(&["--workers", "1", "--turn-limit", limit]);
        let mut client = server.client();
        echo(&mut client, "toil");
        echo(&mut client, "meanwhile");
        drop(client);
        assert_eq!(server.stop().code, Some(0));
    }
}

#[test]
fn a_guest_that_fails_too_often_is_replaced_later_and_clients_wait() {
    let server = unruly(&["--max-restarts", "1"]);
    for _ in 0..2 {
        let mut client = server.client();
        client.send("trap");
        assert_eq!(client.rest(), "");
    }
    server.logs("the guest fails too often (1 times a minute are allowed)");
    let mut waiting = server.client();
    waiting.send("hello");
    assert!(waiting.is_silent());
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn a_guest_that_traps_at_its_start_is_an_error() {
    let path = guest("unruly.wasm");
    let ended = run(&["run", path.to_str().unwrap(), "--listen", "127.0.0.1:0", "--", "--trap"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("sinbin-wasi: the guest cannot be started: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("unreachable"), "{}", ended.stderr);
    let first = ended.stderr.lines().next().expect("a line");
    assert!(first.contains("the guest panicked at ") && first.ends_with(": at the start"), "{first}");
}

#[test]
fn the_text_of_a_panic_is_one_line_of_limited_length() {
    let server = unruly(&[]);
    let mut client = server.client();
    client.send("burst");
    assert_eq!(client.rest(), "");
    server.logs("the guest panicked at unruly/src/lib.rs:");
    let stderr = server.stderr();
    let line = stderr.lines().find(|line| line.contains("the guest panicked at ")).expect("a line");
    assert!(line.contains("a\\nb\\u{1b}[2J") && line.contains("x… "), "{line}");
    assert!(line.len() < 1400, "{}", line.len());
    echo(&mut server.client(), "after");
}

#[test]
fn a_guest_says_what_is_wrong_with_its_arguments() {
    let path = guest("fib.wasm");
    for (arguments, wrong) in [(["--max-n", "94"], "--max-n"), (["--no-such", "1"], "--no-such")] {
        let mut all = vec!["run", path.to_str().unwrap(), "--listen", "127.0.0.1:0", "--"];
        all.extend(arguments);
        let ended = run(&all);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.starts_with("sinbin-wasi: the guest refuses its arguments: "),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains(wrong), "{}", ended.stderr);
        assert_eq!(ended.stdout, "", "it never listened");
    }
}

#[test]
fn what_is_no_guest_is_refused_by_name() {
    let missing = Path::new("no/such/file.wasm");
    assert!(refused(missing).starts_with("sinbin-wasi: cannot read no/such/file.wasm: "));
    assert!(refused(&file("text.wasm", b"(module)")).contains("is not a wasm file; "));
    assert!(refused(&file("empty.wasm", b"")).contains("is empty; "));
    assert!(refused(&file("newer.wasm", b"\0asm\x63\0\0\0")).contains("wasm of an unknown version"));
    let module = refused(&guest("sinbin_core.wasm"));
    assert!(module.contains("is a core module, but a component is needed; "), "{module}");
    // A component without any content.
    let world = refused(&file("world.wasm", b"\0asm\x0d\0\x01\0"));
    assert!(world.contains("it exports nothing, but neither sinbin:service/guest"), "{world}");
    let cut = fs::read(guest("fib.wasm")).expect("a guest");
    let cut = refused(&file("cut.wasm", &cut[..cut.len() / 2]));
    assert!(cut.contains(" is not a valid component: "), "{cut}");
}

#[test]
fn a_damaged_cwasm_is_refused_and_in_the_cache_it_is_made_anew() {
    let compiled = guests().join("test-fib.cwasm");
    let out = compiled.to_str().unwrap();
    let ended = run(&["compile", guest("fib.wasm").to_str().unwrap(), "--output", out]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let server =
        Server::announced(sinbin_wasi(&["run", out, "--allow-precompiled", "--listen", "127.0.0.1:0"]));
    server.client().ask(20);
    drop(server);
    let refused = |path: &Path| {
        let ended = run(&["run", "--allow-precompiled", path.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        ended.stderr
    };
    let whole = fs::read(&compiled).expect("it exists");
    let mut bent = whole.clone();
    bent[whole.len() / 2] ^= 1;
    assert!(refused(&file("bent.cwasm", &bent)).contains("is a compiled component that is damaged; "));
    let cut = refused(&file("cut.cwasm", &whole[..whole.len() - 5]));
    assert!(
        cut.contains("is a compiled component that is truncated or was not made by sinbin-wasi; "),
        "{cut}"
    );

    let cache = guests().join("test-cache");
    fs::remove_dir_all(&cache).ok();
    let fib = guest("fib.wasm");
    let args = ["run", fib.to_str().unwrap(), "--listen", "127.0.0.1:0", "--cache", cache.to_str().unwrap()];
    drop(Server::announced(sinbin_wasi(&args)));
    let mut kept = fs::read_dir(&cache).expect("a cache").map(|entry| entry.expect("its name").path());
    let kept = kept.find(|path| path.extension().is_some_and(|name| name == "cwasm")).expect("an entry");
    fs::write(&kept, &bent).expect("it can be damaged");
    let server = Server::announced(sinbin_wasi(&args));
    server.client().ask(20);
    server
        .logs("cannot use a cached guest: the entry is not what this cache has written; compiling it again");
    assert!(fs::read(&kept).expect("the entry was written again") != bent);
}

#[test]
fn a_driven_guest_imports_the_types_of_its_contract_alone() {
    for name in ["fib.wasm", "echo.wasm", "upper.wasm", "echo-async.wasm", "fib-async.wasm"] {
        let ended = run(&["inspect", guest(name).to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(
            ended.stdout.contains("a service, driven by the host\nimports: sinbin:service/types@0.1.0\n"),
            "{}",
            ended.stdout
        );
    }
}

/// The service of the native example `chat`, compiled for the sandbox.
#[test]
fn connections_of_a_guest_share_state() {
    let server = serve("chat.wasm", &[]);
    let mut chatters = Chatter::meet(&server, &["ada", "bob", "cyd"]);
    chatters[1].says("hello");
    assert_eq!([chatters[0].hears(), chatters[2].hears()], ["bob: hello", "bob: hello"]);
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn an_async_fn_is_a_guest_too() {
    let server = serve("echo-async.wasm", &[]);
    let mut clients: Vec<_> = (0..50).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        echo(client, &format!("client {index} says much {}", "more ".repeat(index * 20)));
    }
    drop(clients);
    let all = "0123456789".repeat(100_000);
    assert_eq!(server.ask(&all), all);
    let mut late = server.client();
    echo(&mut late, "here");
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(late.rest(), "");
}

#[test]
fn the_stack_of_a_guest_that_fails_has_names() {
    let trapped = |server: Server| {
        let mut client = server.client();
        client.send("trap");
        assert_eq!(client.rest(), "");
        server.stop().stderr
    };
    // The names are in the file beside the guest.
    let log = trapped(unruly(&[]));
    assert!(log.contains("core::panicking::panic"), "{log}");
    assert!(log.contains("sinbin:service/guest@0.1.0#turn"), "{log}");
    assert!(!log.contains("<wasm function"), "{log}");

    // Names from a file with other code are ignored.
    let alone = file("alone.wasm", &fs::read(guest("unruly.wasm")).expect("it can be read"));
    fs::copy(guest("echo.debug.wasm"), alone.with_extension("debug.wasm")).expect("a file can be copied");
    let log = trapped(serve("test-alone.wasm", &[]));
    assert!(log.contains("<unknown>!<wasm function"), "{log}");
}
