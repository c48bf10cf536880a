//! Sizes in bytes on a command line.

use std::fmt;
use std::ops::RangeInclusive;

/// A size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size(pub u64);

impl Size {
    /// Creates a size of `count` mebibytes.
    #[must_use]
    pub const fn mebibytes(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// Returns the number of bytes, or the maximum of `usize` if it is larger.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Returns the number of mebibytes, rounded up.
    #[must_use]
    pub fn in_mebibytes(self) -> u64 {
        self.0.div_ceil(1 << 20)
    }
}

/// Writes the size in a form that [`size_within`] parses.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zeros = if self.0 == 0 { 0 } else { self.0.trailing_zeros() };
        let (shift, unit) = match zeros {
            0..10 => (0, "B"),
            10..20 => (10, "KiB"),
            20..30 => (20, "MiB"),
            30.. => (30, "GiB"),
        };
        write!(f, "{}{unit}", self.0 >> shift)
    }
}

/// Returns a parser of sizes within `allowed`, such as `64M`, `64MiB` (1024² bytes each), `64MB` (1000² each), `1500K`, `1G`, or
/// `4096B`. A number without a unit is in mebibytes. The case of letters is ignored.
pub fn size_within(
    allowed: RangeInclusive<Size>,
) -> impl Fn(&str) -> Result<Size, String> + Clone + Send + Sync + 'static {
    move |text| match size(text)? {
        size if allowed.contains(&size) => Ok(size),
        _ => Err(format!("expected {} to {}", allowed.start(), allowed.end())),
    }
}

/// Parses a size. Fails with a message for the user.
fn size(text: &str) -> Result<Size, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let worth = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "" | "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "kb" => Some(1000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        _ => None,
    };
    let (Some(worth), false) = (worth, number.is_empty()) else {
        return Err("expected a size such as 64M, 64MiB, 1500K or 1G, or a number of MiB".to_owned());
    };
    let number = number.parse().ok().and_then(|number: u64| number.checked_mul(worth));
    number.map(Size).ok_or_else(|| "expected less than 2^64 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Size, size, size_within};

    #[test]
    fn sizes_with_and_without_units_are_accepted() {
        for (text, bytes) in [
            ("64", 64 << 20),
            ("0", 0),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("64MB", 64_000_000),
            ("1500K", 1500 << 10),
            ("1500kB", 1_500_000),
            ("1G", 1 << 30),
            ("1GiB", 1 << 30),
            ("2gb", 2_000_000_000),
            ("4096B", 4096),
        ] {
            assert_eq!(size(text), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_with_examples() {
        for text in ["", "M", "-1", "+1", "1.5G", "64X", "64MiBs", "64M B", " 64", "0x40", "sixty"] {
            let error = size(text).expect_err(text);
            assert!(error.contains("64M") && error.contains("1G"), "{text}: {error}");
        }
        for text in ["18446744073709551616B", "18446744073709551615K", "99999999999999999999"] {
            assert_eq!(size(text).expect_err(text), "expected less than 2^64 bytes");
        }
    }

    #[test]
    fn a_size_out_of_range_is_refused_with_the_range() {
        let size = size_within(Size::mebibytes(1)..=Size::mebibytes(4096));
        assert_eq!(size("4G"), Ok(Size(4 << 30)));
        for text in ["0", "1023K", "4097", "5G"] {
            assert_eq!(size(text).expect_err(text), "expected 1MiB to 4GiB");
        }
    }

    #[test]
    fn written_sizes_are_parsed_again() {
        for bytes in [0, 1, 1023, 1024, 1 << 20, 3 << 20, 1536 << 10, 1 << 30, u64::MAX] {
            assert_eq!(size(&Size(bytes).to_string()), Ok(Size(bytes)));
        }
        assert_eq!(Size::mebibytes(64).to_string(), "64MiB");
        assert_eq!(Size::mebibytes(4096).to_string(), "4GiB");
    }
}
