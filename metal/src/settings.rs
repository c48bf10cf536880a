//! The limits of a loop on a board.

use core::time::Duration;

/// The limits of the network and of jobs. Each has a default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The maximum number of connections that are served at a time, lingering ones included. Connections above it wait,
    /// established, in the sockets that are left, and those that find no socket are refused. The default is one for
    /// each socket, up to 128.
    pub max_connections: usize,
    /// The time within which a client must complete the handshake, after which its socket listens again. The default is
    /// 10 seconds.
    pub handshake_timeout: Duration,
    /// The time after which a connection is reset if its peer no longer acknowledges anything. An idle peer is asked
    /// three times within this time. The default is 60 seconds.
    pub peer_timeout: Duration,
    /// The time that a closed connection has to deliver its last bytes. After that, it is reset. The default is 30
    /// seconds.
    pub close_timeout: Duration,
    /// The number of frames that are received in one poll. It is at least the number of frames that the device can
    /// hold, so that one poll sees all that arrived before. The default is 64.
    pub burst: u32,
    /// The budget of the slice of a job that runs between two turns, in the units of [`Job::run`]. The default is
    /// 2,000.
    ///
    /// [`Job::run`]: sinbin_core::Job::run
    pub slice: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: usize::MAX,
            handshake_timeout: Duration::from_secs(10),
            peer_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(30),
            burst: 64,
            slice: 2_000,
        }
    }
}
