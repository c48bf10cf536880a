//! The host interface for sockets. The bytes that the service sends are compared with the answers that the client
//! expects.

use sinbin_core::kernel::{Failure, Op};
use sinbin_core::serve::ServeTask;
use sinbin_core::{Host, Instant, IoError, Kernel, Limits, Service, SourceId, Step, TaskId};

use crate::client_model::ClientModel;
use crate::expected::Read;
use crate::world::{Role, World};

impl<S: Service, T: ClientModel> Host for World<S, T> {
    type Storage = Limits;
    type Task = ServeTask<S>;

    fn accept(&mut self, listener: SourceId, new: SourceId) -> Result<(), IoError> {
        if self.listener != Some(listener) {
            return Err(IoError::Closed);
        }
        if let Err(error) = self.room.check(listener) {
            self.crowd();
            return Err(error);
        }
        self.serving.is_refused = false;
        let Some(number) = self.backlog.front().copied() else { return Err(IoError::WouldBlock) };
        if self.rng.strikes(self.plan.faults.accepts) {
            let error = *self.rng.pick(&[IoError::NoRoom, IoError::Os(24), IoError::WouldBlock]);
            if error != IoError::WouldBlock {
                self.room.crowd(listener);
                self.crowd();
            }
            self.serving.is_refused = true;
            self.tell(|| format!("accept fails: {error}"));
            return Err(error);
        }
        if self.is_unseen(self.peers[number].came_at) {
            return Err(IoError::WouldBlock);
        }
        self.backlog.pop_front();
        if self.peers[number].reset {
            self.peers[number].closed = true;
            return Err(IoError::Reset);
        }
        self.room.enter();
        let peer = &mut self.peers[number];
        peer.source = Some(new);
        (peer.began_at, peer.moved_at) = (self.now, self.now);
        self.insert(new, Role::Peer(number));
        self.report.connections += 1;
        self.tell(|| format!("accepted client {number} as source {new}"));
        Ok(())
    }

    fn recv(&mut self, source: SourceId, buffer: &mut [u8]) -> Result<usize, IoError> {
        if let Some(Role::Upstream(number)) = self.entry(source).map(|entry| entry.role) {
            return self.recv_from_upstream(number, buffer);
        }
        let (number, lingers) = self.number(source)?;
        let expected = &self.peers[number].expected;
        if !lingers && expected.is_at_its_end() {
            self.wrong(format!("client {number} is read from after its last answer"));
        }
        let rate = self.plan.faults.short_reads;
        let peer = &mut self.peers[number];
        if peer.inbox.is_empty() && peer.finished {
            if !lingers && !peer.saw_end {
                peer.saw_end = true;
                self.heard(number, Read::End);
                self.tell(|| format!("recv from client {number}: the end"));
            }
            return Ok(0);
        }
        let known = peer.known_since().filter(|_| !peer.inbox.is_empty());
        let is_unseen = known.is_some_and(|since| self.is_unseen(since));
        let there = if is_unseen { 0 } else { self.peers[number].inbox.len() };
        let count = self.rng.part(buffer.len().min(there), rate);
        if count == 0 {
            if !lingers {
                self.heard(number, Read::Nothing);
            }
            let is_stopping = self.stopping && !lingers && there == 0;
            let since = self.peers[number].ready_since().filter(|_| is_unseen);
            if is_stopping && since.is_some_and(|since| since <= self.serving.asked_at) {
                self.wrong(format!("client {number} said something before the service was asked to stop"));
            }
            return Err(if is_stopping { IoError::Stopping } else { IoError::WouldBlock });
        }
        let peer = &mut self.peers[number];
        for (place, byte) in buffer.iter_mut().zip(peer.inbox.drain(..count)) {
            *place = byte;
        }
        self.rouse(number);
        if lingers {
            return Ok(count);
        }
        self.report.received += count as u64;
        self.peers[number].moved_at = self.now;
        let bytes = &buffer[..count];
        self.tell(|| format!("recv from client {number}: \"{}\"", bytes.escape_ascii()));
        self.heard(number, Read::Bytes { bytes, is_cut: count == buffer.len() });
        Ok(count)
    }

