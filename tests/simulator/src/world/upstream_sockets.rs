//! The sockets of outgoing connections. What a relay sends is compared with what it has received on the other side.

use sinbin_core::{IoError, Service};

use crate::client_model::ClientModel;
use crate::network::Flaw;
use crate::upstream::{Line, Upstream};
use crate::world::World;
use crate::world::calls::UpstreamId;

impl<S: Service, T: ClientModel> World<S, T> {
    /// Receives from an upstream.
    pub(super) fn recv_from_upstream(
        &mut self,
        number: UpstreamId,
        buffer: &mut [u8],
    ) -> Result<usize, IoError> {
        let upstream = self.connection(number, "receives from")?;
        if upstream.outbox.is_empty() && upstream.finished {
            if !upstream.saw_end {
                upstream.saw_end = true;
                self.tell(|| format!("recv from upstream {number}: the end"));
            }
            return Ok(0);
        }
        let available = upstream.outbox.len();
        let known = upstream.known_since().filter(|_| available > 0);
        let is_unseen = known.is_some_and(|since| self.is_unseen(since));
        let most = if is_unseen { 0 } else { buffer.len().min(available) };
        let count = self.rng.part(most, self.plan.faults.short_reads);
        if count == 0 {
            let is_stopping = self.stopping && available == 0;
            return Err(if is_stopping { IoError::Stopping } else { IoError::WouldBlock });
        }
        let upstream = self.connection(number, "receives from")?;
        for (place, byte) in buffer.iter_mut().zip(upstream.outbox.drain(..count)) {
            *place = byte;
        }
        self.report.received += count as u64;
        let bytes = &buffer[..count];
        self.tell(|| format!("recv from upstream {number}: \"{}\"", bytes.escape_ascii()));
        self.rouse_upstream(number);
        self.owe_client(number, bytes);
        Ok(count)
    }

    /// Sends to an upstream.
    pub(super) fn send_to_upstream(&mut self, number: UpstreamId, bytes: &[u8]) -> Result<usize, IoError> {
        let upstream = self.connection(number, "sends to")?;
        if upstream.shut {
            self.wrong(format!("the service sends to upstream {number} after it has ended that direction"));
            return Err(IoError::Closed);
        }
        let room = upstream.room.saturating_sub(upstream.inbox.len());
        let count = self.rng.part(bytes.len().min(room), self.plan.faults.short_sends);
        if count == 0 && !bytes.is_empty() {
            return Err(IoError::WouldBlock);
        }
        let sent = &bytes[..count];
        self.connection(number, "sends to")?.inbox.extend(sent);
        self.report.sent += count as u64;
        self.tell(|| format!("send to upstream {number}: \"{}\"", sent.escape_ascii()));
        self.pay_upstream(number, sent);
        self.rouse_upstream(number);
        Ok(count)
    }

    /// Ends the sending direction to an upstream.
    pub(crate) fn shut_upstream(&mut self, number: UpstreamId) -> Result<(), IoError> {
        let loses = self.outgoing.has_flaw(Flaw::LosesLastBytes);
        let upstream = self.connection(number, "ends the direction to")?;
        upstream.shut = true;
        if loses {
            upstream.inbox.pop_back();
        }
        self.tell(|| format!("the direction to upstream {number} is ended"));
        self.check_shut_upstream(number);
        self.rouse_upstream(number);
        Ok(())
    }

    /// Closes the service's end of an outgoing connection, or abandons the attempt.
    pub(super) fn close_upstream(&mut self, number: UpstreamId) {
        self.tell(|| format!("close upstream {number}"));
        self.check_close_upstream(number);
        let Some(upstream) = self.outgoing.upstreams.get_mut(&number) else { return };
        // Bytes that the service has not read, or that are still to come, are answered by a reset.
        if upstream.line == Line::Up && !upstream.saw_end {
            upstream.break_off();
        }
        (upstream.closed, upstream.shut) = (true, true);
        self.rouse_upstream(number);
        self.forget_upstream(number);
    }

    /// Returns the upstream of an established connection. Fails after a reset.
    fn connection(&mut self, number: UpstreamId, does: &str) -> Result<&mut Upstream, IoError> {
        let is_up = self
            .outgoing
            .upstreams
            .get(&number)
            .is_some_and(|upstream| upstream.line == Line::Up && upstream.is_told);
        if !is_up {
            self.wrong(format!("the service {does} upstream {number}, to which it has no connection"));
        }
        if is_up {
            self.use_call(number);
        }
        match self.outgoing.upstreams.get_mut(&number) {
            Some(upstream) if is_up && !upstream.reset => Ok(upstream),
            Some(_) if is_up => Err(IoError::Reset),
            _ => Err(IoError::Closed),
        }
    }
}
