//! The scenarios that a visitor can choose from.

use serde::Serialize;
use sinbin_core::sync::order::Order;
use sinbin_core::task::{Async, Handle};

use crate::programs::{
    countdown, deadlock, echo, fib_in_task, fib_job, ordered, sleepers, tickets, tickets_locked,
};
use crate::world::World;

/// A program with its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// Three tasks count down in turn.
    Countdown,
    /// Three tasks count down, and sleep after each number.
    Sleepers,
    /// Clients get back what they send.
    Echo,
    /// Jobs run on worker threads.
    FibWorkers,
    /// Jobs run in slices between the turns of the loop.
    FibSlices,
    /// Each task computes its reply itself.
    FibInTask,
    /// Buyers race for tickets.
    Tickets,
    /// Buyers take turns.
    TicketsLocked,
    /// Two tasks acquire two locks in opposite orders.
    Deadlock,
    /// The locks have an order.
    Ordered,
}

/// The place where jobs are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Computes {
    Workers,
    Slices,
}

/// The requests that clients send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Talk {
    Echo,
    Fib,
}

/// The description of a scenario, for the page.
#[derive(Serialize, Debug)]
pub struct About {
    /// The name in links.
    pub name: &'static str,
    /// The title.
    pub title: &'static str,
    /// The point of the scenario, in a sentence or two.
    pub about: &'static str,
    /// True if clients connect to the program.
    pub has_clients: bool,
    /// True if clients request Fibonacci numbers.
    pub asks_fib: bool,
    /// The lines of the program.
    pub code: Vec<&'static str>,
}

impl Scenario {
    /// All scenarios, in the order of the page.
    pub const ALL: [Self; 10] = [
        Self::Countdown,
        Self::Sleepers,
        Self::Echo,
        Self::FibWorkers,
        Self::FibSlices,
        Self::FibInTask,
        Self::Tickets,
        Self::TicketsLocked,
        Self::Deadlock,
        Self::Ordered,
    ];

