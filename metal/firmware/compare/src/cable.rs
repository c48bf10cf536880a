//! A cable within the program: a queue of frames for each end.

use core::cell::RefCell;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// The largest frame.
const FRAME: usize = 256;

/// The most frames on their way to an end.
const FRAMES: usize = 32;

/// The frames on their way to one end.
pub struct Queue {
    frames: [[u8; FRAME]; FRAMES],
    lens: [usize; FRAMES],
    first: usize,
    count: usize,
}

impl Queue {
    /// Creates an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { frames: [[0; FRAME]; FRAMES], lens: [0; FRAMES], first: 0, count: 0 }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

/// An end of the cable.
pub struct Plug<'a> {
    /// The frames to this end.
    pub receives: &'a RefCell<Queue>,
    /// The frames to the other end.
    pub sends: &'a RefCell<Queue>,
}

impl Device for Plug<'_> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Unsent<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Unsent<'_>)> {
        (self.receives.borrow().count > 0).then_some((Received(self.receives), Unsent(self.sends)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Unsent<'_>> {
        (self.sends.borrow().count < FRAMES).then_some(Unsent(self.sends))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME;
        capabilities
    }
}

/// The first frame of a queue.
pub struct Received<'a>(&'a RefCell<Queue>);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        let mut frame = [0; FRAME];
        let len = {
            let mut queue = self.0.borrow_mut();
            let first = queue.first;
            let len = queue.lens[first];
            frame[..len].copy_from_slice(&queue.frames[first][..len]);
            queue.first = (first + 1) % FRAMES;
            queue.count -= 1;
            len
        };
        read(&frame[..len])
    }
}

/// A place at the end of a queue.
pub struct Unsent<'a>(&'a RefCell<Queue>);

impl phy::TxToken for Unsent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut queue = self.0.borrow_mut();
        let last = (queue.first + queue.count) % FRAMES;
        let result = fill(&mut queue.frames[last][..len]);
        queue.lens[last] = len;
        // With a full queue, the frame is lost.
        if queue.count < FRAMES {
            queue.count += 1;
        }
        result
    }
}
