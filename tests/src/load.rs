//! Load and faults: clients that keep a server busy and hang up on it, or that go on sending while it stops, and what
//! is left of them in the server.
//!
//! Linux only: many clients share one epoll loop, and what a server holds is read from `/proc`. All that is random
//! comes from a seed.

mod burst;
mod crowd;
mod footprint;
mod queues;
mod seat;
mod summary;
mod talker;

pub use burst::Burst;
pub use crowd::{Crowd, Length, Tally};
pub use footprint::Footprint;
pub use queues::unacknowledged;
pub use seat::Moment;
pub use summary::Summary;
pub use talker::Talker;
