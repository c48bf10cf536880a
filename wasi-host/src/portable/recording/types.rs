//! The encoding of the types of WASI. An enumeration is a byte, counted from 0 in the order of the lists here, which must
//! not change. Flags are the bits of a byte, in the order of the lists here.

use std::fmt::Write;
use std::net::SocketAddr;

use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::bindings::sockets::network::{
    self, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, MetadataHashValue, NewTimestamp,
    OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::bindings::sync::sockets::tcp::ShutdownType;
use wasmtime_wasi::p2::bindings::sync::sockets::udp::{IncomingDatagram, OutgoingDatagram};

use super::value::Value;

/// Appends a name of Rust in the form of WIT.
pub(super) fn show_name(name: &str, out: &mut String) {
    let mut is_inside = false;
    for character in name.chars() {
        let is_upper = character.is_ascii_uppercase();
        if is_upper && is_inside {
            out.push('-');
        }
        out.push(if character == '_' { '-' } else { character.to_ascii_lowercase() });
        is_inside = !is_upper && character != '_';
    }
}

macro_rules! enumerations {
    ($($type:path { $($case:ident),* $(,)? })*) => {$(
        impl Value for $type {
            fn put(&self, out: &mut Vec<u8>) {
                const CASES: &[$type] = &[$(<$type>::$case),*];
                let index = CASES.iter().position(|case| case == self).unwrap_or(usize::from(u8::MAX));
                out.push(u8::try_from(index).unwrap_or(u8::MAX));
            }

            fn take(input: &mut &[u8]) -> Option<Self> {
                const CASES: &[$type] = &[$(<$type>::$case),*];
                CASES.get(usize::from(u8::take(input)?)).copied()
            }

            fn show(&self, out: &mut String) {
                show_name(match self { $(<$type>::$case => stringify!($case)),* }, out);
            }
        }
    )*};
}

enumerations! {
    IpAddressFamily { Ipv4, Ipv6 }
    ShutdownType { Receive, Send, Both }
    Advice { Normal, Sequential, Random, WillNeed, DontNeed, NoReuse }
    DescriptorType {
        Unknown, BlockDevice, CharacterDevice, Directory, Fifo, SymbolicLink, RegularFile, Socket,
    }
    network::ErrorCode {
        Unknown, AccessDenied, NotSupported, InvalidArgument, OutOfMemory, Timeout, ConcurrencyConflict, NotInProgress,
        WouldBlock, InvalidState, NewSocketLimit, AddressNotBindable, AddressInUse, RemoteUnreachable, ConnectionRefused,
        ConnectionReset, ConnectionAborted, DatagramTooLarge, NameUnresolvable, TemporaryResolverFailure,
        PermanentResolverFailure,
    }
    ErrorCode {
        Access, WouldBlock, Already, BadDescriptor, Busy, Deadlock, Quota, Exist, FileTooLarge, IllegalByteSequence,
        InProgress, Interrupted, Invalid, Io, IsDirectory, Loop, TooManyLinks, MessageSize, NameTooLong, NoDevice,
        NoEntry, NoLock, InsufficientMemory, InsufficientSpace, NotDirectory, NotEmpty, NotRecoverable, Unsupported,
        NoTty, NoSuchDevice, Overflow, NotPermitted, Pipe, ReadOnly, InvalidSeek, TextFileBusy, CrossDevice,
    }
}

macro_rules! flags {
    ($($type:ident { $($flag:ident),* })*) => {$(
        impl Value for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let all = [$($type::$flag),*];
                let bits = all.iter().enumerate().map(|(bit, flag)| u8::from(self.contains(*flag)) << bit);
                out.push(bits.sum());
            }

            fn take(input: &mut &[u8]) -> Option<Self> {
                let (bits, all) = (u8::take(input)?, [$($type::$flag),*]);
                let mut flags = Self::empty();
                for bit in 0..8 {
                    if bits & (1 << bit) != 0 {
                        flags |= *all.get(bit)?;
                    }
                }
                Some(flags)
            }

            fn show(&self, out: &mut String) {
                let mut is_first = true;
                $(
                    if self.contains($type::$flag) {
                        out.push_str(if is_first { "" } else { "|" });
                        out.push_str(&stringify!($flag).to_ascii_lowercase().replace('_', "-"));
                        is_first = false;
                    }
                )*
                if is_first {
                    out.push('0');
                }
            }
        }
    )*};
}

