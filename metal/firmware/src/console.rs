//! Texts and numbers on a serial port, without the formatting of the standard library.

/// A serial port that writes.
pub trait Console {
    /// Writes a byte. Waits until the port accepts it.
    fn put(&mut self, byte: u8);

    /// Writes all of `bytes`.
    fn put_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.put(*byte));
    }

    /// Writes a decimal number.
    fn write_number(&mut self, number: u32) {
        if number >= 10 {
            self.write_number(number / 10);
        }
        self.put(b'0' + (number % 10) as u8);
    }

    /// Writes a number in hexadecimal, with eight digits.
    fn write_hex(&mut self, number: u32) {
        for shift in (0..32).step_by(4).rev() {
            let digit = (number >> shift & 0xf) as u8;
            self.put(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
    }
}
