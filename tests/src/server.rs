use std::net::SocketAddr;
use std::ops::Deref;
use std::process::Command;

use rustix::process::Signal;

use crate::client::{Client, exchange};
use crate::command::{Ended, Running};
use crate::example::example;
use crate::host::serve;
use crate::wait::PATIENCE;

/// A listening server: `sinbin serve` or an example.
pub struct Server {
    running: Running,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts `sinbin serve fib` with `args`, or another host (see `host`). Without `--listen` among `args` the server
    /// listens on a free port.
    #[must_use]
    pub fn fib(args: &[&str]) -> Self {
        Self::start("fib", args)
    }

    /// Starts any service as [`fib`](Self::fib) does.
    #[must_use]
    pub fn start(service: &str, args: &[&str]) -> Self {
        let mut all = args.to_vec();
        if !args.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        let listeners = all.iter().filter(|arg| **arg == "--listen").count();
        Self::listening(serve(service, &all), listeners)
    }

    /// Starts an example that takes an address to listen on, with a free port.
    #[must_use]
    pub fn example(name: &str) -> Self {
        Self::of(example(name))
    }

    /// Starts any program that takes an address to listen on, with a free port.
    #[must_use]
    pub fn of(mut program: Command) -> Self {
        program.arg("127.0.0.1:0");
        Self::listening(program, 1)
    }

    /// Starts any program that prints one address without being given one.
    #[must_use]
    pub fn announced(program: Command) -> Self {
        Self::listening(program, 1)
    }

    /// Starts any program that prints as many addresses as it has listeners.
    #[must_use]
    pub fn listening(command: Command, listeners: usize) -> Self {
        let running = Running::start(command);
        let lines = running.first_lines(listeners);
        let address = |line: &String| announced(line).unwrap_or_else(|error| panic!("{error}"));
        let addresses = lines.iter().map(address).collect();
        Self { running, addresses }
    }

    /// Returns the address of the server, or the first one if there are several.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Returns all addresses of the server.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Connects a new client.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends `requests` and the end of the stream. Returns everything that is received.
    ///
    /// # Panics
    ///
    /// Panics if the connection fails or if the answer is not UTF-8.
    #[must_use]
    pub fn ask(&self, requests: impl AsRef<[u8]>) -> String {
        String::from_utf8(exchange(self.address(), requests.as_ref())).expect("text")
    }

    /// Asks the server to stop by SIGTERM, and waits for its end.
    #[must_use]
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for the end of the server, for [`PATIENCE`](crate::PATIENCE) at most.
    #[must_use]
    pub fn wait(self) -> Ended {
        self.running.wait_for(PATIENCE)
    }
}

impl Deref for Server {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

/// Parses the line in which a server prints its address, which the name of a guest may follow.
pub(crate) fn announced(line: &str) -> Result<SocketAddr, String> {
    let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(" (").next());
    let address = address.and_then(|address| address.parse().ok());
    address.ok_or_else(|| format!("no line \"listening on ADDR\": {line:?}"))
}
