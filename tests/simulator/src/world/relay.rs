//! The oracle of services that call out. Each attempt to connect ends in one way: with a connection, with an error, or
//! abandoned by the service, in time. A relay passes on all bytes between a client and its upstream in both directions,
//! unless one of both breaks off, and ends each direction where the other side has ended it. Nothing outlives its client.

use std::time::Duration;

use sinbin_core::{Instant, IoError, Service, SourceId, Step, TaskId, WaitTarget};

use crate::client_model::ClientModel;
use crate::upstream::{Line, Upstream};
use crate::world::calls::UpstreamId;
use crate::world::{Role, World};

/// The state of a client's call in a relay.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Call {
    /// The relay has not requested a connection.
    #[default]
    Missing,
    /// The relay has requested this connection.
    Open(UpstreamId),
    /// There is no connection, or it has broken off.
    Failed,
    /// All bytes were passed on.
    Complete,
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Returns the client that the running task serves.
    pub(super) fn running_client(&self) -> Option<usize> {
        match self.sources.get(self.running_source()?)?.role {
            Role::Peer(number) => Some(number),
            _ => None,
        }
    }

    /// Checks that a relay may request a connection for this client.
    pub(super) fn check_call(&mut self, client: Option<usize>) {
        if !self.outgoing.relays() {
            return;
        }
        match client.map(|client| self.peers[client].call) {
            None => self.wrong("a connection is requested for no client".to_owned()),
            Some(Call::Missing | Call::Failed) => {}
            Some(call) => self.wrong(format!("a second connection is requested for {client:?}: {call:?}")),
        }
    }

    /// Notes that there is no connection for the client.
    pub(super) fn fail_call(&mut self, client: Option<usize>) {
        if let Some(client) = client {
            self.peers[client].call = Call::Failed;
        }
    }

    /// Notes that this connection is requested for the client. If the service chooses the fastest of several, the
    /// client's connection is the one that is used.
    pub(super) fn open_call(&mut self, number: UpstreamId, client: Option<usize>) {
        let Some(client) = client else { return };
        if self.resolves_names() {
            self.peers[client].asked_at.get_or_insert(self.now);
        } else {
            self.peers[client].call = Call::Open(number);
        }
    }

    /// Notes that a connection is used, which makes it the one of its client.
    pub(super) fn use_call(&mut self, number: UpstreamId) {
        if !self.resolves_names() {
            return;
        }
        let task = self.running_task();
        let Some(upstream) = self.outgoing.upstreams.get_mut(&number) else { return };
        let Some(client) = upstream.client else { return };
        match self.peers[client].call {
            Call::Open(used) if used == number => {}
            Call::Missing | Call::Failed => {
                upstream.task = task;
                self.peers[client].call = Call::Open(number);
                self.need_no_others(client, Some(number));
            }
            call => self.wrong(format!("client {client} has a second connection {number}: {call:?}")),
        }
    }

    /// Returns true if this is the connection of its client.
    fn is_in_use(&self, number: UpstreamId) -> bool {
        let client = self.outgoing.upstreams.get(&number).and_then(|upstream| upstream.client);
        client.is_some_and(|client| self.peers[client].call == Call::Open(number))
    }

    /// Records that the service learns how an attempt to connect has ended.
    pub(super) fn learn(&mut self, number: UpstreamId, outcome: Result<(), IoError>) {
        let Some(upstream) = self.outgoing.upstreams.get_mut(&number) else { return };
        if std::mem::replace(&mut upstream.is_told, true) {
            return;
        }
        let client = upstream.client;
        let goes_on = upstream.needless_since.is_some_and(|turn| self.report.turns > turn + 1);
        if goes_on {
            self.wrong(format!("the attempt to connect to upstream {number} goes on, and is not needed"));
        }
        self.tell(|| match outcome {
            Ok(()) => format!("upstream {number} is connected"),
            Err(error) => format!("upstream {number} is not connected: {error}"),
        });
        if outcome.is_ok() {
            self.outgoing.calls.connected += 1;
        } else {
            self.outgoing.calls.failed += 1;
            self.fail_call(client);
        }
    }

    /// Checks that a wait for the end of an attempt to connect ends in time: it may have begun with the client's
    /// connection, or with the attempt.
    pub(super) fn check_call_deadline(&mut self, task: TaskId, step: &Step) {
        let Some(limit) = self.outgoing.network.and_then(|network| network.connect_timeout) else { return };
        let Step::Wait(wait) = step else { return };
        let deadline = wait.deadline();
        if self.resolves_names() {
            return self.check_patience_with_names(task, deadline, limit);
        }
        let is_waited_for =
            |upstream: &Upstream| upstream.task == Some(task) && !upstream.is_told && !upstream.closed;
        let waited = self.outgoing.upstreams.iter_mut().find(|(_, upstream)| is_waited_for(upstream));
        // A task that yields has a deadline that has expired.
        let Some((number, upstream)) = waited.filter(|_| deadline > Instant::ZERO) else { return };
        upstream.deadline = deadline;
        let (number, latest) = (*number, upstream.asked_at + limit);
        let earliest = upstream.client.map_or(Instant::ZERO, |client| self.peers[client].began_at + limit);
        if deadline < earliest || deadline > latest {
            self.wrong(format!(
                "task {task} waits for upstream {number} until {deadline:?}, and not until its limit between \
                 {earliest:?} and {latest:?}"
            ));
        }
    }

    /// Checks that a task which has looked up the name of its client's upstream waits no longer than its limit for a
    /// connection. It may wait for a shorter time, until it tries another address.
    fn check_patience_with_names(&mut self, task: TaskId, deadline: Instant, limit: Duration) {
        let Some(client) = self.peers.iter().position(|peer| peer.task == Some(task)) else { return };
        let peer = &self.peers[client];
        let is_called = matches!(peer.call, Call::Missing | Call::Failed);
        let latest = peer.asked_at.filter(|_| is_called).map(|asked_at| asked_at + limit);
        if let Some(latest) = latest.filter(|latest| deadline > *latest) {
            self.wrong(format!(
                "task {task} waits for an upstream of client {client} until {deadline:?}, longer than {latest:?}"
            ));
        }
    }

    /// Returns true if what the service waits for on an outgoing connection had happened before `deadline`.
    pub(super) fn upstream_came_before(&self, source: SourceId, what: WaitTarget, deadline: Instant) -> bool {
        let Some(Role::Upstream(number)) = self.sources.get(source).map(|entry| entry.role) else {
            return false;
        };
        self.outgoing.upstreams.get(&number).is_some_and(|upstream| upstream.came_before(what, deadline))
    }

    /// Notes that a relay owes the client bytes that it has read from the upstream.
    pub(super) fn owe_client(&mut self, number: UpstreamId, bytes: &[u8]) {
        let block = self.plan.capacity.block_size;
        let relays = self.outgoing.relays();
        let Some(upstream) = self.outgoing.upstreams.get_mut(&number).filter(|_| relays) else { return };
        upstream.kept += bytes.len();
        let kept = upstream.kept;
        if let Some(client) = upstream.client {
            self.peers[client].expected.answer(bytes);
        }
        if kept > block {
            self.wrong(format!("backpressure: {kept} bytes of upstream {number} are kept, over {block}"));
        }
    }

    /// Notes that a relay has sent bytes to the client.
    pub(super) fn pay_client(&mut self, client: usize, count: usize) {
        if let Call::Open(number) = self.peers[client].call
            && let Some(upstream) = self.outgoing.upstreams.get_mut(&number)
        {
            upstream.kept = upstream.kept.saturating_sub(count);
        }
    }

    /// Notes that a relay owes the upstream bytes that it has read from the client.
    pub(super) fn owe_upstream(&mut self, client: usize, bytes: &[u8]) {
        if !self.outgoing.relays() {
            return;
        }
        let block = self.plan.capacity.block_size;
        let is_connected = |upstream: &Upstream| {
            upstream.client == Some(client)
                && upstream.line == Line::Up
                && upstream.is_told
                && !upstream.closed
        };
        if !self.outgoing.upstreams.values().any(is_connected) {
            return self.wrong(format!("client {client} is read from, and has no upstream"));
        }
        let owed = &mut self.peers[client].owed;
        owed.extend(bytes);
        let owed = owed.len();
        if owed > block {
            self.wrong(format!("backpressure: {owed} bytes of client {client} are kept, over {block}"));
        }
    }

    /// Compares bytes that a relay sends to an upstream with those that it has read from the client.
    pub(super) fn pay_upstream(&mut self, number: UpstreamId, bytes: &[u8]) {
        let client = self.outgoing.upstreams.get(&number).and_then(|upstream| upstream.client);
        let Some(client) = client.filter(|_| self.outgoing.relays()) else { return };
        let owed = &mut self.peers[client].owed;
        let is_right = bytes.iter().all(|byte| owed.pop_front() == Some(*byte));
        if !is_right {
            self.wrong(format!("\"{}\" is sent to upstream {number}, and is not owed", bytes.escape_ascii()));
        }
    }

    /// Checks that a relay ends the direction to the upstream after it has passed on all bytes of the client.
    pub(super) fn check_shut_upstream(&mut self, number: UpstreamId) {
        let relays = self.outgoing.relays();
        let Some(upstream) = self.outgoing.upstreams.get_mut(&number).filter(|_| relays) else { return };
        let Some(peer) = upstream.client.map(|client| &self.peers[client]) else { return };
        upstream.due = Some(peer.spoken);
        let is_early = !peer.saw_end || !peer.owed.is_empty();
        if is_early && !peer.reset {
            self.wrong(format!("the direction to upstream {number} is ended before all of it was passed on"));
        }
    }

    /// Checks that a relay ends the direction to the client after it has passed on all bytes of the upstream.
    pub(crate) fn check_shut_client(&mut self, client: usize) {
        if !self.outgoing.relays() {
            return;
        }
        let is_settled = self.peers[client].expected.is_settled();
        let upstream = match self.peers[client].call {
            Call::Open(number) => self.outgoing.upstreams.get(&number),
            _ => None,
        };
        let spoken = upstream.filter(|upstream| upstream.saw_end).map(|upstream| upstream.spoken);
        self.peers[client].due = spoken;
        if !self.peers[client].reset && (!is_settled || spoken.is_none()) {
            self.wrong(format!("the direction to client {client} is ended before all of it was passed on"));
        }
    }

    /// Checks that a client which has received the end of the stream has received all bytes of its upstream.
    pub(crate) fn check_heard(&mut self, client: usize) {
        let peer = &self.peers[client];
        let Some(due) = peer.due.filter(|_| peer.shut && !peer.reset && peer.outbox.is_empty()) else {
            return;
        };
        let heard = peer.heard;
        if heard != due {
            self.wrong(format!(
                "client {client} has received {} bytes to the end, which are not the {} of its upstream",
                heard.count, due.count
            ));
        }
    }

    /// Checks that the service has a reason to close the connection to an upstream, or to abandon the attempt.
    pub(super) fn check_close_upstream(&mut self, number: UpstreamId) {
        let Some(upstream) = self.outgoing.upstreams.get(&number) else { return };
        let is_asked_to_end = self.stopping || self.is_over;
        let is_excused = upstream.client.is_none_or(|client| {
            let peer = &self.peers[client];
            peer.reset || peer.cancelled || peer.timed_out
        });
        let has_passed_on = upstream.client.is_none_or(|client| self.peers[client].owed.is_empty());
        let is_early = self.now < upstream.deadline && !is_excused && !is_asked_to_end;
        let (line, is_told, is_complete) =
            (upstream.line, upstream.is_told, upstream.is_complete() && has_passed_on);
        let is_broken = upstream.reset || is_excused || is_asked_to_end || !self.is_in_use(number);
        let (client, has_limit) = (upstream.client, upstream.deadline != Instant::NEVER);
        let mut wrong = None;
        let call = match line {
            Line::Up if is_told && is_complete => {
                self.outgoing.calls.completed += 1;
                Call::Complete
            }
            Line::Up if is_told => {
                if !is_broken && self.outgoing.relays() {
                    wrong = Some(format!("upstream {number} is closed before everything was passed on"));
                }
                Call::Failed
            }
            Line::Failed(_) if is_told => Call::Failed,
            _ => {
                self.outgoing.calls.abandoned += 1;
                if is_early && has_limit {
                    wrong = Some(format!("upstream {number} is given up before the deadline"));
                }
                Call::Failed
            }
        };
        if let Some(client) = client.filter(|client| self.peers[*client].call == Call::Open(number)) {
            self.peers[client].call = call;
        }
        if let Some(wrong) = wrong {
            self.wrong(wrong);
        }
    }

    /// Checks that a relay has a reason to close the connection to a client.
    pub(super) fn check_close_relayed(&mut self, client: usize) {
        let peer = &self.peers[client];
        // The kernel had no place for the connection, so the host was not asked for it.
        let is_full = self.sources.iter().count() + 1 >= self.plan.capacity.sources;
        let wrong = match peer.call {
            Call::Failed => None,
            Call::Missing if is_full || self.stopping => None,
            // The lookup has failed, or there was no place for it or for a task that connects.
            Call::Missing if self.resolves_names() => None,
            Call::Missing => Some("and no connection was requested for it"),
            Call::Open(_) => Some("and its upstream is not"),
            Call::Complete if !peer.expected.is_settled() => Some("before it has received all bytes"),
            Call::Complete if !peer.saw_end => Some("before it has sent all bytes"),
            Call::Complete => None,
        };
        if let Some(wrong) = wrong {
            self.wrong(format!("client {client} is closed, {wrong}"));
        }
        self.need_no_others(client, None);
        for upstream in
            self.outgoing.upstreams.values_mut().filter(|upstream| upstream.client == Some(client))
        {
            upstream.client = None;
        }
    }

    /// Notes that no other connections are needed for the client: they were not the fastest, or the client is gone. Their
    /// tasks are cancelled, and may run once more.
    fn need_no_others(&mut self, client: usize, used: Option<UpstreamId>) {
        let turn = self.report.turns;
        let others = self.outgoing.upstreams.iter_mut().filter(|(number, _)| Some(**number) != used);
        for (_, upstream) in others.filter(|(_, upstream)| upstream.client == Some(client)) {
            upstream.needless_since.get_or_insert(turn);
        }
    }

    /// Checks that no connection of a task is left when the task has ended.
    pub(super) fn check_left(&mut self, task: TaskId) {
        if !self.outgoing.relays() {
            return;
        }
        let is_left = |number, upstream: &Upstream| {
            upstream.task == Some(task) && !upstream.closed && self.is_in_use(number)
        };
        let left = self.outgoing.upstreams.iter().find(|(number, upstream)| is_left(**number, upstream));
        if let Some(number) = left.map(|(number, _)| *number) {
            self.wrong(format!("task {task} ends, and its upstream {number} is not closed"));
        }
    }

    /// Checks, when nothing more can happen by itself, that each end of a direction was passed on.
    pub(crate) fn check_ends_passed_on(&mut self) {
        if !self.outgoing.relays() {
            return;
        }
        let is_kept = |upstream: &Upstream| {
            let Some(peer) = upstream.client.map(|client| &self.peers[client]) else { return false };
            let is_usable = upstream.line == Line::Up && !upstream.closed && !upstream.reset && !peer.reset;
            let there = peer.saw_end && peer.owed.is_empty() && !upstream.shut;
            let back = upstream.saw_end && upstream.kept == 0 && !peer.shut;
            is_usable && (there || back)
        };
        let kept = self
            .outgoing
            .upstreams
            .iter()
            .find(|(number, upstream)| is_kept(upstream) && self.is_in_use(**number));
        if let Some(number) = kept.map(|(number, _)| *number) {
            self.wrong(format!(
                "an end of a direction is not passed on between upstream {number} and its client"
            ));
        }
    }

    /// Checks, after the run, that each attempt to connect has ended in one way.
    pub(crate) fn check_calls(&self) -> Result<(), String> {
        let calls = self.outgoing.calls;
        let ended = calls.connected + calls.failed + calls.abandoned;
        match () {
            () if calls.begun != ended => Err(format!("attempts to connect are left: {calls:?}")),
            () if !self.outgoing.upstreams.is_empty() => Err("upstreams are left".to_owned()),
            () => Ok(()),
        }
    }
}
