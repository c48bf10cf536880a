//! Outgoing connections: the host interface by which a service calls out, and the actions of the upstreams.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use sinbin_core::exec::Connects;
use sinbin_core::{Instant, IoError, Service, SourceId};

use crate::client_model::ClientModel;
use crate::network::{Calls, Flaw, Network};
use crate::upstream::{Line, Upstream};
use crate::world::names::{Lookup, client_of};
use crate::world::{Event, Role, World};

/// The number of an upstream, which no other upstream of the run has.
pub(crate) type UpstreamId = u64;

/// The longest time in nanoseconds until an upstream acts.
const SOON: u32 = 30_000;

/// The network, if the service may call out, and its upstreams.
#[derive(Default)]
pub(crate) struct Outgoing {
    pub(crate) network: Option<Network>,
    pub(crate) upstreams: BTreeMap<UpstreamId, Upstream>,
    last: UpstreamId,
    /// The lookup that the running task has requested.
    pub(super) next_lookup: RefCell<Option<Lookup>>,
    pub(crate) calls: Calls,
}

impl Outgoing {
    /// Returns true if the service is to relay.
    pub(crate) fn relays(&self) -> bool {
        self.network.is_some_and(|network| network.relays)
    }

    pub(crate) fn has_flaw(&self, flaw: Flaw) -> bool {
        self.network.is_some_and(|network| network.flaw == Some(flaw))
    }
}

impl<S: Service, T: ClientModel> Connects for World<S, T> {
    fn connect(&mut self, address: SocketAddr, new: SourceId) -> Result<(), IoError> {
        let looked_up = client_of(address).filter(|_| self.resolves_names());
        let client = looked_up.or_else(|| self.running_client());
        self.call(new, client, Line::Connecting, || address.to_string())
    }

    fn connect_name(&mut self, host: &str, port: u16, new: SourceId) -> Result<(), IoError> {
        if self.resolves_names() {
            return Err(IoError::Unsupported);
        }
        self.call(new, self.running_client(), Line::Resolving, || format!("{host}:{port}"))
    }

    fn connected(&mut self, source: SourceId) -> Result<(), IoError> {
        let number = self.upstream_of(source)?;
        let upstream = &self.outgoing.upstreams[&number];
        let (line, since) = (upstream.line, upstream.ended_at);
        let outcome = match line {
            Line::Resolving | Line::Connecting => return Err(IoError::WouldBlock),
            _ if self.is_unseen(since) => return Err(IoError::WouldBlock),
            Line::Failed(error) => Err(error),
            Line::Up => Ok(()),
        };
        self.learn(number, outcome);
        outcome
    }
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Begins an attempt to connect.
    fn call(
        &mut self,
        new: SourceId,
        client: Option<usize>,
        line: Line,
        to: impl Fn() -> String,
    ) -> Result<(), IoError> {
        let Some(Network { troubles, .. }) = self.outgoing.network else { return Err(IoError::Unsupported) };
        self.outgoing.calls.begun += 1;
        self.check_call(client);
        if self.rng.strikes(troubles.no_sockets) {
            let error = *self.rng.pick(&[IoError::NoRoom, IoError::Os(24)]);
            self.tell(|| format!("no connection to {}: {error}", to()));
            self.outgoing.calls.failed += 1;
            self.fail_call(client);
            return Err(error);
        }
        self.outgoing.last += 1;
        let number = self.outgoing.last;
        let mut upstream = Upstream::new(new, line, self.now, &troubles, &mut self.rng);
        upstream.task = self.running_task();
        upstream.client = client;
        self.open_call(number, client);
        self.outgoing.upstreams.insert(number, upstream);
        self.insert(new, Role::Upstream(number));
        self.tell(|| match client {
            Some(client) => {
                format!("upstream {number} is called at {} for client {client}, as source {new}", to())
            }
            None => format!("upstream {number} is called at {}, as source {new}", to()),
        });
        let after = match line {
            Line::Resolving => self.delay(troubles.slow_names),
            _ => self.delay(troubles.slow_connects),
        };
        self.schedule(after, Event::Upstream(number));
        Ok(())
    }

