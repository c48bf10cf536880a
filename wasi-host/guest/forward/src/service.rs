//! The forwarder apart from its host, which the simulator runs as well.

use core::time::Duration;

use sinbin_core::task::{Conn, Error, copy_bidirectional};

/// The maximum time to connect to the server.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Forwards bytes between a client and the server `to`, in both directions until both have ended. Calls `turned_away` with
/// the error if there is no connection to the server.
pub async fn forward(client: &Conn<'_>, to: &str, turned_away: impl FnOnce(&Error)) -> Result<(), Error> {
    let handle = client.handle();
    let server = handle.timeout(PATIENCE, handle.connect(to)).await?;
    let server = server.inspect_err(turned_away)?;
    copy_bidirectional(client, &server).await.map(drop)
}
