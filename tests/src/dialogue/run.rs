use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use super::play::{Network, Play, Wire};
use super::script::Dialogue;
use super::stage::{Outcome, Stage};
use crate::wait::PATIENCE;

/// A stage for a service that listens at this address.
#[derive(Clone, Copy, Debug)]
pub struct Listening(pub SocketAddr);

impl Stage for Listening {
    fn perform(&mut self, dialogue: &Dialogue) -> Outcome {
        converse(dialogue, self.0)
    }
}

impl Network for Listening {
    type Wire = TcpStream;

    fn connect(&mut self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.0, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

impl Wire for TcpStream {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.read(room)
    }

    fn half_close(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn reset(self) {
        // If the option cannot be set, the socket is still closed.
        SockRef::from(&self).set_linger(Some(Duration::ZERO)).ok();
    }
}

/// Plays a dialogue with the service at `address`, over sockets. The dialogue fails if nothing happens for
/// [`PATIENCE`](crate::PATIENCE).
#[must_use]
pub fn converse(dialogue: &Dialogue, address: SocketAddr) -> Outcome {
    let mut play = Play::new(dialogue);
    let (begin, mut network) = (Instant::now(), Listening(address));
    let mut last_move = Duration::ZERO;
    while !play.is_over() {
        let now = begin.elapsed();
        if play.advance(now, &mut network) {
            last_move = now;
        } else if now > last_move + PATIENCE {
            play.give_up(&format!("nothing happened for {PATIENCE:?}"));
        } else if let Err(error) = rest(&play, now) {
            play.give_up(&format!("cannot wait: {error}"));
        }
    }
    play.outcome()
}

/// Waits until a connection is ready, a pause ends, or it is time to give up.
fn rest(play: &Play<'_, TcpStream>, now: Duration) -> io::Result<()> {
    let wanted = play.wants().filter(|(_, wants)| wants.recv || wants.send);
    let mut fds: Vec<_> = wanted
        .map(|(stream, wants)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, wants.recv);
            flags.set(PollFlags::OUT, wants.send);
            PollFd::new(stream, flags)
        })
        .collect();
    let left = play.deadline().map_or(PATIENCE, |deadline| deadline.saturating_sub(now).min(PATIENCE));
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&left)) {
        Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
