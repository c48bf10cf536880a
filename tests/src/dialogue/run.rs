use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use super::play::{Network, Play, Wants, Wire};
use super::script::Dialogue;
use super::stage::{Outcome, Stage};
use crate::wait::PATIENCE;

/// The longest wait for the answer to a connection attempt, beyond which the listener's queue must be full.
const ANSWER_OF_QUEUE: Duration = Duration::from_millis(100);

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
        let stream = connect_soon(&self.0)?;
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

/// Connects, and asks again soon if the listener's queue is full. The system would ask again after a second, which adds up
/// for a listener with a short queue, such as the one of QEMU.
fn connect_soon(address: &SocketAddr) -> io::Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(address, ANSWER_OF_QUEUE) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut && Instant::now() < deadline => {}
            result => return result,
        }
    }
}

/// Plays a dialogue with the service at `address`, over sockets. The dialogue fails if nothing happens for
/// [`PATIENCE`](crate::PATIENCE).
#[must_use]
pub fn converse(dialogue: &Dialogue, address: SocketAddr) -> Outcome {
    let begin = Instant::now();
    play_over(dialogue, &mut Listening(address), || begin.elapsed(), rest)
}

/// Plays a dialogue over `network`. `clock` returns the time, and `rest` waits until something can have happened.
pub(super) fn play_over<N: Network>(
    dialogue: &Dialogue,
    network: &mut N,
    clock: impl Fn() -> Duration,
    rest: impl Fn(&Play<'_, N::Wire>, Duration) -> io::Result<()>,
) -> Outcome {
    let mut play = Play::new(dialogue);
    let mut last_move = clock();
    while !play.is_over() {
        let now = clock();
        if play.advance(now, network) {
            // Connecting takes time, which is not time without progress.
            last_move = clock();
        } else if now > last_move + PATIENCE {
            play.give_up(&format!("nothing happened for {PATIENCE:?}"));
        } else if let Err(error) = rest(&play, now) {
            play.give_up(&format!("cannot wait: {error}"));
        }
    }
    play.outcome()
}

/// A connection on a socket, which can be waited for.
pub(super) trait Polled {
    /// Returns the socket.
    fn stream(&self) -> &TcpStream;

    /// Returns the readiness of the socket for which a client waits that wants this.
    fn flags(&self, wants: Wants) -> PollFlags;
}

impl Polled for TcpStream {
    fn stream(&self) -> &TcpStream {
        self
    }

    fn flags(&self, wants: Wants) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, wants.recv);
        flags.set(PollFlags::OUT, wants.send);
        flags
    }
}

/// Waits until a connection is ready, a pause ends, or it is time to give up.
pub(super) fn rest<W: Wire + Polled>(play: &Play<'_, W>, now: Duration) -> io::Result<()> {
    let wanted = play.wants().map(|(wire, wants)| (wire, wire.flags(wants)));
    let mut fds: Vec<_> = wanted
        .filter(|(_, flags)| !flags.is_empty())
        .map(|(wire, flags)| PollFd::new(wire.stream(), flags))
        .collect();
    let left = play.deadline().map_or(PATIENCE, |deadline| deadline.saturating_sub(now).min(PATIENCE));
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&left)) {
        Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::dialogue::{Service, parse};

    /// A network on which connecting takes longer than [`PATIENCE`], to a service that closes after a rest.
    #[derive(Clone, Default)]
    struct Slow {
        time: Rc<Cell<Duration>>,
        has_rested: Rc<Cell<bool>>,
    }

    impl Network for Slow {
        type Wire = Self;

        fn connect(&mut self) -> io::Result<Self> {
            self.time.set(self.time.get() + PATIENCE * 2);
            Ok(self.clone())
        }
    }

    impl Wire for Slow {
        fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn receive(&mut self, _: &mut [u8]) -> io::Result<usize> {
            if self.has_rested.get() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }

        fn half_close(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reset(self) {}
    }

    #[test]
    fn time_to_connect_is_not_time_without_progress() {
        let text = "shows = \"An end.\"\n[[client]]\nsteps = [\"expect-end\"]\n";
        let dialogue = parse(Service::Echo, "slow", text).expect("a dialogue");
        let mut network = Slow::default();
        let Slow { time, has_rested } = network.clone();
        let rest = |_: &Play<'_, Slow>, _| {
            has_rested.set(true);
            Ok(())
        };
        let outcome = play_over(&dialogue, &mut network, || time.get(), rest);
        assert!(outcome.failure.is_none(), "{:?}", outcome.failure);
    }
}