    /// Returns a short time in nanoseconds, or at this rate one that may be longer than any deadline.
    pub(super) fn delay(&mut self, slow: u32) -> u64 {
        if self.rng.strikes(slow) {
            let most = *self.rng.pick(&[20_000_000, 1_000_000]);
            return u64::from(self.rng.between(1, most)) * 1000;
        }
        u64::from(self.rng.between(1, 200_000))
    }

    /// Runs an event of an upstream: the attempt to connect goes on, or the upstream acts.
    pub(crate) fn upstream_acts(&mut self, number: UpstreamId) {
        let Some(line) = self.outgoing.upstreams.get(&number).map(|upstream| upstream.line) else { return };
        let troubles = self.outgoing.network.map(|network| network.troubles).unwrap_or_default();
        match line {
            Line::Failed(_) => {}
            Line::Up => self.upstream_goes_on(number),
            Line::Resolving if self.rng.strikes(troubles.unresolved) => {
                self.end_attempt(number, Line::Failed(IoError::Unresolved));
            }
            Line::Resolving => {
                self.tell(|| format!("the name of upstream {number} resolves"));
                if let Some(upstream) = self.outgoing.upstreams.get_mut(&number) {
                    upstream.line = Line::Connecting;
                }
                let after = self.delay(troubles.slow_connects);
                self.schedule(after, Event::Upstream(number));
            }
            Line::Connecting => {
                let line = self.answer_call(number);
                self.end_attempt(number, line);
            }
        }
    }

    /// Decides how the upstream answers an attempt to connect.
    fn answer_call(&mut self, number: UpstreamId) -> Line {
        let troubles = self.outgoing.network.map(|network| network.troubles).unwrap_or_default();
        let asked_at = self.outgoing.upstreams[&number].asked_at;
        let is_late = self.outgoing.network.and_then(|network| network.connect_timeout);
        let is_late = is_late.is_some_and(|limit| self.now >= asked_at + limit);
        match () {
            () if self.rng.strikes(troubles.refused) => Line::Failed(IoError::ConnectionRefused),
            () if self.rng.strikes(troubles.unreachable) => Line::Failed(IoError::Unreachable),
            () if is_late && self.rng.below(2) == 1 => Line::Failed(IoError::TimedOut),
            () => Line::Up,
        }
    }

    fn end_attempt(&mut self, number: UpstreamId, line: Line) {
        self.tell(|| match line {
            Line::Failed(error) => format!("upstream {number} cannot be reached: {error}"),
            _ => format!("upstream {number} accepts"),
        });
        let Some(upstream) = self.outgoing.upstreams.get_mut(&number) else { return };
        (upstream.line, upstream.ended_at) = (line, self.now);
        let source = upstream.source;
        self.list(source);
        if line == Line::Up {
            self.rouse_upstream(number);
        }
    }

    /// Schedules an action of the upstream after a change on the service's side.
    pub(crate) fn rouse_upstream(&mut self, number: UpstreamId) {
        let Some(upstream) = self.outgoing.upstreams.get_mut(&number) else { return };
        upstream.note(self.now);
        if upstream.line == Line::Up && !upstream.is_scheduled {
            upstream.is_scheduled = true;
            let asleep = upstream.asleep_until.saturating_sub(self.now.as_nanos());
            let after = u64::from(self.rng.between(1, SOON));
            self.schedule(after.max(asleep), Event::Upstream(number));
        }
    }