    fn send(&mut self, source: SourceId, bytes: &[u8]) -> Result<usize, IoError> {
        if let Some(Role::Upstream(number)) = self.entry(source).map(|entry| entry.role) {
            return self.send_to_upstream(number, bytes);
        }
        let (number, _) = self.number(source)?;
        let peer = &mut self.peers[number];
        self.report.empty_sends += u64::from(bytes.is_empty());
        let room = peer.room.saturating_sub(peer.outbox.len());
        let count = self.rng.part(bytes.len().min(room), self.plan.faults.short_sends);
        if count == 0 && !bytes.is_empty() {
            return Err(IoError::WouldBlock);
        }
        let sent = &bytes[..count];
        peer.outbox.extend(sent);
        peer.moved_at = self.now;
        self.report.sent += count as u64;
        let before = peer.expected.count();
        let is_right = peer.expected.send(sent);
        self.report.answers += peer.expected.count() - before;
        self.tell(|| format!("send to client {number}: \"{}\"", sent.escape_ascii()));
        if let Err(wrong) = is_right {
            self.wrong(format!("client {number}: {wrong}"));
        }
        self.pay_client(number, count);
        self.rouse(number);
        Ok(count)
    }

    fn close(&mut self, source: SourceId) {
        let Some(entry) = self.forget(source) else {
            return self.wrong(format!("source {source} is closed, and does not exist"));
        };
        match entry.role {
            Role::Listener => self.close_listener(),
            Role::Peer(number) => {
                self.tell(|| format!("close client {number}"));
                self.check_close(number);
                let peer = &mut self.peers[number];
                peer.shut = true;
                if peer.saw_end || peer.reset {
                    peer.closed = true;
                    self.leave();
                } else {
                    self.room.linger(number);
                }
                self.rouse(number);
            }
            Role::Lingering(number) => {
                self.close_socket(number);
                self.leave();
            }
            Role::Upstream(number) => self.close_upstream(number),
        }
    }

    fn serve(&mut self, _: SourceId, connection: SourceId) -> ServeTask<S> {
        ServeTask::connect(self, connection)
    }

    fn clock(&self, _: Instant) -> Instant {
        self.now
    }

    fn spawned(&mut self, task: TaskId, source: SourceId) {
        self.begin_task(task, source);
    }

    fn before_step(&mut self, kernel: &Kernel<Limits>) {
        self.begin_step(kernel);
    }

    fn after_step(&mut self, _: &Kernel<Limits>, step: &Step) {
        self.end_step(step);
    }

    fn ended(&mut self, task: TaskId, failure: Option<Failure>) {
        self.owners.remove(task);
        self.tell(|| match failure {
            None => format!("task {task} ends"),
            Some(failure) => format!("task {task} fails: {failure}"),
        });
        // Neither clients nor faults can make an acceptor fail.
        if let Some(failure) = failure.filter(|failure| failure.op == Op::Accept) {
            self.wrong(format!("the acceptor fails: {failure}"));
        }
        self.check_left(task);
    }
}

impl<S: Service, T: ClientModel> World<S, T> {
    /// Notes that an acceptor lacked capacity.
    fn crowd(&mut self) {
        self.serving.is_crowded = true;
        self.serving.is_refused = true;
    }

    /// Returns true if the system has not noticed yet what came at `since`, which it may only within the settle time.
    pub(super) fn is_unseen(&mut self, since: Instant) -> bool {
        self.now < since + self.plan.settle && self.rng.strikes(self.plan.faults.late)
    }

