//! Several guests in one process (`--and`): each is served, and none affects another.

#![cfg(unix)]

use std::process::Command;

use rustix::process::Signal;
use sinbin_tests::{Client, Ended, Running, Server, guest, sinbin_wasi};

/// Returns the command that runs guests, given the name and the arguments of each.
fn together(guests: &[(&str, &[&str])]) -> Command {
    let paths: Vec<_> = guests.iter().map(|(name, _)| guest(&format!("{name}.wasm"))).collect();
    let mut all = vec!["run"];
    for (index, ((_, arguments), path)) in guests.iter().zip(&paths).enumerate() {
        all.extend((index > 0).then_some("--and"));
        all.push(path.to_str().expect("a UTF-8 path"));
        all.extend(*arguments);
    }
    sinbin_wasi(&all)
}

/// Returns the output of a process that ends by itself.
fn run(args: &[&str]) -> Ended {
    Running::start(sinbin_wasi(args)).wait()
}

fn echo(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.bytes(text.len()), text.as_bytes());
}

const PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];
const COMMAND: [&str; 5] = ["--listen", "127.0.0.1:0", "--raw-arguments", "--", "127.0.0.1:0"];

#[test]
fn each_guest_is_served_and_all_end_on_one_request() {
    let guests: [(&str, &[&str]); 4] =
        [("fib", &PORT), ("echo", &PORT), ("fib", &PORT), ("wstd-echo", &COMMAND)];
    let server = Server::listening(together(&guests), 4);
    let [fib, echo_service, other_fib, command] = server.addresses() else { panic!("four addresses") };
    Client::connect(*fib).ask(30);
    Client::connect(*other_fib).ask(10);
    echo(&mut Client::connect(*echo_service), "hello\n");
    echo(&mut Client::connect(*command), "hello\n");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for line in ["fib: served 1 connections, 1 jobs;", "fib-2: served 1 ", "echo: served 1 "] {
        assert!(ended.stdout.lines().any(|it| it.starts_with(line)), "{line}: {}", ended.stdout);
    }
    assert!(ended.stderr.lines().any(|line| line.contains("draining") && line.ends_with(" guest=echo")));
}

/// Commands of both versions of WASI run beside each other.
#[test]
fn commands_of_wasi_0_2_and_0_3_are_served() {
    let guests: [(&str, &[&str]); 3] =
        [("wasip3-echo", &COMMAND), ("wstd-echo", &COMMAND), ("wasip3-echo", &COMMAND)];
    let server = Server::listening(together(&guests), 3);
    for address in server.addresses() {
        echo(&mut Client::connect(*address), "hello\n");
    }
    assert_eq!(server.stop().code, Some(0));
}

/// Each place is printed with the name of its guest. The guests have names that are given, or those of their files.
#[test]
fn the_places_have_the_names_of_their_guests() {
    let options = ["--listen", "127.0.0.1:0", "--name", "billing"];
    let running = Running::start(together(&[("fib", &options), ("echo", &PORT)]));
    let lines = running.first_lines(2);
    assert!(lines[0].ends_with(" (billing)") && lines[1].ends_with(" (echo)"), "{lines:?}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(0));
}

#[test]
fn a_guest_that_computes_for_ever_keeps_no_other_from_serving() {
    // The first is in a turn that does not end, and the second in a call that does not.
    let endless = ["--listen", "127.0.0.1:0", "--turn-limit", "off", "--drain-timeout", "10ms"];
    let command = ["--drain-timeout", "10ms", "--raw-arguments", "--", "spin"];
    let guests: [(&str, &[&str]); 3] = [("unruly", &endless), ("poll-loop", &command), ("echo", &PORT)];
    let server = Server::listening(together(&guests), 2);
    let mut spinning = Client::connect(server.addresses()[0]);
    echo(&mut spinning, "before");
    spinning.send("loop");
    let mut client = Client::connect(server.addresses()[1]);
    for _ in 0..1000 {
        echo(&mut client, "meanwhile");
    }
    drop(client);
    let ended = server.stop();
    assert_eq!(ended.code, Some(3), "the endless ones are cut off: {}", ended.stderr);
    assert!(ended.stdout.contains("echo: served 1 connections, 0 jobs; 9000 bytes in"), "{}", ended.stdout);
}

#[test]
fn a_guest_that_fails_ends_alone() {
    let failing = ["--raw-arguments", "--", "poll-none"];
    let server = Server::listening(together(&[("misuse", &failing), ("echo", &PORT)]), 1);
    server.logs("misuse: the guest trapped: the guest polls an empty list");
    let mut client = server.client();
    echo(&mut client, "still here");
    drop(client);
    assert_eq!(server.stop().code, Some(1), "the code of the guest that failed");
}

#[test]
fn faults_and_logs_have_the_name_of_their_guest() {
    let server = Server::listening(together(&[("unruly", &PORT), ("echo", &PORT)]), 2);
    let mut client = server.client();
    client.send("trap");
    assert_eq!(client.rest(), "");
    server.logs("the guest panicked at unruly/src/lib.rs:");
    echo(&mut Client::connect(server.addresses()[1]), "unaffected");
    let ended = server.stop();
    let fault = ended.stderr.lines().find(|line| line.contains("the guest panicked at")).expect("a fault");
    assert!(fault.contains("guest=unruly"), "{fault}");
    assert!(ended.stdout.contains("unruly: served 1 connections, 0 jobs;"), "{}", ended.stdout);
}

/// A guest connects to another one, if it may.
#[test]
fn guests_reach_each_other_by_permission_alone() {
    let server = Server::listening(together(&[("echo", &PORT)]), 1);
    let address = server.address().to_string();
    let permitted = ["--listen", "127.0.0.1:0", "--allow-connect", &address, "--", &address];
    let not = ["--listen", "127.0.0.1:0", "--", &address];
    let forwarders = Server::listening(together(&[("forward", &permitted), ("forward", &not)]), 2);
    let mut client = forwarders.client();
    echo(&mut client, "through");
    let mut refused = Client::connect(forwarders.addresses()[1]);
    assert_eq!(refused.rest(), "");
    forwarders.logs("a client is turned away");
}

#[test]
fn nothing_runs_if_one_cannot() {
    let server = Server::listening(together(&[("echo", &PORT)]), 1);
    let taken = server.address().to_string();
    let guests: [(&str, &[&str]); 3] = [("fib", &PORT), ("echo", &["--listen", &taken]), ("upper", &PORT)];
    let ended = Running::start(together(&guests)).wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
    let what = format!("sinbin-wasi: echo: cannot listen on {taken}");
    assert!(ended.stderr.contains(&what), "{}", ended.stderr);
}

#[test]
fn wrong_arguments_are_told() {
    let path = guest("echo.wasm");
    let path = path.to_str().expect("a UTF-8 path");
    let many: Vec<_> = ["run", path].into_iter().chain((0..64).flat_map(|_| ["--and", path])).collect();
    let cases: [(&[&str], &str); 6] = [
        (&["run", path, "--and"], "required arguments were not provided"),
        (&["run", "--and", path], "required arguments were not provided"),
        (&["replay", path, path, "--and", path], "--and requires `run`"),
        (&["run", path, "--and", path, "--log", "debug"], "unexpected argument '--log'"),
        (&["run", path, "--name", "a", "--and", path, "--name", "a"], "two guests have the name \"a\""),
        (&many, "a process can run 64 guests"),
    ];
    for (args, what) in cases {
        let ended = run(args);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(what), "{args:?}: {}", ended.stderr);
    }
}
