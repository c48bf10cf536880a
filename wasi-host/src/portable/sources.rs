//! The descriptors that the guest's resources refer to, and their readiness as the system has reported it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::Shutdown;
use sinbin::{Instant, Interest, Readiness};

use super::listener::{Crowding, Listener};
use super::slots::{Place, Slots};
use super::stdin::Stdin;
use super::stream::Output;
use super::tasks::{Direction, Waiting};
use super::tcp::Tcp;
use super::udp::Udp;

/// The keys of the descriptors that are no sources.
pub(super) const STOP: usize = usize::MAX >> 8;
pub(super) const STDOUT: usize = STOP - 1;

/// The readiness of a source, as a set of bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Ready(u8);

impl Ready {
    /// Bytes, a datagram or a connection can be received.
    pub(super) const INPUT: Self = Self(Interest::RECV.bits());
    /// Bytes or a datagram can be sent, or a connection was established.
    pub(super) const OUTPUT: Self = Self(Interest::SEND.bits());
    /// The input has ended, or the connection is broken.
    pub(super) const END: Self = Self(Interest::HANGUP.bits());

    #[inline]
    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline]
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Converts the readiness that the watcher reports, which uses these bits too.
    const fn of(readiness: Readiness) -> Self {
        Self(readiness.bits())
    }
}

/// The handles of the guest that keep a source, as a set of bits.
pub(super) mod handle {
    pub(in super::super) const SOCKET: u8 = 1;
    pub(in super::super) const INPUT: u8 = 2;
    pub(in super::super) const OUTPUT: u8 = 4;
}

/// The subject of a pollable: one of the resources that refer to a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Socket,
    Input,
    Output,
}

/// A descriptor, and the guest's resources that refer to it.
pub(super) struct Source {
    /// The descriptor, which the streams of a WASI 0.3 guest share.
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) ready: Ready,
    /// The guest's handles, see [`handle`].
    pub(super) held: u8,
    /// The beginning of the wait in which the source was first noted for other processes since it has changed, or
    /// [`Instant::NEVER`].
    pub(super) quiet_since: Instant,
    listed: Listed,
    pub(super) waiting: Waiting,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// A TCP socket that is not listening.
    Tcp(Tcp),
    Listener(Box<Listener>),
    Udp(Box<Udp>),
    Stdin(Stdin),
}

/// The indexes at which the list of the current poll contains a source, for each direction.
#[derive(Clone, Copy)]
struct Listed {
    poll: u32,
    input: u32,
    output: u32,
}

/// Not an index of a list.
const NONE: u32 = u32::MAX;

/// The maximum numbers of sockets, and of bytes that the host holds back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) sockets: usize,
    pub(super) listeners: usize,
    pub(super) unsent: usize,
}

/// The table of sources.
pub(super) struct Sources {
    slots: Slots<Source>,
    pub(super) most: Most,
    /// The number of sockets that are not listening.
    pub(super) sockets: usize,
    pub(super) listeners: usize,
    /// The number of bytes that the host holds back, plus those that it has permitted beyond the minimum.
    pub(super) unsent: usize,
    /// The number of the current poll.
    poll: u32,
    /// The indexes of the list of the current poll that have become ready.
    pub(super) fresh: Vec<u32>,
    /// True if the list of the current poll has to be checked again.
    pub(super) is_stale: bool,
    /// True if the socket that requests a stop has changed.
    pub(super) stop_came: bool,
    /// The sources without handles whose last bytes were sent.
    gone: Vec<u32>,
    /// The connections of which the guest has dropped only the output.
    half: Vec<Place>,
    pub(super) crowding: Crowding,
}

/// The result of dropping a handle of a source.
pub(super) enum Released {
    /// Other handles keep the source.
    Held,
    /// The last handle is dropped, but this number of bytes is not sent yet.
    Leaving(Place, usize),
    /// The source is removed from the table, and is to be closed.
    Closed(Source),
}

impl Source {
    pub(super) fn new(descriptor: OwnedFd, held: u8, kind: Kind) -> Self {
        let listed = Listed { poll: 0, input: NONE, output: NONE };
        Self {
            descriptor: Arc::new(descriptor),
            ready: Ready::default(),
            held,
            quiet_since: Instant::NEVER,
            listed,
            waiting: Waiting::default(),
            kind,
        }
    }