    /// Lets a connected upstream act.
    fn upstream_goes_on(&mut self, number: UpstreamId) {
        let troubles = self.outgoing.network.map(|network| network.troubles).unwrap_or_default();
        let Self { outgoing, plan, rng, now, .. } = self;
        let Some(upstream) = outgoing.upstreams.get_mut(&number) else { return };
        upstream.is_scheduled = false;
        let source = upstream.source;
        if upstream.vanished {
            if !upstream.closed && !upstream.reset && *now >= upstream.ended_at {
                upstream.break_off();
                self.tell(|| format!("the system gives up upstream {number}, which has vanished"));
                self.list(source);
            }
            return self.forget_upstream(number);
        }
        if upstream.reset {
            return self.forget_upstream(number);
        }
        if rng.strikes(troubles.pauses) {
            let most = if rng.below(64) == 63 { 50_000_000 } else { 500_000 };
            let span = u64::from(rng.between(1, most));
            upstream.asleep_until = now.as_nanos() + span;
            self.tell(|| format!("upstream {number} does nothing for {} µs", span / 1000));
            return self.rouse_upstream(number);
        }
        let had_finished = upstream.finished;
        let (heard, spoken) = upstream.act(plan, rng);
        let (vanished, reset, finished) = (upstream.vanished, upstream.reset, upstream.finished);
        if finished && !had_finished && outgoing.has_flaw(Flaw::LosesLastReplies) {
            self.outgoing.upstreams.get_mut(&number).and_then(|upstream| upstream.outbox.pop_back());
        }
        self.story.add((heard as u64) << 32 | spoken as u64);
        self.tell(|| {
            let ends = match () {
                () if vanished => ", and vanishes",
                () if reset => ", and resets the connection",
                () if finished => ", and has ended its sending direction",
                () => "",
            };
            format!("upstream {number} receives {heard} bytes, sends {spoken}{ends}")
        });
        if vanished {
            self.vanish(number);
        } else if self.outgoing.upstreams[&number].has_something_to_do() {
            self.rouse_upstream(number);
        }
        self.list(source);
        self.forget_upstream(number);
    }

    /// Schedules the reset of the connection to an upstream that has vanished.
    fn vanish(&mut self, number: UpstreamId) {
        let Some(upstream) = self.outgoing.upstreams.get_mut(&number) else { return };
        let after = upstream.gives_up();
        upstream.ended_at = Instant::from_nanos(self.now.as_nanos().saturating_add(after));
        // No other event of this upstream happens from now on.
        upstream.is_scheduled = true;
        self.schedule(after, Event::Upstream(number));
    }

    /// Removes an upstream whose connection is closed at both ends. Checks that it has received all bytes.
    pub(crate) fn forget_upstream(&mut self, number: UpstreamId) {
        let Some(upstream) = self.outgoing.upstreams.get(&number).filter(|upstream| upstream.is_over())
        else {
            return;
        };
        let is_whole = !upstream.reset && !upstream.vanished && upstream.has_end;
        let wrong = upstream.due.filter(|due| is_whole && *due != upstream.heard).map(|due| {
            let heard = upstream.heard.count;
            format!(
                "upstream {number} has received {heard} bytes to the end, which are not the {} of its client",
                due.count
            )
        });
        self.outgoing.upstreams.remove(&number);
        if let Some(wrong) = wrong {
            self.wrong(wrong);
        }
    }

    /// Returns the number of the upstream of a source.
    pub(super) fn upstream_of(&mut self, source: SourceId) -> Result<UpstreamId, IoError> {
        match self.entry(source).map(|entry| entry.role) {
            Some(Role::Upstream(number)) => Ok(number),
            _ => {
                self.wrong(format!(
                    "a task asks whether source {source} is connected, which it did not request"
                ));
                Err(IoError::Closed)
            }
        }
    }

    /// Ends the faults of the upstreams.
    pub(crate) fn calm_upstreams(&mut self) {
        let numbers: Vec<_> = self.outgoing.upstreams.keys().copied().collect();
        for number in numbers {
            let Some(upstream) = self.outgoing.upstreams.get_mut(&number) else { continue };
            upstream.calm_down();
            let (source, is_closed) = (upstream.source, upstream.closed);
            self.rouse_upstream(number);
            if !is_closed {
                self.list(source);
            }
        }
    }
}
