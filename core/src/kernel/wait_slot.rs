//! Slots of the wait tables.

use crate::kernel::slab::{MAX_LEN, NONE};

/// A wait table. The first three are in the order of the bits of [`Interest`](crate::Interest).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Table {
    Recv,
    Send,
    Hangup,
    Job,
}

/// A slot of a wait table, in four bytes: two bits for the table, thirty for the index.
/// All four values of the two bits are in use: a fifth table would take a bit of the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub(crate) struct WaitSlot(pub(crate) u32);

impl WaitSlot {
    pub(crate) const NONE: Self = Self(NONE);

    /// Returns the slot at `index`. An index past the end of every table becomes [`MAX_LEN`], which no table has
    /// either.
    pub(crate) const fn new(table: Table, index: u32) -> Self {
        let index = if index < MAX_LEN { index } else { MAX_LEN };
        Self((table as u32) << 30 | index)
    }

    #[inline]
    pub(crate) const fn is_none(self) -> bool {
        self.0 == NONE
    }

    #[inline]
    pub(crate) const fn table(self) -> Table {
        match self.0 >> 30 {
            0 => Table::Recv,
            1 => Table::Send,
            2 => Table::Hangup,
            _ => Table::Job,
        }
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.0 & !(3 << 30)
    }
}
