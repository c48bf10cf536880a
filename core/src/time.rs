//! Time as the host measures it, and timers.
//!
//! ```
//! # use core::time::Duration;
//! # use sinbin_core::task::{Conn, Error};
//! # use sinbin_core::time::Elapsed;
//! /// Greets clients, and gives them five seconds to reply.
//! async fn greet(conn: Conn<'_>) -> Result<(), Error> {
//!     let handle = conn.handle();
//!     conn.send_all(b"hello?\n").await?;
//!     let mut buf = [0; 64];
//!     match handle.timeout(Duration::from_secs(5), conn.recv(&mut buf)).await {
//!         Ok(received) => received.map(|_| ()),
//!         Err(Elapsed) => conn.send_all(b"nobody there\n").await,
//!     }
//! }
//! ```
//!
//! | to | use |
//! | --- | --- |
//! | wait for a span, or until an instant | [`sleep`](crate::task::Handle::sleep), [`sleep_until`](crate::task::Handle::sleep_until) |
//! | limit the time of a wait | [`timeout`](crate::task::Handle::timeout), [`until`](crate::task::Handle::until) |
//! | do something at regular intervals | [`every`](crate::task::Handle::every) |
//! | get the current time | [`now`](crate::task::Handle::now) |
//!
//! A wait with a deadline is a single wait: a timeout needs neither a task nor a second registration. A span counts
//! from the call, by the host's clock, however long the step has computed before. A timer is never early; how late it
//! can be depends on the host (natively: a millisecond). Of several timers that are due in one turn, the earliest fires
//! first, and of equal ones the one that began to wait first.
//!
//! Deadlines do not overtake events (promise 10 of [the crate](crate)): an expired deadline ends a wait only after the
//! loop has polled its sources once more, even if a step, or the suspension of the process, took longer than the time
//! to the deadline. A [`timeout`](crate::task::Handle::timeout) of zero therefore returns what is available already.
//!
//! A timeout of [`Duration::MAX`](core::time::Duration::MAX) is no deadline, because it never expires. A sleep of that
//! span lasts until its task is cancelled.
//!
//! A sleep can't fail. A task that is cancelled while it only sleeps is therefore dropped where it stands; see [how
//! tasks are cancelled](crate::task#cancellation).

mod sleep;

pub use crate::kernel::instant::Instant;
pub use crate::task::error::Elapsed;
pub use sleep::{Interval, Sleep, Timeout};
