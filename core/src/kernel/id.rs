//! Names of tasks, sources and jobs.
//!
//! An id is an index and a generation. When the thing goes, the generation of its place moves on, so an
//! old id matches nothing any more and can never hit the successor (promise 5).

/// An id of the kernel's: what names a task, a source or a job.
pub trait Id: Copy + Eq + sealed::Sealed {
    /// The place in its table.
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

            /// The place in its table. Hosts use it to keep what they know of it in a table of their own.
            #[must_use]
            pub const fn index(self) -> usize {
                self.index as usize
            }

            /// The id as one number, for contracts that carry nothing richer.
            #[must_use]
            pub const fn to_bits(self) -> u64 {
                (self.generation as u64) << 32 | self.index as u64
            }

            /// The id that [`to_bits`](Self::to_bits) was made of. Any number is safe: an id of
            /// nothing does nothing.
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
    /// Names a task.
    TaskId
}
id! {
    /// Names something that a host can find ready: a connection or a listener.
    SourceId
}
id! {
    /// Names a piece of computing that somebody does for a task.
    JobId
}
