//! Time: as the host tells it, and waiting for it.
//!
//! ```
//! # use core::time::Duration;
//! # use sinbin_core::task::{Conn, Error};
//! # use sinbin_core::time::Elapsed;
//! /// Greets clients, and gives them five seconds to say something.
//! async fn greet(conn: Conn<'_>) -> Result<(), Error> {
//!     let on = conn.on();
//!     conn.send_all(b"hello?\n").await?;
//!     let mut buf = [0; 64];
//!     match on.timeout(Duration::from_secs(5), conn.recv(&mut buf)).await {
//!         Ok(received) => received.map(|_| ()),
//!         Err(Elapsed) => conn.send_all(b"nobody there\n").await,
//!     }
//! }
//! ```
//!
//! A wait with a deadline is one wait: a timeout is no task and no second registration. Time moves between turns,
//! not within. A timer is never early; how late it can be, the host knows (natively: a millisecond).

mod instant;
mod sleep;

pub use instant::Instant;
pub use sleep::{Elapsed, Interval, Sleep, Timeout};
