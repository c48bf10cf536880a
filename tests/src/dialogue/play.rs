use std::io;
use std::time::Duration;

use super::actor::Actor;
use super::rehearsal::Points;
use super::script::{Dialogue, Step};
use super::stage::{Failure, Heard, Outcome};

/// A network to which clients connect.
pub trait Network {
    /// The client's end of a connection.
    type Wire: Wire;

    /// Connects.
    ///
    /// # Errors
    ///
    /// Fails if the connection cannot be established. After [`WouldBlock`](io::ErrorKind::WouldBlock) the next
    /// [`advance`](Play::advance) tries again.
    fn connect(&mut self) -> io::Result<Self::Wire>;
}

/// A client's end of a connection, which never blocks. Dropping it closes it, as with a socket.
pub trait Wire {
    /// Sends as many bytes as are accepted at once, and returns their number.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if no bytes are accepted now. All other errors are final.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Receives the bytes that are available, and returns their number; 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if no bytes are available yet, and
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) after a reset.
    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize>;

    /// Half-closes the connection: ends the stream of outgoing bytes.
    ///
    /// # Errors
    ///
    /// Fails if the connection does not exist any more.
    fn half_close(&mut self) -> io::Result<()>;

    /// Resets the connection.
    fn reset(self);
}

/// The readiness for which a client waits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wants {
    /// The client waits for something to read.
    pub recv: bool,
    /// The client waits for capacity to send.
    pub send: bool,
}

/// A dialogue in progress: drives the clients, given a network and the time.
///
/// Call [`advance`](Self::advance) when a connection is ready for what its client [wants](Self::wants), or when the
/// [`deadline`](Self::deadline) has passed, until the dialogue [is over](Self::is_over). A call takes time proportional
/// to the number of clients.
pub struct Play<'d, W> {
    actors: Vec<Actor<'d, W>>,
    points: Points<'d>,
    failure: Option<Failure>,
}

impl<'d, W: Wire> Play<'d, W> {
    /// Creates a play before its first step.
    #[must_use]
    pub fn new(dialogue: &'d Dialogue) -> Self {
        let actors = dialogue.clients.iter().map(Actor::new).collect();
        Self { actors, points: Points::of(dialogue), failure: None }
    }

    /// Does what can be done at the time `now`, which has any origin and never goes back. Returns true if there was
    /// progress.
    pub fn advance<N: Network<Wire = W>>(&mut self, now: Duration, network: &mut N) -> bool {
        let mut ever = false;
        // A client may wait for a point that another client has just reached, so repeat until there is no progress.
        loop {
            let mut moved = false;
            for actor in &mut self.actors {
                match actor.advance(now, network, &mut self.points) {
                    Ok(further) => moved |= further,
                    Err(what) => {
                        self.failure = Some(failure(actor, what));
                        return true;
                    }
                }
            }
            if !moved {
                return ever;
            }
            ever = true;
        }
    }

    /// Returns true if all clients have done all their steps, or if one of them has failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.failure.is_some() || self.actors.iter().all(|actor| actor.step().is_none())
    }

    /// Returns the connections and the readiness that is waited for on each.
    pub fn wants(&self) -> impl Iterator<Item = (&W, Wants)> {
        self.actors.iter().filter_map(|actor| Some((actor.wire.as_ref()?, actor.wants())))
    }

    /// Returns the end of the next pause.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.actors.iter().filter_map(Actor::deadline).min()
    }

    /// Makes the dialogue fail because nothing happens any more; `why` says, for example, how long. The failure names a
    /// client that does not merely wait for others, if there is one.
    pub fn give_up(&mut self, why: &str) {
        let waits = |actor: &Actor<'d, W>| matches!(actor.step(), Some(Step::Await(_)));
        let mut rest: Vec<_> = self.actors.iter().filter(|actor| actor.step().is_some()).collect();
        rest.sort_by_key(|actor| waits(actor));
        if let (None, Some((actor, step))) =
            (&self.failure, rest.first().and_then(|actor| Some((actor, actor.step()?))))
        {
            self.failure = Some(failure(actor, format!("{step}: {why}")));
        }
    }

    /// Returns the outcome.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        let heard = self.actors.into_iter();
        let heard = heard.map(|actor| Heard { client: actor.client.name.clone(), bytes: actor.heard });
        Outcome { heard: heard.collect(), failure: self.failure }
    }
}

fn failure<W: Wire>(actor: &Actor<'_, W>, what: String) -> Failure {
    Failure { client: actor.client.name.clone(), step: actor.number(), what }
}