flags! {
    DescriptorFlags {
        READ, WRITE, FILE_INTEGRITY_SYNC, DATA_INTEGRITY_SYNC, REQUESTED_WRITE_SYNC, MUTATE_DIRECTORY
    }
    OpenFlags { CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE }
    PathFlags { SYMLINK_FOLLOW }
}

macro_rules! records {
    ($($type:ident { $($field:ident),* })*) => {$(
        impl Value for $type {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn take(input: &mut &[u8]) -> Option<Self> {
                $(let $field = Value::take(input)?;)*
                Some(Self { $($field),* })
            }

            fn show(&self, out: &mut String) {
                let mut separator = "{";
                $(
                    out.push_str(separator);
                    show_name(stringify!($field), out);
                    out.push_str(": ");
                    self.$field.show(out);
                    separator = ", ";
                )*
                let _ = separator;
                out.push('}');
            }
        }
    )*};
}

records! {
    MetadataHashValue { lower, upper }
    DirectoryEntry { type_, name }
    DescriptorStat {
        type_, link_count, size, data_access_timestamp, data_modification_timestamp, status_change_timestamp
    }
    IncomingDatagram { data, remote_address }
    OutgoingDatagram { data, remote_address }
}

impl Value for Datetime {
    fn put(&self, out: &mut Vec<u8>) {
        (self.seconds, self.nanoseconds).put(out);
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let (seconds, nanoseconds) = Value::take(input)?;
        Some(Self { seconds, nanoseconds })
    }

    fn show(&self, out: &mut String) {
        write!(out, "{}.{:09} s", self.seconds, self.nanoseconds).ok();
    }
}

impl Value for NewTimestamp {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::NoChange => out.push(0),
            Self::Now => out.push(1),
            Self::Timestamp(time) => {
                out.push(2);
                time.put(out);
            }
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        match u8::take(input)? {
            0 => Some(Self::NoChange),
            1 => Some(Self::Now),
            2 => Value::take(input).map(Self::Timestamp),
            _ => None,
        }
    }

    fn show(&self, out: &mut String) {
        match self {
            Self::NoChange => out.push_str("no-change"),
            Self::Now => out.push_str("now"),
            Self::Timestamp(time) => time.show(out),
        }
    }
}

/// Appends the words of an IP address.
fn put_words<const N: usize>(words: [u16; N], out: &mut Vec<u8>) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
}

fn take_word(input: &mut &[u8]) -> Option<u16> {
    Some(u16::from_le_bytes([u8::take(input)?, u8::take(input)?]))
}

impl Value for IpAddress {
    fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Ipv4((a, b, c, d)) => out.extend_from_slice(&[4, a, b, c, d]),
            Self::Ipv6((a, b, c, d, e, f, g, h)) => {
                out.push(6);
                put_words([a, b, c, d, e, f, g, h], out);
            }
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let mut byte = || u8::take(input);
        match byte()? {
            4 => Some(Self::Ipv4((byte()?, byte()?, byte()?, byte()?))),
            6 => {
                let mut word = || take_word(input);
                let address = (word()?, word()?, word()?, word()?, word()?, word()?, word()?, word()?);
                Some(Self::Ipv6(address))
            }
            _ => None,
        }
    }

    fn show(&self, out: &mut String) {
        let address = match *self {
            Self::Ipv4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address }),
            Self::Ipv6(address) => {
                IpSocketAddress::Ipv6(Ipv6SocketAddress { port: 0, flow_info: 0, address, scope_id: 0 })
            }
        };
        write!(out, "{}", SocketAddr::from(address).ip()).ok();
    }
}

impl Value for IpSocketAddress {
    fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Ipv4(Ipv4SocketAddress { port, address }) => {
                IpAddress::Ipv4(address).put(out);
                port.put(out);
            }
            Self::Ipv6(Ipv6SocketAddress { port, flow_info, address, scope_id }) => {
                IpAddress::Ipv6(address).put(out);
                port.put(out);
                (flow_info, scope_id).put(out);
            }
        }
    }

    fn take(input: &mut &[u8]) -> Option<Self> {
        let address = IpAddress::take(input)?;
        let port = u16::take(input)?;
        Some(match address {
            IpAddress::Ipv4(address) => Self::Ipv4(Ipv4SocketAddress { port, address }),
            IpAddress::Ipv6(address) => {
                let (flow_info, scope_id) = Value::take(input)?;
                Self::Ipv6(Ipv6SocketAddress { port, flow_info, address, scope_id })
            }
        })
    }

    fn show(&self, out: &mut String) {
        write!(out, "{}", SocketAddr::from(*self)).ok();
    }
}
