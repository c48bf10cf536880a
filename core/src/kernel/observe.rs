//! The tables of a kernel, read by another process.
//!
//! A host publishes the tables of its kernel where they are: [`Storage::task_slots`](crate::kernel::Storage::task_slots),
//! [`Storage::timers`](crate::kernel::Storage::timers) and the tables of sources and jobs are in memory that a reader can map,
//! and a [`Beacon`] counts the changes. The reader copies the tables between two equal, even counts, and passes the copy
//! to [`Kernel::restore`](crate::Kernel::restore). If the tables are so large that the loop never rests for that long,
//! the reader copies one row at a time, and decodes it with [`view`]. (`restore` and `view` need the feature `alloc`.)
//!
//! A guest in a sandbox puts its tables behind a [`directory`] in its memory, which its host lets readers map.
//!
//! For hosts. `sinbin::observe` does all that for the native host.

#[cfg(feature = "alloc")]
pub mod directory;

pub use crate::kernel::beacon::Beacon;
#[cfg(feature = "alloc")]
pub use crate::kernel::image::{
    Image, JOB_WORDS, LAYOUT, Rows, SOURCE_WORDS, TASK_WORDS, TIMER_WORDS, Tables, view,
};
