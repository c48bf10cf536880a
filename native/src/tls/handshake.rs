//! The handshake of either side.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sinbin_core::task::{Conn, Error};

use crate::tls::conn::TlsConn;
use crate::tls::error::{Peer, TlsError};
use crate::tls::session::{Readable, Session};

/// The time that a handshake may take if the program sets no other limit.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Performs the handshake of a new session on `conn`, within `limit`. `name` is the name of the server, for clients.
pub(super) async fn handshake<'d>(
    conn: Conn<'d>,
    session: Session,
    name: Option<String>,
    limit: Duration,
) -> Result<TlsConn<'d>, TlsError> {
    let handle = conn.handle();
    let peer = Peer { address: conn.peer(), name };
    let conn = TlsConn::new(conn, session);
    let done = handle.timeout(limit, poll_fn(|context| poll_handshake(&conn, context))).await;
    let Ok(done) = done else { return Err(TlsError::Late { peer, limit }) };
    let mut session = conn.session().map_err(|_| TlsError::elsewhere(peer.clone()))?;
    let first = session.take_first();
    drop(session);
    match done {
        Ok(()) => Ok(conn),
        Err(Failed::Connection(error)) => Err(TlsError::connection(peer, error)),
        Err(Failed::Closed) => Err(TlsError::Closed { peer }),
        Err(Failed::Session(error)) => {
            // The alert tells the peer why.
            conn.flush_now();
            Err(TlsError::handshake(peer, first, error))
        }
    }
}

/// The reason why a handshake failed.
enum Failed {
    Connection(Error),
    Closed,
    Session(rustls::Error),
}

fn poll_handshake(conn: &TlsConn<'_>, context: &Context<'_>) -> Poll<Result<(), Failed>> {
    let failed = |error: Error| Failed::Connection(error);
    loop {
        ready!(conn.poll_flush(context)).map_err(failed)?;
        let session = conn.session().map_err(|refused| failed(refused.into()))?;
        if !session.tls.is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        drop(session);
        let feed = |bytes: &[u8]| conn.session().map(|mut session| (session.feed(bytes), session.readable()));
        let received = ready!(conn.conn().poll_recv_with(context, usize::MAX, feed)).map_err(failed)?;
        let (fed, readable) = received.map_err(|refused| failed(refused.into()))?;
        fed.map_err(Failed::Session)?;
        let is_handshaking = conn.session().map_err(|refused| failed(refused.into()))?.tls.is_handshaking();
        if is_handshaking && matches!(readable, Readable::Truncated | Readable::End) {
            return Poll::Ready(Err(Failed::Closed));
        }
    }
}
