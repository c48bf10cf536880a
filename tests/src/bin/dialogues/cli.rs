//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Parser, ValueEnum};
use sinbin_tests::dialogue::Service;

/// Hold scripted conversations with every host, and see that all say the same, to the byte.
///
/// Hosts that are needed and not there are built first. A host of your own is a command that prints `listening on
/// ADDR`, or an address: dialogues --service fib -- my-server --listen 127.0.0.1:0
#[derive(Parser)]
#[command(name = "dialogues", version, after_help = EXIT_CODES)]
#[command(group = ArgGroup::new("own").args(["address", "command"]).multiple(true))]
pub(crate) struct Cli {
    /// A host, by its name; may be given more than once. Otherwise all, or yours alone if you name one.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Only dialogues whose name contains this, such as fib/ or fib/pipelined.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) only: String,
    /// Only dialogues with this service; it is what your own host serves.
    #[arg(long, value_enum)]
    pub(crate) service: Option<ServiceArg>,
    /// Where your own host listens. Without a command it runs already.
    #[arg(long, value_name = "ADDR:PORT", requires = "service")]
    pub(crate) address: Option<SocketAddr>,
    /// What your own host cannot do; may be given more than once.
    #[arg(long, value_enum, value_name = "NEED", requires = "own")]
    pub(crate) lacks: Vec<NeedArg>,
    /// Say what hosts and dialogues there are, and do nothing.
    #[arg(long)]
    pub(crate) list: bool,
    /// Where the dialogues are.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/dialogues"))]
    pub(crate) dialogues: PathBuf,
    /// Your own host. The options of a dialogue are put behind as --name value, or in the place of an argument
    /// {options}. It ends with this command, and so does what it starts itself.
    #[arg(last = true, requires = "service", value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const EXIT_CODES: &str = "Exit codes: 0 all that can be held was, and alike; 1 something differs or failed, see the \
table; 2 wrong arguments, or a dialogue that makes no sense; 130 Ctrl-C, and 143 SIGTERM, ended it and the hosts that it \
had started.";

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ServiceArg {
    /// The talk's service.
    Fib,
    /// What is sent comes back.
    Echo,
    /// It does so in upper case.
    Upper,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum NeedArg {
    /// To close a connection without a reset while the client still sends.
    Linger,
}

impl From<ServiceArg> for Service {
    fn from(service: ServiceArg) -> Self {
        match service {
            ServiceArg::Fib => Self::Fib,
            ServiceArg::Echo => Self::Echo,
            ServiceArg::Upper => Self::Upper,
        }
    }
}
