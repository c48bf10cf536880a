//! The simulator as a host.

mod run;

use std::fmt::Display;
use std::time::Duration;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_protocol::Framing;
use sinbin_core::fib_service::Fib;
use sinbin_core::{Service as Served, Task};
use sinbin_simulator::client_model::{ClientModel, EchoTalk, FibTalk, UpperTalk};
use sinbin_simulator::{Capacity, Computes, Faults, Plan, Rng, Scripted, World};

use super::script::{Dialogue, Options, Service};
use super::stage::{Host, Outcome, Stage};
use run::run;

/// The number of concurrent connections if no option sets it: more than any dialogue uses.
const CONNECTIONS: usize = 1000;

/// The faults that do not change the outcome of a dialogue: no client breaks off or is reset, and no job fails or is
/// cancelled. Jumps of the clock would end connections. Short reads change the output of some services, so `open`
/// enables them where they do not.
const BAD_LUCK: Faults = Faults {
    short_reads: 0,
    pieces: 0,
    resets: 0,
    squatters: 0,
    overtaken: 0,
    failing_jobs: 0,
    dying_workers: 0,
    cancels: 0,
    jumps: 0,
    ..Faults::ALL
};

/// The simulator as a host: the shipped services on the shipped executor, with sockets in memory, in virtual time.
/// The promises are checked before each step, and no resource may be left when a dialogue has ended.
#[derive(Clone, Copy, Debug)]
pub struct Simulated {
    name: &'static str,
    about: &'static str,
    computes: Computes,
    seed: Option<u64>,
}

static ALL: [Simulated; 3] = [
    Simulated {
        name: "simulator",
        about: "the services in virtual time, with sockets in memory",
        computes: Computes::Workers(2),
        seed: None,
    },
    Simulated {
        name: "simulator-alone",
        about: "the simulator without workers: jobs in slices",
        computes: Computes::Slices,
        seed: None,
    },
    Simulated {
        name: "simulator-unlucky",
        about: "the simulator with workers and faults: short sends, late and false readiness, slow jobs",
        computes: Computes::Workers(2),
        seed: Some(1),
    },
];

impl Simulated {
    /// Returns all simulated hosts.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// Returns the host with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|host| host.name == name)
    }

    /// Returns this host with the faults that `seed` selects.
    #[must_use]
    pub fn with_faults(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    fn plan(&self, connections: usize, buffered: usize, idle_timeout: Option<Duration>) -> Plan {
        let plan = Plan::friendly(connections);
        let (faults, max_pause, block_size) = match self.seed {
            None => (Faults::default(), 0, plan.capacity.block_size),
            Some(_) => (BAD_LUCK, 100_000, 2048),
        };
        let capacity = Capacity { blocks: buffered / block_size, block_size, ..plan.capacity };
        Plan { capacity, computes: self.computes, idle_timeout, faults, max_pause, ..plan }
    }
}

impl Host for Simulated {
    fn name(&self) -> &str {
        self.name
    }

    fn about(&self) -> &str {
        self.about
    }

    fn lacks(&self, _: &Dialogue) -> Option<String> {
        None
    }

    fn open(&self, service: Service, options: &Options) -> Result<Box<dyn Stage>, String> {
        let Settings { fib, connections, buffered } = Settings::read(options)?;
        let mut plan = self.plan(connections, buffered << 20, fib.idle_timeout);
        let by_reads =
            service == Service::Upper || service == Service::Fib && fib.rules.framing != Framing::Lines;
        if self.seed.is_some() && !by_reads {
            (plan.faults.short_reads, plan.faults.pieces) = (Faults::ALL.short_reads, Faults::ALL.pieces);
        }
        Ok(Box::new(Simulation { service, fib, plan, seed: self.seed, story: String::new() }))
    }
}

/// The values of a dialogue's options.
struct Settings {
    fib: Fib,
    /// The maximum number of concurrent connections.
    connections: usize,
    /// The most MiB that the server may buffer.
    buffered: usize,
}

impl Default for Settings {
    /// Returns the defaults of `sinbin serve`, except for the number of connections.
    fn default() -> Self {
        let fib = Fib { idle_timeout: Some(Duration::from_secs(300)), ..Fib::default() };
        Self { fib, connections: CONNECTIONS, buffered: 64 }
    }
}

impl Settings {
    fn read(options: &Options) -> Result<Self, String> {
        let mut these = Self::default();
        let fib = &mut these.fib;
        for (name, value) in options {
            let wrong = |error: &dyn Display| format!("{name} = {value:?}: {error}");
            let number = || value.parse::<u32>().map_err(|error| wrong(&error));
            match name.as_str() {
                "framing" => fib.rules.framing = framing(value).ok_or_else(|| wrong(&"there is none"))?,
                "idle-timeout" if value == "off" => fib.idle_timeout = None,
                "idle-timeout" => {
                    fib.idle_timeout = Some(humantime::parse_duration(value).map_err(|error| wrong(&error))?);
                }
                "loop-n" => fib.loop_n = number()?,
                "max-buffered" => these.buffered = number()? as usize,
                "max-connections" => these.connections = number()? as usize,
                "max-line" => fib.rules.max_line = u16::try_from(number()?).map_err(|error| wrong(&error))?,
                "max-n" => fib.rules.max_n = number()?,
                _ => return Err(format!("the simulator knows no option {name}")),
            }
        }
        Ok(these)
    }
}

fn framing(name: &str) -> Option<Framing> {
    match name {
        "auto" => Some(Framing::Auto),
        "lines" => Some(Framing::Lines),
        "bare" => Some(Framing::Bare),
        _ => None,
    }
}

/// A service with its options. Each dialogue runs in a simulation of its own.
struct Simulation {
    service: Service,
    /// The settings of fib, of which the other services use only the idle timeout.
    fib: Fib,
    plan: Plan,
    seed: Option<u64>,
    /// The story of the last dialogue, if it failed.
    story: String,
}

impl Stage for Simulation {
    fn perform(&mut self, dialogue: &Dialogue) -> Outcome {
        let (outcome, _) = self.hold(dialogue, false);
        self.story.clear();
        if outcome.failure.is_some() {
            // The simulation is deterministic, so the second run repeats the first.
            self.story = self.hold(dialogue, true).1;
        }
        outcome
    }

    fn says(&self) -> String {
        self.story.clone()
    }
}

impl Simulation {
    /// Plays a dialogue. Returns the outcome, and the story if `told` is set.
    fn hold(&self, dialogue: &Dialogue, told: bool) -> (Outcome, String) {
        let idle_timeout = self.fib.idle_timeout;
        match self.service {
            Service::Fib => self.hold_with(self.fib, || FibTalk::new(&self.fib), dialogue, told),
            Service::Echo => {
                self.hold_with(Echo { idle_timeout, ..Echo::default() }, || EchoTalk, dialogue, told)
            }
            Service::Upper => {
                self.hold_with(Upper { idle_timeout, ..Upper::default() }, || UpperTalk, dialogue, told)
            }
        }
    }

    fn hold_with<S, T>(
        &self,
        service: S,
        talks: impl Fn() -> T,
        dialogue: &Dialogue,
        told: bool,
    ) -> (Outcome, String)
    where
        S: Served<Conn: Task<World<S, T>>>,
        T: ClientModel,
    {
        let rng = || self.seed.map_or_else(|| Rng::replayed(&[]), Rng::seeded);
        let begin = if told { Scripted::told } else { Scripted::new };
        run(begin(service, &self.plan, rng()).strict(), talks, rng(), dialogue)
    }
}
