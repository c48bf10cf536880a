//! The parsing of time spans, with the syntax of the crate `humantime`, which the commands use. That crate is larger
//! than a whole guest. The tests compare the two parsers.

use core::time::Duration;

/// The length of a unit, in nanoseconds if it is shorter than a second, and otherwise in seconds.
#[derive(Clone, Copy)]
enum Worth {
    Nanos(u64),
    Seconds(u64),
}

/// The number of nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// Parses a span such as `250ms`, `1.5s` or `2h 30min`: the sum of numbers with units. Returns `None` if the text is
/// not a span, or if the span is too long for a [`Duration`].
pub(crate) fn read(text: &str) -> Option<Duration> {
    let mut rest = text.trim_start();
    let mut sum = Duration::ZERO;
    loop {
        let (part, behind) = first(rest)?;
        sum = sum.checked_add(part)?;
        rest = behind.trim_start();
        if rest.is_empty() {
            return Some(sum);
        }
    }
}

/// Parses the first number and its unit. Returns their span, and the text after them.
fn first(text: &str) -> Option<(Duration, &str)> {
    let (whole, _, mut rest) = digits(text)?;
    let mut fraction = None;
    if let Some(behind) = rest.strip_prefix('.') {
        let (numerator, denominator, behind) = digits(behind.trim_start())?;
        fraction = Some((numerator, denominator?));
        rest = behind;
    }
    let end = rest.find(|letter: char| !(letter.is_ascii_alphabetic() || letter == 'µ'));
    let (unit, rest) = rest.split_at(end.unwrap_or(rest.len()));
    if rest.starts_with(|next: char| !(next.is_ascii_digit() || next.is_whitespace())) {
        return None;
    }
    let worth = worth(unit)?;
    let fraction = fraction.map_or(Some(Duration::ZERO), |fraction| part_of(worth, fraction));
    Some((times(worth, whole)?.checked_add(fraction?)?, rest))
}

/// Parses a number, which may contain spaces. Returns the number, ten to the power of its number of digits unless that
/// overflows, and the text after the number.
fn digits(text: &str) -> Option<(u64, Option<u64>, &str)> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (mut number, mut scale) = (0_u64, Some(1_u64));
    for (at, letter) in text.char_indices() {
        if let Some(digit) = letter.to_digit(10) {
            number = number.checked_mul(10)?.checked_add(digit.into())?;
            scale = scale.and_then(|scale| scale.checked_mul(10));
        } else if !letter.is_whitespace() {
            return Some((number, scale, &text[at..]));
        }
    }
    Some((number, scale, ""))
}

fn worth(unit: &str) -> Option<Worth> {
    Some(match unit {
        "nanos" | "nsec" | "ns" => Worth::Nanos(1),
        "usec" | "us" | "µs" => Worth::Nanos(1000),
        "millis" | "msec" | "ms" => Worth::Nanos(1_000_000),
        "seconds" | "second" | "secs" | "sec" | "s" => Worth::Seconds(1),
        "minutes" | "minute" | "min" | "mins" | "m" => Worth::Seconds(60),
        "hours" | "hour" | "hr" | "hrs" | "h" => Worth::Seconds(3600),
        "days" | "day" | "d" => Worth::Seconds(86_400),
        "weeks" | "week" | "wk" | "wks" | "w" => Worth::Seconds(7 * 86_400),
        "months" | "month" | "M" => Worth::Seconds(2_630_016),
        "years" | "year" | "yr" | "yrs" | "y" => Worth::Seconds(31_557_600),
        _ => return None,
    })
}

fn times(worth: Worth, count: u64) -> Option<Duration> {
    match worth {
        Worth::Nanos(nanos) => count.checked_mul(nanos).map(Duration::from_nanos),
        Worth::Seconds(seconds) => count.checked_mul(seconds).map(Duration::from_secs),
    }
}

/// Returns a fraction of a unit. Returns `None` if the result is not a whole number of nanoseconds, or, for units of an
/// hour or more, not a whole number of seconds.
fn part_of(worth: Worth, (numerator, denominator): (u64, u64)) -> Option<Duration> {
    let exactly = |scale: u64| {
        let whole = numerator.checked_mul(scale)?;
        (whole % denominator == 0).then(|| whole / denominator)
    };
    match worth {
        Worth::Nanos(1) => None,
        Worth::Nanos(nanos) => exactly(nanos).map(Duration::from_nanos),
        Worth::Seconds(seconds @ (1 | 60)) => exactly(seconds * SECOND).map(Duration::from_nanos),
        Worth::Seconds(seconds) => exactly(seconds).map(Duration::from_secs),
    }
}
