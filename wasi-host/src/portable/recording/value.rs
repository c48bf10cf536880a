//! The encoding of the arguments and results of calls, and their form in a trace.
//!
//! Numbers are LEB128, lists and strings are preceded by their length, and an option by 0 or 1. Records and tuples are
//! their fields. A resource is the host's number for it.

use std::fmt::Write;

use wasmtime::component::Resource;

/// The maximum number of bytes that a trace shows of a piece of bytes, and of elements that it shows of a list.
const SHOWN_BYTES: usize = 48;
const SHOWN: usize = 16;

/// The bits of a stream's number that tell the host's own streams from those of files.
const KIND: u32 = 0b11 << 30;

/// An argument or a result of a call.
pub(super) trait Value: Sized {
    /// Appends the encoded value.
    fn put(&self, out: &mut Vec<u8>);

    /// Decodes a value, and removes it from `input`. Returns `None` if the input is no such value.
    fn take(input: &mut &[u8]) -> Option<Self>;

    /// Appends the value in the form of a trace.
    fn show(&self, out: &mut String);

    /// Appends the encoded elements of a list.
    fn put_list(list: &[Self], out: &mut Vec<u8>) {
        list.iter().for_each(|element| element.put(out));
    }

    /// Decodes the elements of a list.
    fn take_list(count: usize, input: &mut &[u8]) -> Option<Vec<Self>> {
        // Each element has at least one byte, so a damaged count reserves no more than the input's own size.
        let mut list = Vec::with_capacity(count.min(input.len()));
        for _ in 0..count {
            list.push(Self::take(input)?);
        }
        Some(list)
    }

    /// Appends a list in the form of a trace.
    fn show_list(list: &[Self], out: &mut String) {
        out.push('[');
        for (index, element) in list.iter().take(SHOWN).enumerate() {
            out.push_str(if index > 0 { ", " } else { "" });
            element.show(out);
        }
        if list.len() > SHOWN {
            write!(out, ", … {} in all", list.len()).ok();
        }
        out.push(']');
    }
}

/// Appends a number as LEB128.
pub(super) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        #[allow(clippy::cast_possible_truncation, reason = "the lowest seven bits")]
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "it is less than 128")]
    out.push(number as u8);
}

/// Decodes a number, and removes it from `input`.
pub(super) fn take_number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Removes a number of bytes from `input`.
pub(super) fn take_bytes<'a>(count: usize, input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (bytes, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(bytes)
}

/// Decodes a length, and removes it and as many bytes from `input`.
pub(super) fn take_piece<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = take_number(input)?;
    take_bytes(usize::try_from(count).ok()?, input)
}

/// Appends bytes, preceded by their length.
pub(super) fn put_piece(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends bytes in the form of a trace: their number, and the first of them.
fn show_bytes(bytes: &[u8], out: &mut String) {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    write!(out, "{} bytes \"{}{more}\"", bytes.len(), shown.escape_ascii()).ok();
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn put(&self, out: &mut Vec<u8>) {
                put_number((*self).into(), out);
            }

            fn take(input: &mut &[u8]) -> Option<Self> {
                take_number(input)?.try_into().ok()
            }

            fn show(&self, out: &mut String) {
                write!(out, "{self}").ok();
            }
        }
    )*};
}

numbers!(u16, u32, u64);

impl Value for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        take_bytes(1, input).map(|bytes| bytes[0])
    }

    fn show(&self, out: &mut String) {
        write!(out, "{self}").ok();
    }

    fn put_list(list: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(list);
    }

    fn take_list(count: usize, input: &mut &[u8]) -> Option<Vec<Self>> {
        take_bytes(count, input).map(<[u8]>::to_vec)
    }

    fn show_list(list: &[Self], out: &mut String) {
        show_bytes(list, out);
    }
}

impl Value for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        match u8::take(input)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn show(&self, out: &mut String) {
        write!(out, "{self}").ok();
    }
}

impl Value for () {
    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }

    fn show(&self, out: &mut String) {
        out.push_str("()");
    }
}

impl Value for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_piece(self.as_bytes(), out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        String::from_utf8(take_piece(input)?.to_vec()).ok()
    }

    fn show(&self, out: &mut String) {
        let shown: String = self.chars().take(4 * SHOWN_BYTES).collect();
        let more = if shown.len() < self.len() { "…" } else { "" };
        // The text comes from the guest, and may contain control characters.
        write!(out, "\"{}{more}\"", shown.escape_debug()).ok();
    }
}

impl<T: Value> Value for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(self.len() as u64, out);
        T::put_list(self, out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let count = usize::try_from(take_number(input)?).ok()?;
        T::take_list(count, input)
    }

    fn show(&self, out: &mut String) {
        T::show_list(self, out);
    }
}

impl<T: Value> Value for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(input)? { Some(T::take(input)?) } else { None })
    }

    fn show(&self, out: &mut String) {
        match self {
            Some(value) => value.show(out),
            None => out.push_str("none"),
        }
    }
}

/// The status that a guest exits with.
impl Value for Result<(), ()> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        bool::take(input).map(|is_ok| if is_ok { Ok(()) } else { Err(()) })
    }

    fn show(&self, out: &mut String) {
        out.push_str(if self.is_ok() { "ok" } else { "error" });
    }
}

macro_rules! tuples {
    ($($type:ident $index:tt),*) => {
        impl<$($type: Value),*> Value for ($($type,)*) {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$index.put(out);)*
            }

            fn take(input: &mut &[u8]) -> Option<Self> {
                Some(($($type::take(input)?,)*))
            }

            fn show(&self, out: &mut String) {
                out.push('(');
                $(
                    out.push_str(if $index > 0 { ", " } else { "" });
                    self.$index.show(out);
                )*
                out.push(')');
            }
        }
    };
}

tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);

impl<T: 'static> Value for Resource<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.rep().put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        u32::take(input).map(Self::new_own)
    }

    fn show(&self, out: &mut String) {
        write!(out, "#{}", self.rep() & !KIND).ok();
    }
}
