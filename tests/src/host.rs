//! The hosts that can serve the shipped services: which one the tests of a run use is said by `SINBIN_HOST`.

use std::env;
use std::process::Command;

use crate::command::{sinbin, sinbin_wasi};
use crate::example::wasi_example;
use crate::foreign::foreign;
use crate::guest::guest;

/// Options that belong to the service, and not to the host; each has a value.
const OF_SERVICE: [&str; 5] = ["--framing", "--idle-timeout", "--loop-n", "--max-line", "--max-n"];

/// Options of hosts that have threads and a poller of their own.
const OF_THREADS: [&str; 2] = ["--busy-poll", "--workers"];

/// The command that serves `service`, with the arguments that `sinbin serve` would have.
pub(crate) fn serve(service: &str, args: &[&str]) -> Command {
    let host = env::var("SINBIN_HOST").unwrap_or_else(|_| "native".to_owned());
    match host.as_str() {
        "native" => sinbin(&[&["serve", service], args].concat()),
        "driven" => run(&format!("{service}.wasm"), args),
        "portable" => run(&format!("{service}-portable.wasm"), args),
        "stock" => stock(&format!("{service}-portable.wasm"), args),
        "node" => node(&format!("{service}.wasm"), args),
        other => panic!("SINBIN_HOST={other}: there are native, driven, portable, stock and node"),
    }
}

/// `sinbin-wasi run`, with the service's arguments where they belong.
fn run(name: &str, args: &[&str]) -> Command {
    let guest = guest(name);
    let (own, service) = split(args, &OF_SERVICE);
    let mut all = vec!["run", guest.to_str().expect("a path of ours")];
    all.extend(own);
    all.push("--");
    all.extend(service);
    sinbin_wasi(&all)
}

/// wasmtime as its own command has it: the guest gets all arguments, of which it knows none of threads.
fn stock(name: &str, args: &[&str]) -> Command {
    let mut command = wasi_example("stock");
    command.arg(guest(name)).args(split(args, &OF_THREADS).0);
    command
}

/// Node, which drives the service as our host does.
fn node(name: &str, args: &[&str]) -> Command {
    let mut command = foreign("node", "serve.mjs");
    let (args, service) = split(args, &OF_SERVICE);
    let mut args = split(&args, &OF_THREADS).0.into_iter();
    command.arg(guest(name));
    while let Some(arg) = args.next() {
        command.arg(arg);
        // It counts bytes.
        if arg == "--max-buffered" {
            let mebibytes: u64 = args.next().and_then(|value| value.parse().ok()).expect("a number");
            command.arg((mebibytes << 20).to_string());
        }
    }
    command.arg("--").args(service);
    command
}

/// The arguments without these options, which have values, and those.
fn split<'a>(args: &[&'a str], options: &[&str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut others, mut these) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if options.contains(arg) {
            these.push(*arg);
            these.extend(args.next());
        } else {
            others.push(*arg);
        }
    }
    (others, these)
}
