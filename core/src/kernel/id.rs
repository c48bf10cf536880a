//! Ids of tasks, sources and jobs.
//!
//! An id is an index and a generation. When a slot is freed, its generation advances, so an old id matches nothing and
//! can never refer to the next user of the slot (promise 5).

/// An id that the kernel assigns to a task, a source or a job.
pub trait Id: Copy + Eq + sealed::Sealed {
    /// Returns the index of the slot in its table.
    fn index(self) -> usize;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name {
            pub(crate) index: u32,
            pub(crate) generation: u32,
        }

        impl $name {
            pub(crate) const fn new(index: u32, generation: u32) -> Self {
                Self { index, generation }
            }

            /// Returns the index of the slot in its table. Hosts index tables of their own by it.
            #[must_use]
            pub const fn index(self) -> usize {
                self.index as usize
            }

            /// Returns the id as one number, for interfaces that carry only integers.
            #[must_use]
            pub const fn to_bits(self) -> u64 {
                (self.generation as u64) << 32 | self.index as u64
            }

            /// Returns the id that [`to_bits`](Self::to_bits) converted to `bits`. Any number is safe: an id that
            /// refers to nothing has no effect.
            #[must_use]
            #[expect(clippy::cast_possible_truncation, reason = "the halves are 32 bits each")]
            pub const fn from_bits(bits: u64) -> Self {
                Self::new(bits as u32, (bits >> 32) as u32)
            }
        }

        impl Id for $name {
            #[inline]
            fn index(self) -> usize {
                self.index()
            }
        }

        impl sealed::Sealed for $name {}

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}.{}", self.index, self.generation)
            }
        }
    };
}

id! {
    /// The id of a task.
    TaskId
}
id! {
    /// The id of a source: a connection or a listener, whose readiness a host reports.
    SourceId
}
id! {
    /// The id of a job: a computation that a host runs for a task.
    JobId
}
