//! How each host is started, with the arguments that `sinbin serve` would have.

use std::process::Command;

use crate::command::{sinbin_polling, sinbin_wasi};
use crate::example::wasi_example;
use crate::foreign::foreign;
use crate::guest::guest;

/// Options that belong to the service, and not to the host; each has a value.
const OF_SERVICE: [&str; 8] = [
    "--framing",
    "--idle-timeout",
    "--job-timeout",
    "--loop-n",
    "--max-line",
    "--max-n",
    "--reply-timeout",
    "--request-timeout",
];

/// An option of the service that hosts of ours have as well.
const OF_BOTH: [&str; 1] = ["--reply-timeout"];

/// Options of hosts that have threads and a poller of their own.
const OF_THREADS: [&str; 2] = ["--busy-poll", "--workers"];

/// `sinbin` with the portable poller.
pub(super) fn polling(args: &[&str]) -> Command {
    sinbin_polling(args)
}

/// `sinbin-wasi run`, with the service's arguments where they belong.
pub(super) fn driven(name: &str, args: &[&str]) -> Command {
    let guest = guest(name);
    let (own, service) = split(args, &OF_SERVICE);
    let mut all = vec!["run", guest.to_str().expect("a path of ours")];
    all.extend(own);
    all.extend(split(&service, &OF_BOTH).1);
    all.push("--");
    all.extend(service);
    sinbin_wasi(&all)
}

/// The same for a command, which is told all.
pub(super) fn portable(service: &str, args: &[&str]) -> Command {
    driven(&format!("{service}-portable.wasm"), args)
}

/// wasmtime as its own command has it: the guest gets all arguments, of which it knows none of threads.
pub(super) fn stock(service: &str, args: &[&str]) -> Command {
    let mut command = wasi_example("stock");
    command.arg(guest(&format!("{service}-portable.wasm"))).args(split(args, &OF_THREADS).0);
    command
}

/// The shortest driver, which knows but where to listen.
pub(super) fn driver(service: &str, args: &[&str]) -> Command {
    let mut command = wasi_example("driver");
    command.arg(guest(&format!("{service}.wasm"))).args(split(args, &["--listen"]).1.last());
    command
}

/// Node, which drives the service as our host does.
pub(super) fn node(service: &str, args: &[&str]) -> Command {
    drive("node", "serve.mjs", &format!("{service}.wasm"), args)
}

/// Python, which does too.
pub(super) fn python(service: &str, args: &[&str]) -> Command {
    drive("python", "serve.py", &format!("{service}.wasm"), args)
}

/// One of both, with the core module.
pub(super) fn core(language: &str, script: &str, args: &[&str]) -> Command {
    drive(language, script, "sinbin_core.wasm", args)
}

/// Node, where the guest drives itself.
pub(super) fn node_portable(service: &str, args: &[&str]) -> Command {
    let mut command = foreign("node", "run-portable.mjs");
    command.arg(guest(&format!("{service}-portable.wasm"))).args(split(args, &OF_THREADS).0);
    command
}

fn drive(language: &str, script: &str, name: &str, args: &[&str]) -> Command {
    let mut command = foreign(language, script);
    let (args, service) = split(args, &OF_SERVICE);
    let mut args = split(&args, &OF_THREADS).0.into_iter();
    command.arg(guest(name));
    while let Some(arg) = args.next() {
        command.arg(arg);
        // They count bytes.
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