    /// Returns true if a pollable of this part is ready. `has_room` states whether one more connection can be accepted.
    #[inline]
    pub(super) fn is_ready(&self, part: Part, has_room: bool) -> bool {
        match (&self.kind, part) {
            (Kind::Tcp(tcp), Part::Input) => tcp.input_ended || self.ready.has(Ready::INPUT.and(Ready::END)),
            (Kind::Tcp(tcp), Part::Output) => tcp.output.is_ready(self.ready),
            (Kind::Tcp(tcp), Part::Socket) => {
                !tcp.is_connecting() || self.ready.has(Ready::OUTPUT.and(Ready::END))
            }
            (Kind::Listener(listener), _) => listener.is_ready(has_room),
            (Kind::Udp(_), Part::Input) => self.ready.has(Ready::INPUT.and(Ready::END)),
            (Kind::Udp(_), Part::Output) => self.ready.has(Ready::OUTPUT.and(Ready::END)),
            (Kind::Udp(_), Part::Socket) => true,
            (Kind::Stdin(stdin), _) => stdin.has_ended || self.ready.has(Ready::INPUT.and(Ready::END)),
        }
    }

    /// Finds out whether a listener has a connection to accept.
    #[inline]
    fn prepare(&mut self, has_room: bool, crowding: &mut Crowding) {
        if let Kind::Listener(listener) = &mut self.kind
            && has_room
            && crowding.exhausted.is_none()
        {
            listener.prepare(self.descriptor.as_fd(), &mut self.ready, crowding);
        }
    }

    /// Returns true if the readiness of a part is that of output.
    pub(super) const fn is_output(&self, part: Part) -> bool {
        match part {
            Part::Input => false,
            Part::Output => true,
            Part::Socket => !matches!(self.kind, Kind::Listener(_)),
        }
    }

    /// Returns the output of a connection.
    fn output(&mut self) -> Option<&mut Output> {
        match &mut self.kind {
            Kind::Tcp(tcp) => Some(&mut tcp.output),
            _ => None,
        }
    }
}

impl Sources {
    pub(super) const fn new(most: Most) -> Self {
        Self {
            slots: Slots::new(),
            most,
            sockets: 0,
            listeners: 0,
            unsent: 0,
            poll: 0,
            fresh: Vec::new(),
            is_stale: false,
            stop_came: false,
            gone: Vec::new(),
            half: Vec::new(),
            crowding: Crowding { exhausted: None, is_known: false },
        }
    }

    pub(super) fn insert(&mut self, source: Source) -> Option<Place> {
        self.slots.insert(source)
    }

    /// Returns the source of a handle, which exists as long as the handle does.
    #[inline]
    pub(super) fn of(&mut self, index: u32) -> wasmtime::Result<&mut Source> {
        self.slots.at_mut(index).ok_or_else(|| wasmtime::Error::msg("the guest uses a resource that is gone"))
    }

    /// Returns the source at a place, unless it is gone.
    pub(super) fn at(&mut self, place: Place) -> Option<&mut Source> {
        self.slots.get_mut(place)
    }

    pub(super) fn place(&self, index: u32) -> wasmtime::Result<Place> {
        self.slots.place(index).ok_or_else(|| wasmtime::Error::msg("the guest uses a resource that is gone"))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Source)> {
        self.slots.iter_mut()
    }

    /// Returns true if one more connection can be accepted.
    #[inline]
    pub(super) const fn has_room(&self) -> bool {
        self.sockets < self.most.sockets
    }

    /// Returns true if a pollable of this part is ready. If the source is gone, it is: an operation would fail at once.
    #[inline]
    pub(super) fn is_ready(&mut self, place: Place, part: Part) -> bool {
        let has_room = self.has_room();
        self.slots.get_mut(place).is_none_or(|source| {
            source.prepare(has_room, &mut self.crowding);
            source.is_ready(part, has_room)
        })
    }

    /// Begins a poll of a list.
    pub(super) fn begin_poll(&mut self) {
        self.poll = self.poll.wrapping_add(1);
        self.fresh.clear();
        self.is_stale = false;
    }

    /// Returns true if a pollable of this part is ready. Otherwise, notes its index in the list of the current poll.
    #[inline]
    pub(super) fn ask(&mut self, place: Place, part: Part, index: u32) -> bool {
        let (has_room, poll) = (self.has_room(), self.poll);
        let Some(source) = self.slots.get_mut(place) else { return true };
        source.prepare(has_room, &mut self.crowding);
        if source.is_ready(part, has_room) {
            return true;
        }
        if source.listed.poll != poll {
            source.listed = Listed { poll, input: NONE, output: NONE };
        }
        let is_output = source.is_output(part);
        let noted = if is_output { &mut source.listed.output } else { &mut source.listed.input };
        // The list contains several pollables of one part. A change of the source then means another look at the list.
        *noted = if *noted == NONE { index } else { NONE - 1 };
        false
    }

    /// Returns true if the pollable waits for a listener that refuses connections, and can never become ready.
    pub(super) fn is_refusing(&mut self, place: Place) -> bool {
        self.slots
            .get_mut(place)
            .is_some_and(|source| matches!(&source.kind, Kind::Listener(it) if it.refuses))
    }

