//! Tests of the manual page and the completions that both commands print.

#![cfg(unix)]

use std::process::Command;

use sinbin_tests::{Running, sinbin, sinbin_wasi};

/// A command: its name, the function that creates it, and its subcommands without subcommands of their own.
type Described = (&'static str, fn(&[&str]) -> Command, &'static [&'static str]);

const COMMANDS: [Described; 2] = [
    (
        "sinbin",
        sinbin,
        &[
            "serve fib",
            "serve echo",
            "serve upper",
            "replay",
            "ask",
            "crawl",
            "perf latency",
            "perf throughput",
            "perf mixed",
            "ps",
            "tree",
            "where",
            "events",
            "top",
            "monitor",
            "watch",
            "kill",
            "drain",
            "completions",
            "man",
        ],
    ),
    ("sinbin-wasi", sinbin_wasi, &["run", "replay", "compile", "inspect", "completions", "man"]),
];

fn printed(command: Command) -> String {
    let ended = Running::start(command).wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    ended.stdout
}

/// Returns the subcommands that the help of a command lists.
fn named_in_help(help: &str) -> Vec<&str> {
    let (_, list) = help.split_once("\nCommands:\n").expect("the help lists subcommands");
    let names = list.lines().take_while(|line| !line.is_empty() && !line.starts_with("Options"));
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[test]
fn the_manual_page_has_a_section_for_each_subcommand() {
    for (name, command, subcommands) in COMMANDS {
        let page = printed(command(&["man"]));
        assert!(page.contains(&format!(".TH {name} 1 ")), "{page}");
        for subcommand in subcommands {
            let heading = format!("\n.SH \"{}\"\n", format!("{name} {subcommand}").to_uppercase());
            assert_eq!(page.matches(&heading).count(), 1, "{heading:?} in {page}");
        }
        // `COMMANDS` must list each subcommand.
        for named in named_in_help(&printed(command(&["-h"]))) {
            let is_known = subcommands.iter().any(|known| known.split(' ').next() == Some(named));
            assert!(is_known, "{name} {named}");
        }
        assert!(
            !page.contains("compile\\-apart") && !page.contains("COMPILE-APART"),
            "the subcommand is hidden"
        );
        assert!(page.contains("Exit codes: 0 success"), "{page}");
    }
}

#[test]
fn completions_are_printed_for_each_shell() {
    for (name, command, subcommands) in COMMANDS {
        for shell in ["bash", "zsh", "fish"] {
            let script = printed(command(&["completions", shell]));
            for word in subcommands.iter().flat_map(|subcommand| subcommand.split(' ')).chain([name]) {
                assert!(script.contains(word), "{word} in the completions of {name} for {shell}");
            }
        }
        let ended = Running::start(command(&["completions", "nonsense"])).wait();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    }
}
