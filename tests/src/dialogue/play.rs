use std::io;
use std::time::Duration;

use super::actor::Actor;
use super::rehearsal::Points;
use super::script::{Dialogue, Step};
use super::stage::{Failure, Heard, Outcome};

/// Where clients connect.
pub trait Network {
    /// A connection.
    type Wire: Wire;

    /// Connects.
    ///
    /// # Errors
    ///
    /// When that fails. With [`WouldBlock`](io::ErrorKind::WouldBlock) it is tried again at the next
    /// [`advance`](Play::advance).
    fn connect(&mut self) -> io::Result<Self::Wire>;
}

/// A client's end of a connection, that never blocks. It is closed when it is dropped, as a socket is.
pub trait Wire {
    /// Sends as much as is taken at once, and returns how much.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is taken now; anything else is for ever.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Takes what is there, and returns how much; 0 at the end.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there yet;
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) for a reset.
    fn receive(&mut self, room: &mut [u8]) -> io::Result<usize>;

    /// Ends the stream of what is sent.
    ///
    /// # Errors
    ///
    /// When there is no connection any more.
    fn half_close(&mut self) -> io::Result<()>;

    /// Ends both by a reset.
    fn reset(self);
}

/// What a client waits for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wants {
    /// Something to read.
    pub recv: bool,
    /// Room for what it sends.
    pub send: bool,
}

/// A dialogue that is being held: what its clients do, given a network and the time.
///
/// Call [`advance`](Self::advance) when something that a client [wants](Self::wants) is there, or its
/// [`deadline`](Self::deadline) is; until it [is over](Self::is_over). That takes time in proportion to the number of
/// clients.
pub struct Play<'d, W> {
    actors: Vec<Actor<'d, W>>,
    points: Points<'d>,
    failure: Option<Failure>,
}

impl<'d, W: Wire> Play<'d, W> {
    /// Before the first step.
    #[must_use]
    pub fn new(dialogue: &'d Dialogue) -> Self {
        let actors = dialogue.clients.iter().map(Actor::new).collect();
        Self { actors, points: Points::of(dialogue), failure: None }
    }

    /// Does what can be done at this time, which begins anywhere and never goes back. Returns whether that was anything.
    pub fn advance<N: Network<Wire = W>>(&mut self, now: Duration, network: &mut N) -> bool {
        let mut ever = false;
        // What one reaches another may have waited for.
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

    /// Whether all clients have done all they had to, or one of them failed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.failure.is_some() || self.actors.iter().all(|actor| actor.step().is_none())
    }

    /// The connections, and what is waited for there.
    pub fn wants(&self) -> impl Iterator<Item = (&W, Wants)> {
        self.actors.iter().filter_map(|actor| Some((actor.wire.as_ref()?, actor.wants())))
    }

    /// When the next pause is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.actors.iter().filter_map(Actor::deadline).min()
    }

    /// Makes it fail, because nothing happens any more; `why` says how long, say. Blamed is a client that does not just
    /// wait for others.
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

    /// What came of it.
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
