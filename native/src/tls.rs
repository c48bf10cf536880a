//! TLS by `rustls` (with the feature `tls`).
//!
//! A [`TlsAcceptor`] turns the connections of a server into [`TlsConn`]s, and a [`TlsConnector`] those of a client. A
//! [`TlsConn`] has the operations of a [`Conn`](crate::task::Conn), and code for both is generic over
//! [`ByteStream`](crate::ByteStream).
//!
//! ```no_run
//! use sinbin::tls::{Identity, TlsAcceptor};
//!
//! let acceptor = TlsAcceptor::new(Identity::from_pem_files("cert.pem", "key.pem")?)?;
//! sinbin::serve("127.0.0.1:8443", async |conn| {
//!     acceptor
//!         .serve(conn, async |conn| {
//!             let mut lines = conn.lines([0; 1024]);
//!             while let Some(line) = lines.next().await? {
//!                 conn.send_all(&[line, b"\n"].concat()).await?;
//!             }
//!             Ok::<_, sinbin::task::Error>(())
//!         })
//!         .await
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The end of a stream
//!
//! TLS tells the end of a stream from a connection that was cut: the last message is a `close_notify`. Receiving returns
//! 0 after it, and [`Error::Ended`](crate::task::Error::Ended) if the connection ends without it.
//! [`TlsConn::shutdown`] sends it, and [`TlsAcceptor::serve`] does so if the service succeeds. A connection that is
//! dropped without it is truncated for the peer, as it should be after a failure.
//!
//! # Memory and copies
//!
//! Encrypted bytes are received into the loop's shared buffer, decrypted in the buffer of `rustls`, and copied from there
//! to the reader's. [`TlsConn::recv_with`] and [`copy_bidirectional`] save the last copy. A connection sends one record of 16
//! KiB at a time, whatever the caller has: no more than that waits to be sent. An idle connection keeps the state of
//! `rustls` (some KiB), which has a limit for everything that the peer can send.

mod acceptor;
mod advice;
mod conn;
mod connector;
mod copy;
mod error;
#[cfg(feature = "futures-io")]
mod futures_io;
mod halves;
mod handshake;
mod pem;
pub(crate) mod session;

pub use acceptor::{TlsAcceptor, TlsAcceptorBuilder};
pub use conn::TlsConn;
pub(crate) use connector::is_server_name;
pub use connector::{TlsConnector, TlsConnectorBuilder};
pub use copy::{Side, copy, copy_bidirectional};
pub use error::{ConfigError, Peer, TlsError};
pub use halves::{TlsRecvHalf, TlsSendHalf};
pub use pem::{Identity, Roots};
/// The crate that implements TLS, for configurations beyond those of the builders.
pub use rustls;
