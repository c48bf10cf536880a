//! Load and faults: clients that keep a server busy and hang up on it, or that continue to send while it stops, and the
//! resources that they leave in the server.
//!
//! Linux only: many clients share one epoll loop, and the resources of a server are read from `/proc`. All randomness
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
