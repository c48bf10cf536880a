//! The Ethernet card, an SMSC LAN9118, as a device of smoltcp. Frames move by reads and writes of its FIFOs.

use core::ptr;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::EthernetAddress;

const BASE: usize = 0x4020_0000;

/// A register of the card.
#[derive(Clone, Copy)]
struct Register(usize);

const RX_DATA: Register = Register(0x00);
const TX_DATA: Register = Register(0x20);
const RX_STATUS: Register = Register(0x40);
const TX_STATUS: Register = Register(0x48);
const INTERRUPT_CONFIG: Register = Register(0x54);
const INTERRUPT_STATUS: Register = Register(0x58);
const INTERRUPT_ENABLE: Register = Register(0x5c);
const FIFO_INTERRUPT: Register = Register(0x68);
const TX_CONFIG: Register = Register(0x70);
const HARDWARE_CONFIG: Register = Register(0x74);
const RX_CONTROL: Register = Register(0x78);
const RX_FIFO: Register = Register(0x7c);
const TX_FIFO: Register = Register(0x80);
const POWER: Register = Register(0x84);
const MAC_COMMAND: Register = Register(0xa4);
const MAC_DATA: Register = Register(0xa8);

/// Registers of the MAC, which are reached through a command.
const MAC_CONTROL: u32 = 1;
const MAC_ADDRESS_HIGH: u32 = 2;
const MAC_ADDRESS_LOW: u32 = 3;

/// A frame is in the FIFO.
const RX_STATUS_LEVEL: u32 = 1 << 3;

/// The largest frame, with its header and without its checksum.
const MTU: usize = 1514;

/// The length of the checksum at the end of each received frame.
const CHECKSUM: usize = 4;

impl Register {
    fn at(self) -> *mut u32 {
        ptr::without_provenance_mut(BASE + self.0)
    }

    fn read(self) -> u32 {
        // SAFETY: this is a register of the card, which only this file accesses, from one context at a time.
        unsafe { self.at().read_volatile() }
    }

    fn write(self, value: u32) {
        // SAFETY: as above.
        unsafe { self.at().write_volatile(value) }
    }
}

/// The buffers that frames are copied through.
pub struct Frames {
    received: [u8; MTU + CHECKSUM],
    unsent: [u8; MTU],
}

impl Frames {
    /// Creates the buffers, all zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { received: [0; MTU + CHECKSUM], unsent: [0; MTU] }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

/// The card.
pub struct Lan9118(&'static mut Frames);

/// The interrupt of the card.
#[derive(Clone, Copy)]
pub struct FrameInterrupt(());

impl FrameInterrupt {
    /// Clears the interrupt, so that the next frame sets it.
    pub fn rearm(self) {
        INTERRUPT_STATUS.write(RX_STATUS_LEVEL);
    }

    /// Returns true if a frame is waiting.
    pub fn is_waiting(self) -> bool {
        frames() > 0
    }
}

impl Lan9118 {
    /// Resets the card and starts it with this hardware address.
    ///
    /// # Panics
    ///
    /// Panics if the card does not come up.
    #[must_use]
    pub fn start(address: EthernetAddress, frames: &'static mut Frames) -> (Self, FrameInterrupt) {
        HARDWARE_CONFIG.write(1);
        wait("reset", || HARDWARE_CONFIG.read() & 1 == 0);
        wait("ready", || POWER.read() & 1 == 1);
        // 5 KiB of its memory for frames to send; whole frames only.
        HARDWARE_CONFIG.write(5 << 16 | 1 << 20);
        let [a, b, c, d, e, f] = address.0;
        write_mac(MAC_ADDRESS_LOW, u32::from_le_bytes([a, b, c, d]));
        write_mac(MAC_ADDRESS_HIGH, u32::from_le_bytes([e, f, 0, 0]));
        // Send, receive, in both directions at once.
        write_mac(MAC_CONTROL, 1 << 2 | 1 << 3 | 1 << 20);
        // Send, and drop the status of old frames.
        TX_CONFIG.write(1 << 1 | 1 << 2);
        // An interrupt when the first frame is in the FIFO; active high.
        FIFO_INTERRUPT.write(0);
        INTERRUPT_ENABLE.write(RX_STATUS_LEVEL);
        INTERRUPT_CONFIG.write(1 << 8 | 1 << 4 | 1);
        (Self(frames), FrameInterrupt(()))
    }
}

/// Waits until `is_done`.
fn wait(what: &str, is_done: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if is_done() {
            return;
        }
    }
    panic!("the Ethernet card does not come up: {what}");
}

fn write_mac(register: u32, value: u32) {
    let is_idle = || MAC_COMMAND.read() & 1 << 31 == 0;
    wait("its MAC", is_idle);
    MAC_DATA.write(value);
    MAC_COMMAND.write(1 << 31 | register);
    wait("its MAC", is_idle);
}

/// Returns the number of received frames in the FIFO.
fn frames() -> u32 {
    RX_FIFO.read() >> 16 & 0xff
}

impl Device for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Unsent<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Unsent<'_>)> {
        let Frames { received, unsent } = &mut *self.0;
        while frames() > 0 {
            let status = RX_STATUS.read();
            let len = (status >> 16 & 0x3fff) as usize;
            let is_good = status & 1 << 15 == 0 && (CHECKSUM..=received.len()).contains(&len);
            if !is_good {
                // Skip the frame.
                RX_CONTROL.write(1 << 31);
                wait("skipping a frame", || RX_CONTROL.read() & 1 << 31 == 0);
                continue;
            }
            for word in received[..len].chunks_mut(4) {
                word.copy_from_slice(&RX_DATA.read().to_le_bytes()[..word.len()]);
            }
            return Some((Received(&received[..len - CHECKSUM]), Unsent(unsent)));
        }
        None
    }

    fn transmit(&mut self, _: Instant) -> Option<Unsent<'_>> {
        // The FIFO has room for the largest frame and its two commands.
        let has_room = (TX_FIFO.read() & 0xffff) as usize >= MTU + 16;
        has_room.then_some(Unsent(&mut self.0.unsent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// A received frame.
pub struct Received<'a>(&'a [u8]);

impl phy::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// The buffer for a frame to send.
pub struct Unsent<'a>(&'a mut [u8; MTU]);

impl phy::TxToken for Unsent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let frame = &mut self.0[..len];
        let result = fill(frame);
        let len = u32::try_from(len).unwrap_or(0);
        // The first and the last part of a frame, and its length.
        TX_DATA.write(1 << 13 | 1 << 12 | len);
        TX_DATA.write(len);
        for part in frame.chunks(4) {
            let mut word = [0; 4];
            word[..part.len()].copy_from_slice(part);
            TX_DATA.write(u32::from_le_bytes(word));
        }
        while TX_FIFO.read() >> 16 & 0xff > 0 {
            TX_STATUS.read();
        }
        result
    }
}
