//! Time: as the host tells it, and waiting for it.
//!
//! ```
//! # use core::time::Duration;
//! # use sinbin_core::task::{Conn, Error};
//! # use sinbin_core::time::Elapsed;
//! /// Greets clients, and gives them five seconds to say something.
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
//! | to | there is |
//! | --- | --- |
//! | wait for a time, or until a moment | [`sleep`](crate::task::Handle::sleep), [`sleep_until`](crate::task::Handle::sleep_until) |
//! | wait no longer than that for something | [`timeout`](crate::task::Handle::timeout), [`until`](crate::task::Handle::until) |
//! | do something at equal distances | [`every`](crate::task::Handle::every) |
//! | know what time it is | [`now`](crate::task::Handle::now) |
//!
//! A wait with a deadline is one wait: a timeout is no task and no second registration. A span counts from when it is asked
//! for, by the host's clock, however long the step has computed before. A timer is never early; how late it can be, the host
//! knows (natively: a millisecond). Of several that are due in one turn, the earliest goes first, and of equal ones the one
//! that began to wait first.
//!
//! Time does not pass a deadline unseen (promise 10 of [the crate](crate)): a deadline that has come ends a wait only
//! after the loop has looked at its sources once more, even where a step, or a process that was stopped, took longer than
//! the deadline was away. So a [`timeout`](crate::task::Handle::timeout) of no time at all returns what is there already.
//!
//! A timeout of [`Duration::MAX`](core::time::Duration::MAX) is no deadline, as it never ends. A sleep of that span
//! lasts until its task is cancelled.
//!
//! A sleep can't fail. So a task that is cancelled while it does nothing but sleep is dropped where it stands; see
//! [how tasks are cancelled](crate::task#cancellation).

mod sleep;

pub use crate::kernel::instant::Instant;
pub use crate::task::error::Elapsed;
pub use sleep::{Interval, Sleep, Timeout};
