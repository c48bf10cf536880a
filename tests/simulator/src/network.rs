//! The made-up network into which a service calls out: how its attempts to connect end, and how its upstreams behave.

use std::fmt;
use std::time::Duration;

use crate::rates::rates;
use crate::rng::Rng;

/// The network into which a service calls out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Network {
    /// True if the service is a relay: it connects once for each client, and passes on all bytes between the client and
    /// that connection, which is called the client's upstream. The simulation then checks that it does.
    pub relays: bool,
    /// Where names are resolved.
    pub names: Names,
    /// The time after which the service gives up an attempt to connect, if it has such a limit. The simulation then
    /// checks that it does, neither earlier nor later.
    pub connect_timeout: Option<Duration>,
    /// The rates of troubles.
    pub troubles: Troubles,
    /// A flaw of the simulated host, by which a test checks that the simulation notices it.
    pub flaw: Option<Flaw>,
}

/// The place where the names of a network are resolved.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Names {
    /// The host resolves a name and connects to it, as the host of a driven guest does.
    #[default]
    ByHost,
    /// The service looks up a name, and connects to the fastest of up to three addresses, as on a native host. The
    /// lookups are jobs, and the attempts are tasks that wake each other.
    ByService,
}

/// A flaw of a host, which a simulation must notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// The host does not tell that an attempt to connect has failed.
    ForgetsFailures,
    /// When the service ends its sending direction to an upstream, the last byte is lost.
    LosesLastBytes,
    /// When an upstream ends its sending direction, its last byte is lost.
    LosesLastReplies,
}

rates! {
    /// The rates of what goes wrong with outgoing connections, in [`OFTEN`](crate::OFTEN).
    Troubles, "troubles":
    /// An attempt to connect fails at once: no capacity, or too many descriptors.
    no_sockets = 100,
    /// A name does not resolve.
    unresolved = 200,
    /// A name resolves late, perhaps after the service has given up.
    slow_names = 300,
    /// No upstream listens.
    refused = 200,
    /// There is no route to the upstream.
    unreachable = 100,
    /// The upstream takes long to accept, perhaps until the service has given up. Some attempts end with the system's
    /// own time limit.
    slow_connects = 600,
    /// The upstream resets the connection, at any moment.
    resets = 250,
    /// The upstream vanishes: it does nothing more, and the connection is reset much later.
    vanishing = 150,
    /// The upstream ends its sending direction early, and continues to receive.
    early_ends = 300,
    /// The upstream closes the connection early, and answers what it then receives by a reset.
    early_closes = 200,
    /// The upstream answers nothing before the service has ended its sending direction, or before it has received much.
    late_answers = 400,
    /// The upstream does nothing for a while.
    pauses = 60,
    /// The socket to the upstream has little capacity in both directions.
    narrow = 600,
}

impl Network {
    /// Draws a random network for a relay with this time limit.
    #[must_use]
    pub fn drawn(rng: &mut Rng, connect_timeout: Option<Duration>) -> Self {
        let names = *rng.pick(&[Names::ByHost, Names::ByService]);
        Self { relays: true, names, connect_timeout, troubles: Troubles::drawn(rng), flaw: None }
    }
}

/// Formats the network as a part of a line.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names {
            Names::ByHost => write!(f, "names resolved by the host, ")?,
            Names::ByService => write!(f, "names resolved by the service, ")?,
        }
        match self.connect_timeout {
            Some(span) => write!(f, "{span:?} to connect, {}", self.troubles),
            None => write!(f, "no time limit to connect, {}", self.troubles),
        }
    }
}

/// Counts of outgoing connections.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Calls {
    /// Attempts that have begun.
    pub begun: u64,
    /// Attempts that ended with a connection.
    pub connected: u64,
    /// Attempts that ended with an error.
    pub failed: u64,
    /// Attempts that the service has given up before it learned how they ended.
    pub abandoned: u64,
    /// Connections over which all bytes of both sides were passed on, to both ends.
    pub completed: u64,
}

impl Calls {
    /// Adds the counts of another run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.connected += other.connected;
        self.failed += other.failed;
        self.abandoned += other.abandoned;
        self.completed += other.completed;
    }
}