    /// Returns the name of the scenario in links.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Countdown => "countdown",
            Self::Sleepers => "sleepers",
            Self::Echo => "echo",
            Self::FibWorkers => "fib-workers",
            Self::FibSlices => "fib-slices",
            Self::FibInTask => "fib-in-task",
            Self::Tickets => "tickets",
            Self::TicketsLocked => "tickets-locked",
            Self::Deadlock => "deadlock",
            Self::Ordered => "ordered",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Countdown => "Countdown",
            Self::Sleepers => "Countdown, asleep",
            Self::Echo => "Echo",
            Self::FibWorkers => "fib: jobs on workers",
            Self::FibSlices => "fib: jobs in slices",
            Self::FibInTask => "fib: in the task",
            Self::Tickets => "Tickets: a race",
            Self::TicketsLocked => "Tickets: with a lock",
            Self::Deadlock => "Deadlock",
            Self::Ordered => "Deadlock: with an order",
        }
    }

    const fn about(self) -> &'static str {
        match self {
            Self::Countdown => {
                "Three tasks count down from 5, 8 and 3. After each number, a task yields: it goes to the end of the \
                 run queue. The first task waits until the others have ended."
            }
            Self::Sleepers => {
                "Three tasks count down, and sleep after each number for a span that the seed decides. While all of \
                 them sleep, time jumps to the next deadline."
            }
            Self::Echo => {
                "Each client gets back what it sends. Slow a client down, and its task waits to send; cut it off, \
                 and its task waits to receive until two seconds have passed."
            }
            Self::FibWorkers => {
                "Client 1 asks for fib(34), which takes 114 ms. Two worker threads compute jobs, so the task waits \
                 for its job, and the loop serves client 2 meanwhile."
            }
            Self::FibSlices => {
                "Client 1 asks for fib(34), and there are no worker threads: the loop computes the job in slices of \
                 1 ms between its turns. Client 2 waits for a slice at most."
            }
            Self::FibInTask => {
                "Client 1 asks for fib(34), and its task computes that itself. The task does not wait, so the loop \
                 stands still, and client 2 waits as long as client 1."
            }
            Self::Tickets => {
                "Eight buyers read how many tickets are left, wait for the network, and write one less. There are \
                 three tickets, and too many are sold."
            }
            Self::TicketsLocked => {
                "Each buyer holds a lock while it waits for the network. Three buyers get one ticket each, one after \
                 another."
            }
            Self::Deadlock => {
                "Two tasks acquire the locks x and y in opposite orders. Whether they end up waiting for each other \
                 depends on the seed. Cancel one of them to free the other."
            }
            Self::Ordered => {
                "Two tasks acquire the locks x and y in opposite orders, but the locks have an order: x comes before \
                 y. The task that violates the order gets an error at once, whatever the seed is."
            }
        }
    }

    const fn source(self) -> &'static str {
        match self {
            Self::Countdown => include_str!("programs/countdown.rs"),
            Self::Sleepers => include_str!("programs/sleepers.rs"),
            Self::Echo => include_str!("programs/echo.rs"),
            Self::FibWorkers | Self::FibSlices => include_str!("programs/fib_job.rs"),
            Self::FibInTask => include_str!("programs/fib_in_task.rs"),
            Self::Tickets => include_str!("programs/tickets.rs"),
            Self::TicketsLocked => include_str!("programs/tickets_locked.rs"),
            Self::Deadlock => include_str!("programs/deadlock.rs"),
            Self::Ordered => include_str!("programs/ordered.rs"),
        }
    }

    /// Returns the lines of the program, with their marks.
    pub(crate) fn marked_code(self) -> impl Iterator<Item = &'static str> {
        self.source().lines().skip_while(|line| line.starts_with("use ") || line.is_empty())
    }

    /// Returns the description for the page.
    #[must_use]
    pub fn describe(self) -> About {
        About {
            name: self.name(),
            title: self.title(),
            about: self.about(),
            has_clients: self.talk().is_some(),
            asks_fib: self.talk() == Some(Talk::Fib),
            code: self.marked_code().map(crate::code::without_mark).collect(),
        }
    }

    /// Returns the scenario of this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }

    pub(crate) const fn computes(self) -> Computes {
        match self {
            Self::FibSlices => Computes::Slices,
            _ => Computes::Workers,
        }
    }

    pub(crate) const fn talk(self) -> Option<Talk> {
        match self {
            Self::Echo => Some(Talk::Echo),
            Self::FibWorkers | Self::FibSlices | Self::FibInTask => Some(Talk::Fib),
            _ => None,
        }
    }

    /// Returns the clients at the beginning, each as the number whose Fibonacci number it requests.
    pub(crate) const fn first_clients(self) -> &'static [u32] {
        match self.talk() {
            Some(Talk::Echo) => &[0; 3],
            Some(Talk::Fib) => &[34, 10],
            None => &[],
        }
    }

    /// Returns the first task of the program.
    pub(crate) fn main<'d>(self, handle: Handle<'d>, world: &'d World, order: &'d Order<'d, 4>) -> Async<'d> {
        match self {
            Self::Countdown => Async::new(handle, countdown::main(handle, world)).0,
            Self::Sleepers => Async::new(handle, sleepers::main(handle, world)).0,
            Self::Echo => Async::new(handle, echo::server(handle)).0,
            Self::FibWorkers | Self::FibSlices => Async::new(handle, fib_job::server(handle)).0,
            Self::FibInTask => Async::new(handle, fib_in_task::server(handle, world)).0,
            Self::Tickets => Async::new(handle, tickets::main(handle, world)).0,
            Self::TicketsLocked => Async::new(handle, tickets_locked::main(handle, world)).0,
            Self::Deadlock => Async::new(handle, deadlock::main(handle, world)).0,
            Self::Ordered => Async::new(handle, ordered::main(handle, world, order)).0,
        }
    }
}
