//! A turn of the guest, and the execution of its commands.

use std::time::Duration;

use sinbin_core::driven::recording::Turn;
use sinbin_core::driven::{Command, Event, SourceHandle, TurnOutput};
use sinbin_core::serve::Linger;
use sinbin_core::{Instant, Interest, IoError, JobId, Rest, SourceId};

use crate::guests::input::handle;
use crate::guests::server::GuestServer;
use crate::guests::source_table::Role;
use crate::guests::{Guest, GuestFactory, caught_call};
use crate::host::index;
use crate::observe::EventKind;

/// The time after which a connection that the guest has closed is dropped if its peer receives none of the remaining
/// bytes.
const STUCK_PATIENCE: Duration = Duration::from_secs(10);

/// The minimum duration of a turn that is reported in the next one. The guest has no clock, and cannot know when in the
/// turn it requested a timeout.
const LONG_TURN: Duration = Duration::from_millis(1);

/// The additional number of commands per turn for each connection and event. An `async fn` may try 32 operations in one
/// step.
const COMMANDS_EACH: usize = 32;

impl<B: GuestFactory> GuestServer<B> {
    /// Calls the guest. Replaces a guest that fails.
    pub(super) fn turn(&mut self, now: Instant) -> Rest {
        let window = self.window();
        let Some(instance) = &mut self.instance else { return Rest::Until(Instant::NEVER) };
        if self.has_more {
            self.input.events.push(Event::More);
        }
        if self.took >= LONG_TURN {
            self.input.events.push(Event::Took(u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX)));
        }
        self.surroundings.tell(now, &mut self.input);
        self.observer.step();
        self.input.check_order();
        let (events, input) = (&self.input.events[..], self.input.bytes());
        let answer = caught_call(|| instance.turn(now, window, events, input));
        self.took = self.clock.now().since(now);
        if let Some(recorder) = &mut self.recorder {
            recorder.turn(&Turn { now, window, events, input }, answer.as_ref().ok());
        }
        match answer {
            Ok(answer) => self.act(answer, window, now),
            Err(fault) => {
                self.input.clear();
                self.fault(&fault.0, now)
            }
        }
    }

    fn act(&mut self, answer: TurnOutput, window: u32, now: Instant) -> Rest {
        let (said, allowed) = (answer.commands.len(), self.allowed_commands());
        if said > allowed {
            let why = format!(
                "it answers with {said} commands in one turn; at most {allowed} are allowed (see --max-commands)"
            );
            return self.fault(&why, now);
        }
        let (ignored, most) = (self.ignored, self.settings.max_ignored);
        let mut output = &answer.output[..];
        // The events added from here on belong to the next turn. The bytes of this turn are still needed.
        self.input.events.clear();
        for command in answer.commands {
            self.obey(command, &mut output, window);
            if usize::try_from(self.ignored - ignored).is_ok_and(|count| count > most) {
                let why =
                    format!("more than {most} of its commands in one turn are invalid; see --max-ignored");
                return self.fault(&why, now);
            }
        }
        if !output.is_empty() {
            self.ignore("left bytes of output that belong to no command");
        }
        self.input.clear_bytes();
        while let Some(source) = self.input.next_told() {
            let Some(place) = self.places.get(source) else { continue };
            place.set_piece(&(0..0));
            // The guest may have passed bytes back unread, or may have received such bytes again.
            if place.wanted() != place.watched {
                self.watch(source);
            }
            self.nudge_later(source);
        }
        let crowd = self.settings.max_connections.saturating_sub(self.open);
        self.room = answer.room.min(u32::try_from(crowd).unwrap_or(u32::MAX));
        match answer.rest {
            Rest::Stalled => self.fault(
                "its tasks wait, and nothing can wake them (run it natively to see which and why)",
                now,
            ),
            Rest::Until(deadline) if deadline < now => {
                self.ignore("answered with a deadline in the past");
                Rest::Ready
            }
            Rest::Empty => {
                self.end_requests();
                Rest::Empty
            }
            rest => rest,
        }
    }

    /// Returns the number of commands with which the guest may answer. Executing commands takes time of the host, which
    /// the limits of a turn do not cover.
    fn allowed_commands(&self) -> usize {
        let of_these = self.open.saturating_add(self.input.events.len()).saturating_mul(COMMANDS_EACH);
        self.settings.max_commands.saturating_add(of_these)
    }

    fn obey(&mut self, command: Command, output: &mut &[u8], window: u32) {
        match command {
            Command::Send { source, len } => self.send(of(source), len, output, window),
            Command::Watch { source, interest } => self.set_interest(of(source), interest),
            Command::Unread { source, len } => self.take_back(of(source), len),
            Command::Shutdown(source) => self.shut_down(of(source)),
            Command::Close(source) => self.close(of(source)),
            Command::Submit { job, len } => self.submit(job, len, output),
            Command::Cancel(job) => self.cancel(job),
            Command::Connect { request, len } => self.connect(request, len, output),
            Command::Abandon(request) => self.abandon(request),
            Command::Log { level, len } => match output.split_off(..len as usize) {
                Some(text) => self.log.write(level, text),
                None => self.ignore("logs more bytes than it has put out"),
            },
            Command::Print { len } => match output.split_off(..len as usize) {
                Some(bytes) => self.print(bytes),
                None => self.ignore("prints more bytes than it has put out"),
            },
            _ => self.ignore("says what is not known here"),
        }
    }

    fn send(&mut self, source: SourceId, len: u32, output: &mut &[u8], window: u32) {
        let Some(bytes) = output.split_off(..len as usize) else {
            return self.ignore("sends more bytes than it has put out");
        };
        let Some(place) = self.places.get(source).filter(|place| place.role == Role::Connection) else {
            return self.ignore("sends by a handle that names no connection");
        };
        if place.failed {
            return;
        }
        let kept = place.rest().len();
        if kept + bytes.len() > window as usize {
            return self.ignore("sends more than the window by a connection that is stuck");
        }
        let sent = if kept > 0 { Ok(0) } else { self.sockets.send(source, bytes) };
        let count = match sent {
            Ok(count) => count,
            Err(IoError::WouldBlock) => 0,
            Err(error) => return self.broke(source, error),
        };
        self.counts.sent += count as u64;
        if count < bytes.len() {
            let until = self.settings.reply_timeout.map_or(Instant::NEVER, |span| self.clock.now() + span);
            place.keep(&bytes[count..], until);
            if until != Instant::NEVER && place.set_timed() {
                self.stuck.push_back((place.until(), source));
            }
            self.kept += bytes.len() - count;
            if kept == 0 {
                self.input.events.push(Event::Stuck(handle(source)));
                self.watch(source);
            }
        }
    }

    fn set_interest(&mut self, source: SourceId, interest: Interest) {
        let is_open = |role| matches!(role, Role::Connection | Role::Listener);
        let Some(place) = self.places.get(source).filter(|place| is_open(place.role)) else {
            return self.ignore("watches a handle that it was never given, or has closed");
        };
        place.interest = interest;
        self.observer.guest_waits(source, interest);
        place.told_idle = false;
        let has_back = !place.unread().is_empty() && interest.contains(Interest::RECV);
        if place.role == Role::Connection {
            if has_back {
                self.again.push(source);
            }
            self.watch(source);
            self.nudge_later(source);
        }
    }

    fn take_back(&mut self, source: SourceId, len: u32) {
        let Some(place) = self.places.get(source).filter(|place| place.role == Role::Connection) else {
            return self.ignore("hands bytes back by a handle that names no connection");
        };
        let received = place.piece();
        let Some(start) = received.end.checked_sub(len as usize).filter(|at| *at >= received.start) else {
            return self.ignore("hands back more bytes than it was given");
        };
        place.keep_unread(&self.input.bytes()[start..received.end]);
        // Each byte can be passed back only once.
        place.set_piece(&(received.start..start));
        self.kept += len as usize;
        if place.interest.contains(Interest::RECV) {
            self.again.push(source);
        }
    }

    fn shut_down(&mut self, source: SourceId) {
        let Some(place) = self.places.get(source).filter(|place| place.role == Role::Connection) else {
            return self.ignore("shuts down a handle that names no connection");
        };
        place.shutdown = true;
        if place.rest().is_empty() {
            self.sockets.shutdown(source).ok();
        }
    }

    fn close(&mut self, source: SourceId) {
        let is_requested = self.is_requested(source);
        let Some(place) = self.places.get(source) else {
            return self.ignore("closes a handle that names nothing");
        };
        if place.failed || !place.rest().is_empty() {
            self.input.forget(source);
        }
        match place.role {
            // The host keeps its own listener: if the guest fails, the next instance receives it.
            Role::Listener if self.draining.is_none() && !is_requested => place.interest = Interest::NONE,
            Role::Listener => self.close_listener(source),
            Role::Connection if place.rest().is_empty() => self.part(source),
            Role::Connection => self.finish(source),
            Role::Closing | Role::Lingering => self.ignore("closes a handle twice"),
            Role::Connecting => self.ignore("closes a handle that it was never given"),
        }
    }

    /// Sends the last bytes of a connection that the guest has closed.
    fn finish(&mut self, source: SourceId) {
        let Some(place) = self.places.get(source).filter(|place| place.role == Role::Connection) else {
            return;
        };
        place.role = Role::Closing;
        place.interest = Interest::NONE;
        place.has_moved();
        self.closing.push_back((self.clock.now() + STUCK_PATIENCE, source));
        self.watch(source);
    }

    /// Ends a connection whose output is all sent. The connection lingers, because the peer might lose the last bytes
    /// sent to it if the socket were closed with unread input.
    pub(super) fn part(&mut self, source: SourceId) {
        let Some(place) = self.places.get(source) else { return };
        let is_over = place.ended && !self.sockets.is_tls(source);
        if is_over || place.failed || self.sockets.shutdown(source).is_err() {
            return self.free(source);
        }
        // Bytes that are encrypted already, or the announcement of the end.
        if self.sockets.has_unsent(source) {
            return self.finish(source);
        }
        if place.ended {
            return self.free(source);
        }
        self.sockets.linger(source);
        place.role = Role::Lingering;
        self.kept -= place.take_unread().len();
        self.lingering.push_back((self.clock.now() + Linger::PATIENCE, source));
        self.watch(source);
    }

    /// Closes connections whose time to linger has ended, and connections whose peers receive nothing or are too slow.
    pub(super) fn expire_timeouts(&mut self) {
        self.lose_stuck();
        let seen = self.seen;
        self.expire_requests(seen);
        while let Some((_, source)) = self.lingering.pop_front_if(|(until, _)| *until <= seen) {
            self.free(source);
        }
        while let Some((_, source)) = self.closing.pop_front_if(|(until, _)| *until <= seen) {
            let Some(place) = self.places.get(source).filter(|place| place.role == Role::Closing) else {
                continue;
            };
            // Any progress is sufficient here. The reply timeout limits the total time.
            if place.has_moved() | self.sockets.has_moved(source) {
                self.closing.push_back((self.clock.now() + STUCK_PATIENCE, source));
            } else {
                self.count_failed(source);
                self.free(source);
            }
        }
    }

    /// Fails connections whose clients have not received the stored bytes within the reply timeout, whether the guest
    /// has closed them or not.
    fn lose_stuck(&mut self) {
        let seen = self.seen;
        while let Some((_, source)) = self.stuck.pop_front_if(|(until, _)| *until <= seen) {
            let Some(place) = self.places.get(source) else { continue };
            match place.until() {
                Instant::NEVER => place.end_timed(),
                until if until <= seen => {
                    place.end_timed();
                    if place.role == Role::Closing {
                        self.count_failed(source);
                    }
                    tracing::debug!(%source, "a client has not taken what it was sent within the reply timeout");
                    self.broke(source, IoError::Reset);
                }
                // The bytes of that deadline were sent, and others are stored with a later deadline.
                until => {
                    let at = self.stuck.partition_point(|(other, _)| *other <= until);
                    self.stuck.insert(at, (until, source));
                }
            }
        }
    }

    /// Closes a connection and frees its slot.
    pub(super) fn free(&mut self, source: SourceId) {
        let Some(mut place) = self.places.remove(source) else { return };
        self.kept -= place.drop_rest() + place.take_unread().len();
        self.sockets.remove(source);
        self.peer_limit.leave(source);
        self.outgoing.leave(source);
        self.observer.guest_source_gone(source);
        self.observer.event(EventKind::Closed, None, index(source.index()));
        self.open -= 1;
        // A descriptor may be available now.
        if self.accept_at.is_some() {
            self.accept_at = Some(Instant::ZERO);
        }
        tracing::debug!(%source, "closed");
    }

    fn submit(&mut self, job: JobId, len: u32, output: &mut &[u8]) {
        let Some(bytes) = output.split_off(..len as usize) else {
            return self.ignore("submits a job of more bytes than it has put out");
        };
        let room = self.settings.max_buffered;
        let taken = self.jobs.as_mut().is_some_and(|jobs| jobs.submit(job, bytes, room));
        if taken {
            self.counts.jobs += 1;
            self.observer.event(EventKind::Submitted, None, index(job.index()));
        } else {
            self.ignore("submits more jobs than there can be, too large a one, or one twice");
            self.input.events.push(Event::Lost(job));
        }
    }

    fn cancel(&mut self, job: JobId) {
        // The guest may cancel a job whose result is already on its way to it.
        if self.jobs.as_mut().is_some_and(|jobs| jobs.cancel(job)) {
            self.counts.cancelled += 1;
            self.observer.event(EventKind::JobCancelled, None, index(job.index()));
        }
    }

    /// Makes the reactor watch a connection for its current interest.
    pub(super) fn watch(&mut self, source: SourceId) {
        let Some(place) = self.places.get(source) else { return };
        let wanted = place.wanted();
        if wanted == place.watched {
            return;
        }
        match self.sockets.watch(source, wanted) {
            Ok(()) => place.watched = wanted,
            Err(error) => {
                tracing::error!(%source, %error, "a connection cannot be watched, and is given up");
                self.broke(source, IoError::Os(error.raw_os_error().unwrap_or(0)));
            }
        }
    }
}

/// Returns the source that a guest's handle denotes.
fn of(handle: SourceHandle) -> SourceId {
    SourceId::from_bits(handle.0)
}
