//! The command of each host, given the arguments of `sinbin serve`.

use std::process::Command;

use crate::command::{sinbin_polling, sinbin_wasi};
use crate::example::wasi_example;
use crate::firmware::firmware;
use crate::foreign::foreign;
use crate::guest::guest;

/// Options of the service rather than of the host; each has a value.
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

/// Options of the service that the hosts of this repository have as well.
const OF_BOTH: [&str; 1] = ["--reply-timeout"];

/// Options of hosts with their own threads and poller.
const OF_THREADS: [&str; 2] = ["--busy-poll", "--workers"];

/// Returns `sinbin` with the portable poller.
pub(super) fn polling(args: &[&str]) -> Command {
    sinbin_polling(args)
}

/// Returns `sinbin-wasi run`, with the service's arguments behind `--`.
pub(super) fn driven(name: &str, args: &[&str]) -> Command {
    let guest = guest(name);
    let (own, service) = split(args, &OF_SERVICE);
    let mut all = vec!["run", guest.to_str().expect("a UTF-8 path")];
    all.extend(own);
    all.extend(split(&service, &OF_BOTH).1);
    all.push("--");
    all.extend(service);
    sinbin_wasi(&all)
}

/// Returns `sinbin-wasi run` for the guest that is a WASI command.
pub(super) fn portable(service: &str, args: &[&str]) -> Command {
    driven(&format!("{service}-portable.wasm"), args)
}

/// Returns `sinbin-wasi run` for the guest that is a command of WASI 0.3. It is told the last address to listen on.
pub(super) fn wasip3(service: &str, args: &[&str]) -> Command {
    let guest = guest(&format!("wasip3-{service}.wasm"));
    let address = split(args, &["--listen"]).1.last().copied().unwrap_or("127.0.0.1:0");
    let mut command = sinbin_wasi(&["run", guest.to_str().expect("a UTF-8 path"), "--raw-arguments"]);
    command.args(args).args(["--", address]);
    command
}

/// Returns plain wasmtime, which passes all arguments to the guest except those about threads, which the guest does not
/// have.
pub(super) fn stock(service: &str, args: &[&str]) -> Command {
    let mut command = wasi_example("stock");
    command.arg(guest(&format!("{service}-portable.wasm"))).args(split(args, &OF_THREADS).0);
    command
}

/// Returns the minimal driver, which only accepts an address to listen on.
pub(super) fn driver(service: &str, args: &[&str]) -> Command {
    let mut command = wasi_example("driver");
    command.arg(guest(&format!("{service}.wasm"))).args(split(args, &["--listen"]).1.last());
    command
}

/// Returns the Node driver, which drives the guest as `sinbin-wasi` does.
pub(super) fn node(service: &str, args: &[&str]) -> Command {
    drive("node", "serve.mjs", &format!("{service}.wasm"), args)
}

/// Returns the Python driver, which drives the guest as `sinbin-wasi` does.
pub(super) fn python(service: &str, args: &[&str]) -> Command {
    drive("python", "serve.py", &format!("{service}.wasm"), args)
}

/// Returns the Node or the Python driver, with the core module.
pub(super) fn core(language: &str, script: &str, args: &[&str]) -> Command {
    drive(language, script, "sinbin_core.wasm", args)
}

/// Returns Node running the guest that drives itself.
pub(super) fn node_portable(service: &str, args: &[&str]) -> Command {
    let mut command = foreign("node", "run-portable.mjs");
    command.arg(guest(&format!("{service}-portable.wasm"))).args(split(args, &OF_THREADS).0);
    command
}

/// Returns the firmware of a service in QEMU. With a hundred clients at a time, it needs as many sockets.
pub(super) fn metal(service: &str, features: &str, args: &[&str]) -> Command {
    let mut command = firmware(service, features, 128);
    command.args(split(args, &OF_THREADS).0);
    command
}

fn drive(language: &str, script: &str, name: &str, args: &[&str]) -> Command {
    let mut command = foreign(language, script);
    let (args, service) = split(args, &OF_SERVICE);
    let mut args = split(&args, &OF_THREADS).0.into_iter();
    command.arg(guest(name));
    while let Some(arg) = args.next() {
        command.arg(arg);
        // The drivers count bytes rather than MiB.
        if arg == "--max-buffered" {
            let mebibytes: u64 = args.next().and_then(|value| value.parse().ok()).expect("a number");
            command.arg((mebibytes << 20).to_string());
        }
    }
    command.arg("--").args(service);
    command
}

/// Splits `args` into the arguments without `options`, and `options` with their values.
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
