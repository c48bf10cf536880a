use std::fs;

use crate::machine;
use crate::server::Server;
use crate::wait::eventually;

/// So often in a row a server at rest must hold no less than before, to have given back all that it will: memory of blocks
/// goes within two seconds of their last use, and each look takes more than half of one.
const LOOKS: usize = 8;

/// What a server holds while nobody is connected.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// Open files and sockets.
    pub descriptors: usize,
    /// Memory of its own in RAM, in bytes.
    pub memory: u64,
}

impl Footprint {
    /// Looks at a server that has come to rest.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self { descriptors: Self::descriptors(server), memory: machine::anonymous_bytes(server.pid()) }
    }

    /// How many open files and sockets it has now.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    #[must_use]
    pub fn descriptors(server: &Server) -> usize {
        let path = format!("/proc/{}/fd", server.pid().as_raw_pid());
        fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
    }

    /// Waits until the server has as many descriptors as it had then, no thread of it computes, and it gives no more
    /// memory back. Returns what it holds then.
    ///
    /// # Panics
    ///
    /// When that does not come to be in time.
    #[must_use]
    pub fn again(self, server: &Server) -> Self {
        eventually("as many descriptors as before", || Self::descriptors(server) == self.descriptors);
        let mut least = Self::of(server);
        let mut same = 0;
        eventually("a server at rest", || {
            let rests = machine::rests(server.pid());
            let now = Self::of(server);
            same = if rests && now.memory >= least.memory { same + 1 } else { 0 };
            least.memory = least.memory.min(now.memory);
            same == LOOKS
        });
        least
    }
}
