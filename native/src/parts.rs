//! The parts of the native loop, for hosts that run something else on it, as `sinbin-wasi` does: readiness, the table of
//! sockets, and worker threads. [`Server`](crate::Server) is made of them.
//!
//! ```
//! use std::time::{Duration, Instant as Clock};
//!
//! use sinbin::parts::{Reactor, Socket, Sockets, Until, listen};
//! use sinbin::{Instant, Interest, SourceId};
//!
//! let mut reactor = Reactor::new(Duration::ZERO)?;
//! let mut sockets = Sockets::new(10, &reactor);
//! let listener = listen("127.0.0.1:0".parse().unwrap())?;
//! let client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! let source = SourceId::from_bits(3);
//! sockets.insert(source, Socket::Listener(listener), false);
//! sockets.watch(source, Interest::RECV)?;
//! let began = Clock::now();
//! let clock = || Instant::ZERO + began.elapsed();
//! let mut ready = Vec::new();
//! reactor.wait(Until::Ever, clock, |index, readiness| ready.push((index, readiness)))?;
//! assert_eq!(ready, [(3, Interest::RECV)]);
//! let (_connection, peer) = sockets.accept(source)?;
//! assert_eq!(peer, client.local_addr()?);
//! # Ok::<(), std::io::Error>(())
//! ```

pub use crate::pool::{Finished, Pool as Workers, Ticket};
pub use crate::reactor::{Notifier, Reactor, Until};
pub use crate::sockets::{Socket, Sockets, is_exhaustion, listen, prepare};
