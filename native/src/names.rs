//! The resolver of a loop.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use sinbin_core::IoError;
use sinbin_core::task::Resolver;

/// A resolver that settings contain.
#[derive(Clone)]
pub(crate) struct Names(pub(crate) Arc<dyn Resolver>);

impl Default for Names {
    fn default() -> Self {
        Self(Arc::new(System))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(..)")
    }
}

/// The resolver of the system (`getaddrinfo`).
struct System;

impl Resolver for System {
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, IoError> {
        match (host, port).to_socket_addrs() {
            Ok(addresses) => Ok(addresses.collect()),
            // The reasons of the resolver have no numbers here, only texts: no such name, a server that failed, no
            // server that answers.
            Err(error) => {
                tracing::debug!(host, %error, "a name was not resolved");
                Err(error.raw_os_error().map_or(IoError::Unresolved, IoError::Os))
            }
        }
    }
}
