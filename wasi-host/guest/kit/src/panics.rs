//! The text of a panic, which the host reads from the memory of the instance after the trap.
#![cfg_attr(
    not(all(target_arch = "wasm32", feature = "panic-text")),
    allow(dead_code, unused_imports, reason = "only an instance with the feature has such a text")
)]

use core::fmt::{self, Write};
use core::panic::Location;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The maximum number of bytes of a text: slightly more than a host shows.
const CAPACITY: usize = 1028;

/// The text of a panic: its length, and its bytes in UTF-8. The last character can be cut.
#[repr(C)]
pub struct Text {
    length: AtomicU32,
    bytes: [AtomicU8; CAPACITY],
}

/// The text of the panic of this instance, which the core module exports by this name. Without a panic, it is empty.
#[cfg(all(target_arch = "wasm32", feature = "panic-text"))]
#[allow(non_upper_case_globals, unsafe_code)]
#[unsafe(no_mangle)]
pub static sinbin_panic: Text = Text::new();

impl Text {
    const fn new() -> Self {
        Self { length: AtomicU32::new(0), bytes: [const { AtomicU8::new(0) }; CAPACITY] }
    }

    /// Stores the place and the message of a panic, as far as they fit.
    fn store(&self, place: Option<&Location<'_>>, message: &dyn fmt::Display) {
        let mut writer = Writer { text: self, length: 0 };
        // Writing fails when the text is full.
        let _ = match place {
            Some(place) => write!(writer, "{place}: {message}"),
            None => write!(writer, "an unknown place: {message}"),
        };
    }
}

/// A writer that appends to a text.
struct Writer<'a> {
    text: &'a Text,
    length: usize,
}

impl Write for Writer<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let free = self.text.bytes.get(self.length..).unwrap_or_default();
        for (to, byte) in free.iter().zip(part.bytes()) {
            to.store(byte, Ordering::Relaxed);
            self.length += 1;
        }
        self.text.length.store(u32::try_from(self.length).unwrap_or(0), Ordering::Relaxed);
        if free.len() < part.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(all(target_arch = "wasm32", not(feature = "std")))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "panic-text")]
    sinbin_panic.store(info.location(), &info.message());
    #[cfg(not(feature = "panic-text"))]
    let _ = info;
    core::arch::wasm32::unreachable()
}

/// Installs the hook that stores the text of a panic. Another hook of the guest would replace it.
#[cfg(all(target_arch = "wasm32", feature = "std", feature = "panic-text"))]
pub(crate) fn install() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(std::boxed::Box::new(|info| {
            let message = info.payload_as_str().unwrap_or("a value that is no text");
            sinbin_panic.store(info.location(), &message);
        }));
    });
}

/// Does nothing: the panic handler stores the text, or no text is wanted.
#[cfg(not(all(target_arch = "wasm32", feature = "std", feature = "panic-text")))]
pub(crate) const fn install() {}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::panic::Location;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn stored(message: &str) -> String {
        let text = Text::new();
        text.store(Some(Location::caller()), &message);
        let length = text.length.load(Ordering::Relaxed) as usize;
        let bytes: Vec<u8> = text.bytes[..length].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_text_has_the_place_and_as_much_of_the_message_as_fits() {
        let text = stored("no more");
        assert!(text.contains("panics.rs:") && text.ends_with(": no more"), "{text}");
        assert_eq!(stored(&"x".repeat(5000)).len(), CAPACITY);
        assert!(stored(&"é".repeat(5000)).trim_end_matches('\u{fffd}').ends_with('é'));
    }
}
