use std::fs;

use crate::machine;
use crate::server::Server;
use crate::wait::eventually;

/// The number of consecutive polls in which a resting server must hold no less memory than before. Memory of unused
/// blocks is released within two seconds, and each poll takes more than half a second.
const LOOKS: usize = 8;

/// The resources that a server holds while no client is connected.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// The number of open files and sockets.
    pub descriptors: usize,
    /// The private memory in RAM, in bytes.
    pub memory: u64,
}

impl Footprint {
    /// Measures a server that is at rest.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        Self { descriptors: Self::descriptors(server), memory: machine::anonymous_bytes(server.pid()) }
    }

    /// Returns the current number of open files and sockets.
    ///
    /// # Panics
    ///
    /// Panics if the system cannot report it.
    #[must_use]
    pub fn descriptors(server: &Server) -> usize {
        let path = format!("/proc/{}/fd", server.pid().as_raw_pid());
        fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}")).count()
    }

    /// Waits until the server has as many descriptors as `self`, no thread of it computes, and it releases no more
    /// memory. Returns the resources that it then holds.
    ///
    /// # Panics
    ///
    /// Panics if that does not happen in time.
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
