//! Readiness and interest: sets of what can happen to a source.

use core::ops::{BitAnd, BitOr};

/// A set of conditions of a source. As *readiness* it says what is so; as *interest*, what somebody waits
/// for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Interest(u8);

/// What a host reports of a source: see [`Interest`].
pub type Readiness = Interest;

impl Interest {
    /// Nothing. A source of this interest need not be watched at all.
    pub const NONE: Self = Self(0);
    /// Bytes, a new connection, or the end of the stream.
    pub const RECV: Self = Self(1);
    /// Room to send.
    pub const SEND: Self = Self(2);
    /// Both directions have ended. Hosts that watch a source at all report this whether asked or not, as
    /// epoll does, and never falsely.
    pub const HANGUP: Self = Self(4);

    /// Whether everything in `other` is in this set.
    #[must_use]
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in it.
    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a number: 1 for recv, 2 for send, 4 for hangup, added up.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of which [`bits`](Self::bits) made the number; other bits are dropped.
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
