use std::process::Command;

use super::Lack;
use super::launch::{
    core, driven, driver, metal, node, node_portable, polling, portable, python, stock, wasip3,
};
use crate::command::sinbin;
use crate::dialogue::{Need, Service};

/// A host of this repository.
#[derive(Debug)]
pub struct Known {
    /// The short name.
    pub name: &'static str,
    /// A one-line description.
    pub about: &'static str,
    /// Options that make it this host. They are left out if a test passes the first of them itself.
    pub(super) own: &'static [&'static str],
    /// The limitations of the host, and the reason of each.
    pub(super) lacks: &'static [(Lack, &'static str)],
    /// Returns the host's command, given a service's name and the arguments of `sinbin serve`.
    pub(super) launch: fn(&str, &[&str]) -> Command,
}

const FIB_ALONE: (Lack, &str) = (Lack::Other(Service::Fib), "sinbin_core.wasm is the service fib");
const ASYNC_ECHO: [(Lack, &str); 2] = [
    (Lack::Other(Service::Echo), "echo-async.wasm is the service echo"),
    (Lack::Option("idle-timeout"), "echo-async.wasm takes no arguments"),
];
const WASIP3_ECHO: [(Lack, &str); 2] = [
    (Lack::Other(Service::Echo), "wasip3-echo.wasm is the service echo"),
    (Lack::Options, "wasip3-echo.wasm takes an address only"),
];
const NODE: (Lack, &str) = (Lack::Tools("node"), "node or npm is not installed");
const PYTHON: (Lack, &str) = (Lack::Tools("python"), "python3 or one of its packages is not installed");
const NO_LINGER: &str = "its runtime closes a socket at once, which resets a connection with unread input";

const QEMU: (Lack, &str) = (Lack::Tools("qemu"), "qemu-system-arm is not installed");
const FIXED_BLOCKS: (Lack, &str) = (
    Lack::Option("max-buffered"),
    "without a heap, the blocks for bytes that wait are arrays in the program",
);

static ALL: [Known; 21] = [
    Known {
        name: "native",
        about: "sinbin serve, with threads for jobs",
        own: &[],
        lacks: &[],
        launch: native,
    },
    Known {
        name: "native-alone",
        about: "sinbin serve without such threads: jobs in slices",
        own: &["--workers", "0"],
        lacks: &[],
        launch: native,
    },
    Known {
        name: "native-async",
        about: "sinbin serve with the services as async fns",
        own: &["--written-as", "async-fn"],
        lacks: &[],
        launch: native,
    },
    Known {
        name: "native-async-alone",
        about: "sinbin serve with async fns and without threads",
        own: &["--workers", "0", "--written-as", "async-fn"],
        lacks: &[],
        launch: native,
    },
    Known {
        name: "native-polling",
        about: "sinbin serve on the portable poller",
        own: &[],
        lacks: &[],
        launch: |service, args| polling(&[&["serve", service], args].concat()),
    },
    Known {
        name: "driven",
        about: "sinbin-wasi run fib.wasm, with instances for jobs",
        own: &[],
        lacks: &[],
        launch: |service, args| driven(&format!("{service}.wasm"), args),
    },
    Known {
        name: "driven-alone",
        about: "sinbin-wasi run fib.wasm without such instances: jobs in slices",
        own: &["--workers", "0"],
        lacks: &[],
        launch: |service, args| driven(&format!("{service}.wasm"), args),
    },
    Known {
        name: "driven-async",
        about: "sinbin-wasi run echo-async.wasm",
        own: &[],
        lacks: &ASYNC_ECHO,
        launch: |service, args| driven(&format!("{service}-async.wasm"), args),
    },
    Known {
        name: "wasip3",
        about: "sinbin-wasi run wasip3-echo.wasm, a command of WASI 0.3",
        own: &[],
        lacks: &WASIP3_ECHO,
        launch: wasip3,
    },
    Known {
        name: "portable",
        about: "sinbin-wasi run fib-portable.wasm, a command of WASI 0.2",
        own: &[],
        lacks: &[],
        launch: portable,
    },
    Known {
        name: "stock",
        about: "fib-portable.wasm under plain wasmtime",
        own: &[],
        lacks: &[(Lack::Need(Need::Linger), NO_LINGER)],
        launch: stock,
    },
    Known {
        name: "driver",
        about: "fib.wasm driven by the shortest driver in Rust",
        own: &[],
        lacks: &[
            (Lack::Other(Service::Fib), "it only handles the commands that fib sends"),
            (Lack::Options, "it has no options for its guest"),
            (Lack::Need(Need::Linger), "it closes a socket at once, to be short"),
        ],
        launch: driver,
    },
    Known { name: "node", about: "fib.wasm driven by Node", own: &[], lacks: &[NODE], launch: node },
    Known {
        name: "node-async",
        about: "echo-async.wasm driven by Node",
        own: &[],
        lacks: &[NODE, ASYNC_ECHO[0], ASYNC_ECHO[1]],
        launch: |service, args| node(&format!("{service}-async"), args),
    },
    Known {
        name: "node-core",
        about: "sinbin_core.wasm, a core module, driven by Node",
        own: &[],
        lacks: &[NODE, FIB_ALONE],
        launch: |_, args| core("node", "core.mjs", args),
    },
    Known {
        name: "node-portable",
        about: "fib-portable.wasm in Node, with jco's preview2-shim",
        own: &[],
        lacks: &[NODE, (Lack::Need(Need::Linger), NO_LINGER)],
        launch: node_portable,
    },
    Known { name: "python", about: "fib.wasm driven by Python", own: &[], lacks: &[PYTHON], launch: python },
    Known {
        name: "python-async",
        about: "echo-async.wasm driven by Python",
        own: &[],
        lacks: &[PYTHON, ASYNC_ECHO[0], ASYNC_ECHO[1]],
        launch: |service, args| python(&format!("{service}-async"), args),
    },
    Known {
        name: "python-core",
        about: "sinbin_core.wasm driven by Python",
        own: &[],
        lacks: &[PYTHON, FIB_ALONE],
        launch: |_, args| core("python", "core.py", args),
    },
    Known {
        name: "metal",
        about: "firmware on a Cortex-M4 in QEMU, on smoltcp and without a heap",
        own: &[],
        lacks: &[QEMU, FIXED_BLOCKS],
        launch: |service, args| metal(service, "", args),
    },
    Known {
        name: "metal-async",
        about: "the same firmware with the services as async fns",
        own: &[],
        lacks: &[QEMU, FIXED_BLOCKS],
        launch: |service, args| metal(service, "async", args),
    },
];

impl Known {
    /// Returns all hosts that are processes. The simulator is [`Simulated`](crate::dialogue::Simulated).
    #[must_use]
    pub fn all() -> &'static [Self] {
        &ALL
    }
}

fn native(service: &str, args: &[&str]) -> Command {
    sinbin(&[&["serve", service], args].concat())
}