    /// Closes the listener and refuses the clients of the backlog. Checks that clients which came before the service
    /// was asked to stop were accepted, if capacity was available.
    pub(crate) fn close_listener(&mut self) {
        self.listener = None;
        let has_room =
            !self.serving.is_refused && self.sources.iter().count() + 1 < self.plan.capacity.sources;
        for number in std::mem::take(&mut self.backlog) {
            let came_before =
                self.is_to_stop && !self.is_over && self.peers[number].came_at <= self.serving.asked_at;
            if came_before && has_room && !self.peers[number].reset {
                self.wrong(format!(
                    "client {number} came before the service was asked to stop, and is refused"
                ));
            }
            self.tell(|| format!("client {number} is refused"));
            self.peers[number].break_off();
            self.peers[number].closed = true;
            self.rouse(number);
        }
    }

    /// Returns the number of the client at the other end, and true if the connection lingers. Fails after a reset.
    fn number(&mut self, source: SourceId) -> Result<(usize, bool), IoError> {
        let (number, lingers) = match self.entry(source).map(|entry| entry.role) {
            Some(Role::Peer(number)) => (number, false),
            Some(Role::Lingering(number)) => (number, true),
            Some(Role::Listener | Role::Upstream(_)) | None => {
                self.wrong(format!("a task uses source {source}, which is not a connection"));
                return Err(IoError::Closed);
            }
        };
        if self.peers[number].reset { Err(IoError::Reset) } else { Ok((number, lingers)) }
    }

    /// Records a read of the server, and checks the limit of unanswered bytes.
    fn heard(&mut self, number: usize, read: Read<'_>) {
        let block = self.plan.capacity.block_size;
        let peer = &mut self.peers[number];
        if let Read::Bytes { bytes, .. } = read {
            peer.expected.take(bytes.len());
            self.owe_upstream(number, bytes);
        }
        let peer = &mut self.peers[number];
        let limit = block + peer.client_model.may_keep();
        peer.client_model.heard(read, &mut peer.expected);
        let kept = peer.expected.kept();
        if kept > limit as u64 {
            self.wrong(format!(
                "backpressure: client {number} has {kept} bytes read and not answered, over {limit}"
            ));
        }
    }

    /// Closes the socket to a client that may have bytes in flight. As with TCP, such bytes are answered by a reset,
    /// which may overtake bytes that the client has not received yet. Lingering exists so that the client receives its
    /// last answer, if it reads within the linger time.
    pub(crate) fn close_socket(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        peer.closed = true;
        let is_answered_by_reset = !peer.reset && (!peer.finished || !peer.inbox.is_empty());
        if is_answered_by_reset && self.rng.strikes(self.plan.faults.overtaken) {
            let lost = peer.outbox.len();
            let is_cut = self.serving.is_cut || self.serving.is_over;
            let is_early = self.now < peer.lingers_until && !is_cut;
            peer.break_off();
            self.tell(|| format!("client {number} is reset, and {lost} bytes are lost"));
            if lost > 0 && is_early {
                self.wrong(format!(
                    "client {number} loses the last {lost} bytes that it was sent: its socket is closed within the \
                     linger time"
                ));
            }
        }
        self.rouse(number);
    }

    /// Checks that the server has a reason to close the connection.
    fn check_close(&mut self, number: usize) {
        let peer = &self.peers[number];
        if peer.reset || peer.cancelled || peer.timed_out {
            return;
        }
        // The engine accepted the connection itself, and had no slot for its task.
        let is_crowded =
            !self.evidence.tasks_ask_nothing || self.owners.iter().count() >= self.plan.capacity.tasks;
        if self.is_to_stop && peer.task.is_none() && is_crowded {
            return;
        }
        if self.outgoing.relays() {
            return self.check_close_relayed(number);
        }
        let is_answered = peer.expected.is_settled();
        let has_all = peer.saw_end || peer.expected.is_over() || self.stopping;
        if !is_answered {
            self.wrong(format!("client {number} is closed before it has received its answers"));
        } else if !has_all {
            self.wrong(format!("client {number} is closed before it has sent everything"));
        }
    }
}
