//! A connection of the loops that are driven by readiness events: `bare` and `mio`.

use std::io::{self, Read, Write};

use super::protocol::{Buffers, Session};

/// The result of a turn.
pub(super) enum Turn {
    /// The read filled the buffer, or a stuck reply was sent: more input may be available.
    More,
    /// The read was short. On epoll nothing else is available then, except perhaps the end of the stream.
    Short,
    /// No input was available.
    Nothing,
    /// Replies wait for capacity of the socket.
    Stuck,
    /// The connection has ended.
    Closed,
}

pub(super) struct Connection<S> {
    pub(super) stream: S,
    session: Session,
}

impl<S: Read + Write> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, session: Session::default() }
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.session.is_stuck()
    }

    /// Sends replies that are stuck; otherwise reads once and answers. Large requests are computed here, on the loop,
    /// because these peers take no part in the measurement that has any.
    pub(super) fn turn(&mut self, buffers: &mut Buffers) -> Turn {
        self.try_turn(buffers).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Turn::Nothing,
            io::ErrorKind::Interrupted => Turn::More,
            _ => Turn::Closed,
        })
    }

    fn try_turn(&mut self, buffers: &mut Buffers) -> io::Result<Turn> {
        let Buffers { input, replies } = buffers;
        let after = if self.session.is_stuck() {
            replies.clear();
            Turn::More
        } else {
            let count = self.stream.read(input)?;
            if count == 0 {
                return Ok(Turn::Closed);
            }
            self.session.feed_inline(&input[..count], replies)?;
            if count < input.len() { Turn::Short } else { Turn::More }
        };
        let stream = &mut self.stream;
        let sent = self.session.send(replies, |bytes| stream.write(bytes))?;
        Ok(if sent { after } else { Turn::Stuck })
    }
}
