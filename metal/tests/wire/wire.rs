//! A made-up cable between a board and its clients, with faults that a seed decides.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// The size of the header of a frame. Frames are damaged behind it, where checksums find that.
const HEADER: usize = 14;

/// The type of frames that carry IPv4, which have checksums.
const IPV4: [u8; 2] = [8, 0];

/// Pseudorandom numbers: SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// Returns a number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// Returns true with a chance of `percent`.
    pub fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The chances of the faults, in percent, and the latency.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    pub loss: u64,
    pub duplication: u64,
    pub corruption: u64,
    /// The chance that a frame takes longer, so that others overtake it.
    pub delay: u64,
    /// The time during which the cable is pulled, in milliseconds since the start.
    pub pulled: Option<(i64, i64)>,
}

/// The ends of the cable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    Board,
    Clients,
}

/// The cable: frames on their way, by the moment of their arrival at an end.
pub struct Wire {
    frames: BTreeMap<(End, Instant, u64), Vec<u8>>,
    faults: Faults,
    random: Random,
    /// The number of frames that were sent.
    pub sent: u64,
    /// The number of frames that were lost or damaged.
    pub hurt: u64,
    /// The most frames that the board's end holds.
    limit: usize,
}

impl Wire {
    pub fn new(seed: u64, faults: Faults) -> Rc<RefCell<Self>> {
        let random = Random(seed);
        Rc::new(RefCell::new(Self { frames: BTreeMap::new(), faults, random, sent: 0, hurt: 0, limit: 64 }))
    }

    /// Returns the moment when the next frame arrives.
    pub fn next_arrival(&self, to: End) -> Option<Instant> {
        self.frames.keys().find(|(end, ..)| *end == to).map(|(_, at, _)| *at)
    }

    /// Puts a frame on the cable, as it is.
    pub fn inject(&mut self, to: End, at: Instant, frame: Vec<u8>) {
        self.sent += 1;
        self.frames.insert((to, at, self.sent), frame);
    }

    fn receive(&mut self, at_end: End, now: Instant) -> Option<Vec<u8>> {
        let key = *self.frames.keys().find(|(end, at, _)| *end == at_end && *at <= now)?;
        self.frames.remove(&key)
    }

    fn send(&mut self, to: End, now: Instant, mut frame: Vec<u8>) {
        let Faults { loss, duplication, corruption, delay, pulled } = self.faults;
        let ms = now.total_millis();
        let is_pulled = pulled.is_some_and(|(from, to)| (from..to).contains(&ms));
        let is_crowded = self.frames.keys().filter(|(end, ..)| *end == to).count() >= self.limit;
        if is_pulled || is_crowded || self.random.is(loss) {
            self.hurt += 1;
            return;
        }
        if self.random.is(corruption) && frame.len() > HEADER && frame[HEADER - 2..HEADER] == IPV4 {
            let at =
                HEADER + usize::try_from(self.random.below((frame.len() - HEADER) as u64)).expect("an index");
            frame[at] ^= 1 << self.random.below(8);
            self.hurt += 1;
        }
        let copies = 1 + u64::from(self.random.is(duplication));
        for _ in 0..copies {
            let slow = if self.random.is(delay) { self.random.below(50_000) } else { 0 };
            let micros = 200 + self.random.below(100) + slow;
            let arrives = now + smoltcp::time::Duration::from_micros(micros);
            self.inject(to, arrives, frame.clone());
        }
    }
}

/// An end of the cable, as a device.
pub struct Plug {
    pub wire: Rc<RefCell<Wire>>,
    pub end: End,
}

impl Device for Plug {
    type RxToken<'a> = Received;
    type TxToken<'a> = Unsent<'a>;

    fn receive(&mut self, now: Instant) -> Option<(Received, Unsent<'_>)> {
        let frame = self.wire.borrow_mut().receive(self.end, now)?;
        Some((Received(frame), Unsent(self, now)))
    }

    fn transmit(&mut self, now: Instant) -> Option<Unsent<'_>> {
        Some(Unsent(self, now))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A received frame.
pub struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// A frame that is to be sent.
pub struct Unsent<'a>(&'a Plug, Instant);

impl phy::TxToken for Unsent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        let to = match self.0.end {
            End::Board => End::Clients,
            End::Clients => End::Board,
        };
        self.0.wire.borrow_mut().send(to, self.1, frame);
        result
    }
}
