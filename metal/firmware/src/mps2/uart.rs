//! The serial port (CMSDK UART 0).

use core::convert::Infallible;
use core::fmt;
use core::ptr;

use crate::console::Console;

const BASE: usize = 0x4000_4000;
const DATA: *mut u32 = ptr::without_provenance_mut(BASE);
const STATE: *mut u32 = ptr::without_provenance_mut(BASE + 4);
const CTRL: *mut u32 = ptr::without_provenance_mut(BASE + 8);
const BAUD_DIVIDER: *mut u32 = ptr::without_provenance_mut(BASE + 16);

/// The serial port. Writing waits until the port accepts each byte.
#[derive(Clone, Copy)]
pub struct Uart;

impl Uart {
    /// Turns the port on.
    pub fn start(self) {
        // SAFETY: these are registers of the port, and writing them affects nothing else.
        unsafe {
            BAUD_DIVIDER.write_volatile(super::HERTZ / 115_200);
            CTRL.write_volatile(0b11);
        }
    }

    /// Returns the byte that was received last, if there is one.
    pub fn read(self) -> Option<u8> {
        // SAFETY: reading the data register takes the byte; no other code reads it.
        unsafe { (STATE.read_volatile() & 2 != 0).then(|| (DATA.read_volatile() & 0xff) as u8) }
    }
}

impl Console for Uart {
    fn put(&mut self, byte: u8) {
        // SAFETY: as above.
        unsafe {
            while STATE.read_volatile() & 1 != 0 {}
            DATA.write_volatile(u32::from(byte));
        }
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put_all(text.as_bytes());
        Ok(())
    }
}

impl embedded_io_async::ErrorType for Uart {
    type Error = Infallible;
}

impl embedded_io_async::Write for Uart {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.put_all(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
