//! Readiness and interest: sets of conditions of a source.

use core::ops::{BitAnd, BitOr};

/// A set of conditions of a source. As *readiness*, the set holds the conditions that are true now; as *interest*, the
/// conditions that tasks wait for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[repr(transparent)]
pub struct Interest(u8);

/// The conditions that a host reports of a source: see [`Interest`].
pub type Readiness = Interest;

impl Interest {
    /// The empty set. A source with this interest need not be watched.
    pub const NONE: Self = Self(0);
    /// Bytes, a new connection, or the end of the stream can be received.
    pub const RECV: Self = Self(1);
    /// Bytes can be sent.
    pub const SEND: Self = Self(2);
    /// Both directions have ended. Hosts that watch a source for anything also report this, as epoll does, and report
    /// it only when it is true.
    pub const HANGUP: Self = Self(4);

    /// Returns true if this set contains all conditions of `other`.
    #[must_use]
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns true if the set is empty.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the set as a number: the sum of 1 for recv, 2 for send, and 4 for hangup.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the set that [`bits`](Self::bits) converted to `bits`; ignores other bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 7)
    }
}

impl BitOr for Interest {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Interest {
    type Output = Self;

    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