    /// Stores a change that the watcher has reported.
    #[inline]
    pub(super) fn changed(&mut self, key: usize, readiness: Readiness) {
        let Some(source) = u32::try_from(key).ok().and_then(|index| self.slots.at_mut(index)) else {
            self.stop_came |= key == STOP;
            self.is_stale = true;
            return;
        };
        let change = Ready::of(readiness);
        source.ready = source.ready.and(change);
        source.quiet_since = Instant::NEVER;
        if change.has(Ready::INPUT.and(Ready::END)) {
            source.waiting.wake(Direction::Input);
        }
        if change.has(Ready::OUTPUT.and(Ready::END)) {
            source.waiting.wake(Direction::Output);
        }
        if let Kind::Tcp(tcp) = &mut source.kind
            && tcp.output.has_unsent()
        {
            let before = tcp.output.held_back();
            tcp.output.send_on(source.descriptor.as_fd(), &mut source.ready);
            self.unsent -= before - tcp.output.held_back();
            if source.held == 0 && !tcp.output.has_unsent() {
                self.gone.extend(u32::try_from(key));
            }
        }
        let Listed { poll, input, output } = source.listed;
        if poll != self.poll {
            return;
        }
        let has_room = self.sockets < self.most.sockets;
        source.prepare(has_room, &mut self.crowding);
        let input_part = if matches!(source.kind, Kind::Listener(_)) { Part::Socket } else { Part::Input };
        let output_part = match &source.kind {
            Kind::Tcp(tcp) if tcp.is_connecting() => Part::Socket,
            _ => Part::Output,
        };
        for (index, part, is_output) in [(input, input_part, false), (output, output_part, true)] {
            if index == NONE || !source.is_ready(part, has_room) {
                continue;
            }
            if index == NONE - 1 {
                self.is_stale = true;
            } else {
                self.fresh.push(index);
            }
            let noted = if is_output { &mut source.listed.output } else { &mut source.listed.input };
            *noted = NONE;
        }
    }

    /// Takes the sources without handles whose last bytes were sent, to be removed.
    pub(super) fn take_gone(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.gone)
    }

    /// Drops a handle.
    pub(super) fn release(&mut self, index: u32, handle: u8) -> Released {
        let Some(source) = self.slots.at_mut(index) else { return Released::Held };
        source.held &= !handle;
        if handle == handle::OUTPUT
            && let Some(output) = source.output()
        {
            self.unsent -= output.give_back_permit();
        }
        if source.held != 0 {
            if handle == handle::OUTPUT {
                self.half.extend(self.slots.place(index));
            }
            return Released::Held;
        }
        let unsent = source.output().filter(|output| output.has_unsent()).map(|output| output.held_back());
        if let (Some(unsent), Some(place)) = (unsent, self.slots.place(index)) {
            return Released::Leaving(place, unsent);
        }
        self.remove(index).map_or(Released::Held, Released::Closed)
    }

    /// Returns the number of bytes of a connection that are held back, or `None` if it is gone.
    pub(super) fn unsent_of(&mut self, place: Place) -> Option<usize> {
        self.slots.get_mut(place)?.output().map(|output| output.held_back())
    }

    /// Removes a source, which frees its capacity.
    pub(super) fn remove(&mut self, index: u32) -> Option<Source> {
        let mut source = self.slots.remove(index)?;
        match &mut source.kind {
            Kind::Listener(_) => self.listeners -= 1,
            Kind::Tcp(tcp) => {
                self.unsent -= tcp.output.held_back() + tcp.output.give_back_permit();
                self.sockets -= 1;
            }
            Kind::Udp(_) => self.sockets -= 1,
            Kind::Stdin(_) => {}
        }
        Some(source)
    }

    /// Ends the sending direction of connections of which the guest has dropped the output, but kept the rest. Most
    /// guests drop all parts of a connection at once, and need no such call.
    pub(super) fn end_halves(&mut self) {
        if self.half.is_empty() {
            return;
        }
        for place in std::mem::take(&mut self.half) {
            if let Some(Source { descriptor, kind: Kind::Tcp(tcp), .. }) = self.slots.get_mut(place) {
                tcp.output.end(descriptor.as_fd());
            }
        }
    }

    /// Returns true if the host holds back bytes of a connection.
    pub(super) fn holds_back(&mut self) -> bool {
        self.slots.iter_mut().any(|(_, source)| source.output().is_some_and(|output| output.has_unsent()))
    }
}

/// Shuts down the sending direction. An error means that the connection has already ended.
pub(super) fn shut_output(descriptor: impl AsFd) -> Result<(), Errno> {
    rustix::net::shutdown(descriptor, Shutdown::Write)
}
