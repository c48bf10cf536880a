//! Programs on sinbin's core in a made-up world, for people who learn and teach concurrency. The page of this package
//! (`just playground`) draws what the functions here return: it decides nothing.
//!
//! A [`Run`] is a scenario, a seed and the visitor's actions, and can be written as the fragment of a link. [`play`]
//! plays it from its beginning and returns a [`Frame`] for each step in a window. A step backwards is a shorter run.
//!
//! The kernel, tasks, locks and timers are the shipped ones. The sockets, clients, workers and the clock are values in
//! memory, and each task that runs takes 5 µs of virtual time.
//!
//! ```
//! use sinbin_playground::{Run, play};
//!
//! let run = Run::parse("#scenario=countdown&seed=1").unwrap();
//! let played = play(&run, 0..1000);
//! let last = played.frames.last().unwrap();
//! assert_eq!(last.caption, "All tasks have ended");
//! assert!(last.output.ends_with(&["Task".to_owned()]));
//! ```

mod code;
#[cfg(target_arch = "wasm32")]
mod exports;
mod frame;
mod link;
mod machine;
mod player;
mod programs;
mod scenario;
mod world;

pub use frame::{ClientRow, Dot, Frame, JobRow, Kind, Place, Played};
pub use link::{Action, Deed, LinkError, MAX_ACTIONS, MAX_CLIENTS, MAX_LINK, MAX_STEPS, Run};
pub use player::play;
pub use scenario::{About, Scenario};
pub use world::MAX_N;
