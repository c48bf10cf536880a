//! Resolving names.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::kernel::error::IoError;

/// A way to find the addresses of a name. Closures of this form are resolvers, too.
///
/// The host calls it on a thread that may block. The native host asks the system, unless its settings contain another
/// resolver.
pub trait Resolver: Send + Sync {
    /// Returns the addresses of a host, with `port`, in the order of preference.
    ///
    /// # Errors
    ///
    /// Fails with [`IoError::Unresolved`] if the name has no address, and with the system's error.
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, IoError>;
}

impl<F: Fn(&str, u16) -> Result<Vec<SocketAddr>, IoError> + Send + Sync> Resolver for F {
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, IoError> {
        self(host, port)
    }
}
