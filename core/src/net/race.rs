//! Connecting to the fastest address of a name (RFC 8305, "happy eyeballs").

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use crate::group::JoinSet;
use crate::kernel::error::{IoError, Op};
use crate::net::attempts::{ATTEMPT_DELAY, attempt_order};
use crate::task::conn::Conn;
use crate::task::endpoint::Endpoint;
use crate::task::error::Error;
use crate::task::handle::Handle;

/// Resolves a name, and connects to the address that answers first. Some hosts do all of this by themselves.
pub(super) async fn connect<'d>(handle: Handle<'d>, endpoint: Endpoint<'_>) -> Result<Conn<'d>, Error> {
    if let Some(conn) = handle.connect_name(endpoint).await? {
        return Ok(conn);
    }
    let connected = fastest(handle, handle.resolve(endpoint).await?).await;
    connected.map_err(|error| match error.io() {
        Some(error) => Error::endpoint(Op::Connect, endpoint, error),
        None => error,
    })
}

/// Connects to the address that answers first.
pub(super) async fn fastest<'d>(
    handle: Handle<'d>,
    addresses: impl IntoIterator<Item = SocketAddr>,
) -> Result<Conn<'d>, Error> {
    let addresses = attempt_order(addresses);
    match addresses.len() {
        1 => handle.connect_address(addresses[0]).await,
        _ => race(handle, addresses).await,
    }
}

/// Connects to the addresses in their order, each in a task of its own, until one answers. The tasks of the others end
/// with the set.
async fn race(handle: Handle<'_>, mut addresses: VecDeque<SocketAddr>) -> Result<Conn<'_>, Error> {
    let attempts = JoinSet::new(handle);
    let mut first_error = None;
    loop {
        match addresses.pop_front() {
            Some(address) => drop(attempts.spawn(handle.connect_address(address))?),
            None if attempts.is_empty() => break,
            None => {}
        }
        let ended = attempts.join_next();
        let ended = if addresses.is_empty() {
            ended.await?
        } else {
            match handle.timeout(ATTEMPT_DELAY, ended).await {
                Ok(ended) => ended?,
                Err(_) => continue,
            }
        };
        // An attempt without a result has panicked, which the host reports.
        let Some((_, Ok(result))) = ended else { continue };
        match result {
            Ok(conn) => return Ok(conn),
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    let none = Error::endpoint(Op::Connect, Endpoint::Invalid(""), IoError::Unresolved);
    Err(first_error.unwrap_or(none))
}
