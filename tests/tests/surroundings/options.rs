//! Options that the commands share have the same meaning in each.

use std::collections::BTreeMap;
use std::process::Command;

use sinbin_tests::{ReservedPort, Running, Server, guest, sinbin, sinbin_wasi};

use crate::{WAYS, drain, is_served, listens};

/// Values at the limits of the accepted ranges.
const EDGES: [(&str, &[&str]); 13] = [
    ("--max-buffered", &["0", "4000", "4095", "65535", "64M", "1500k", "64000001B", "1 GiB"]),
    ("--max-connections", &["1", "1000000"]),
    ("--max-jobs", &["1", "1000000"]),
    ("--max-per-peer", &["10", "4294967295"]),
    ("--workers", &["0", "1024"]),
    ("--slice", &["1", "4294967295"]),
    ("--busy-poll", &["0", "100"]),
    (
        "--drain-timeout",
        &["1ns", "500us", "1.5s", "5 min", "2h 30min", "1000years", "580000000000years", "off"],
    ),
    ("--reply-timeout", &["1.5s", "1000years", "off"]),
    ("--idle-timeout", &["1.5min", "90 s", "2h 30min", "1000years", "580000000000years", "off"]),
    ("--log", &["off", "error", "warn", "info", "debug", "trace"]),
    ("--log-format", &["text", "json"]),
    ("--log-limit", &["0", "1", "1000000"]),
];

/// Returns true if a host does not accept the value: recordings count in 32 bits, as the help says.
fn is_beyond(way: &str, option: &str, value: &str) -> bool {
    way == "recorded" && option == "--max-buffered" && value == "65535"
}

#[test]
fn every_host_takes_the_same_values_and_serves_with_them() {
    for way in &WAYS {
        for (option, values) in EDGES {
            for value in values.iter().filter(|value| !is_beyond(way.name, option, value)) {
                let port = ReservedPort::new();
                let address = port.address();
                let listen = address.to_string();
                let mut args = vec!["--listen", &listen];
                // This is an option of the service, so in a sandbox it is passed to the guest.
                if option == "--idle-timeout" && matches!(way.name, "driven" | "portable") {
                    args.push("--");
                }
                args.extend([option, *value]);
                let mut running = Running::start((way.command)(&args));
                listens(&mut running, address);
                if option == "--max-connections" && *value == "1" {
                    // The check that the server listens was the only connection.
                    assert_eq!(drain(running).0, Some(0), "{} {option} {value}", way.name);
                    continue;
                }
                is_served(address);
                assert_eq!(drain(running).0, Some(0), "{} {option} {value}", way.name);
            }
        }
    }
}

#[test]
fn every_host_refuses_the_same_values() {
    for way in &WAYS {
        for (option, value) in [
            ("--max-buffered", "65536"),
            ("--max-buffered", "64G"),
            ("--max-buffered", "64X"),
            ("--listen", "localhost"),
            ("--listen", "::1"),
            ("--max-connections", "0"),
            ("--max-jobs", "0"),
            ("--max-per-peer", "0"),
            ("--workers", "1025"),
            ("--slice", "0"),
            ("--busy-poll", "1000001"),
            ("--drain-timeout", "0s"),
            ("--drain-timeout", "5"),
            ("--drain-timeout", "99999999999999999999years"),
            ("--reply-timeout", "0s"),
            ("--idle-timeout", "0ms"),
            ("--idle-timeout", "-1s"),
            ("--idle-timeout", "99999999999999999999h"),
            ("--log", "loud"),
            ("--log-format", "xml"),
            ("--log-limit", "-1"),
        ] {
            let mut args = vec!["--listen", "127.0.0.1:0"];
            let is_guests = option == "--idle-timeout" && matches!(way.name, "driven" | "portable");
            let text = format!("{option}={value}");
            args.extend(is_guests.then_some("--"));
            args.push(&text);
            let ended = Running::start((way.command)(&args)).wait();
            // A portable guest's exit codes are only 0 and 1.
            let code = if is_guests && way.name == "portable" { 1 } else { 2 };
            assert_eq!(ended.code, Some(code), "{} {text}: {}", way.name, ended.stderr);
            assert!(ended.stderr.contains(option), "{} {text}: {}", way.name, ended.stderr);
        }
    }
}

#[test]
fn a_turn_may_take_centuries() {
    let guest = guest("fib.wasm");
    let guest = guest.to_str().expect("a UTF-8 path");
    for limit in ["1ns", "500us", "1000years", "580000000000years", "off"] {
        let server = sinbin_wasi(&["run", guest, "--listen", "127.0.0.1:0", "--turn-limit", limit]);
        assert_eq!(Server::announced(server).stop().code, Some(0), "{limit}");
    }
}

/// Returns the options that a command's help names, each with its whole text.
fn options(command: Command) -> BTreeMap<String, String> {
    let ended = Running::start(command).wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // A short name or blanks of the same width precede it.
    let blocks = ended.stdout.split("\n      --").skip(1);
    let options = blocks.map(|block| block.split("\n\n  -").next().unwrap_or_default().trim_end());
    options
        .map(|text| (text.split_whitespace().next().unwrap_or_default().to_owned(), text.to_owned()))
        .collect()
}

#[test]
fn an_option_that_both_commands_have_is_one_option() {
    let native = options(sinbin(&["serve", "echo", "--help"]));
    let sandboxed = options(sinbin_wasi(&["run", "--help"]));
    // The service's own option, the choice between the two forms of the native services, the options that start a `sinbin`
    // beside the server, and the permission to cancel tasks, which those of guests cannot be.
    let of_native = ["idle-timeout", "written-as", "metrics", "stall-after", "control"];
    assert!(native.len() > 8, "{native:?}");
    for (name, text) in &native {
        if !of_native.contains(&name.as_str()) {
            assert_eq!(sandboxed.get(name), Some(text), "{name}");
        }
    }
}
