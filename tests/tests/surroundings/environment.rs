//! Environment variables that are set to the empty string.

use std::collections::BTreeSet;
use std::process::Command;

use sinbin_tests::{Running, Server, guest, replies, sinbin, sinbin_wasi};

/// Returns the variables that the help of a command and all its subcommands names.
fn variables(command: fn(&[&str]) -> Command) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut left = vec![Vec::new()];
    while let Some(words) = left.pop() {
        let words: Vec<String> = words;
        let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
        args.push("--help");
        let ended = Running::start(command(&args)).wait();
        assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
        // The value follows behind `=`, if there is one.
        let named = ended.stdout.split("[env: ").skip(1).filter_map(|text| text.split(['=', ']']).next());
        all.extend(named.map(str::to_owned));
        let commands = ended.stdout.split("Commands:\n").nth(1).unwrap_or_default();
        let commands = commands.lines().take_while(|line| !line.is_empty());
        let commands = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for name in commands.filter_map(|line| line.split_whitespace().next()) {
            if name != "help" {
                let mut deeper = words.clone();
                deeper.push(name.to_owned());
                left.push(deeper);
            }
        }
    }
    all
}

/// Variables that no help names: those that the libraries read, and those of this repository.
const OTHERS: [&str; 9] = [
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
    "NO_COLOR",
    "RAYON_NUM_THREADS",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TERM",
    "XDG_CACHE_HOME",
];

fn answers(mut command: Command, empty: &[&str]) {
    for name in empty {
        command.env(name, "");
    }
    let server = Server::announced(command);
    assert_eq!(server.ask("20\n"), replies([20]), "{empty:?}");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{empty:?}: {}", ended.stderr);
    assert!(ended.stderr.contains("INFO draining"), "{empty:?}: {}", ended.stderr);
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let fib = guest("fib.wasm");
    let serve = || sinbin(&["serve", "fib", "--listen", "127.0.0.1:0"]);
    let run = || sinbin_wasi(&["run", fib.to_str().expect("a UTF-8 path"), "--listen", "127.0.0.1:0"]);
    let native = variables(sinbin);
    let sandboxed = variables(sinbin_wasi);
    for (variables, known) in [(&native, "SINBIN_WRITTEN_AS"), (&sandboxed, "SINBIN_WASI_CACHE")] {
        assert!(variables.contains("SINBIN_LOG") && variables.contains(known), "{variables:?}");
    }
    for name in native.iter().map(String::as_str).chain(OTHERS) {
        answers(serve(), &[name]);
    }
    for name in sandboxed.iter().map(String::as_str).chain(OTHERS) {
        answers(run(), &[name]);
    }
    let all: Vec<_> = native.iter().chain(&sandboxed).map(String::as_str).chain(OTHERS).collect();
    answers(serve(), &all);
    answers(run(), &all);
}

#[test]
fn one_that_is_set_counts_as_before() {
    let mut command = sinbin(&["serve", "echo", "--listen", "127.0.0.1:0"]);
    command.env("SINBIN_WRITTEN_AS", "nonsense");
    let ended = Running::start(command).wait();
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("SINBIN_WRITTEN_AS") || ended.stderr.contains("--written-as"),
        "{}",
        ended.stderr
    );
}
