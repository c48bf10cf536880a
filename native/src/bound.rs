//! Listeners that are bound, and places that a service can listen at.

use std::fmt;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::server::Settings;
use crate::sockets::{self, Listening};

/// A listener of a server: on an address, or on the path of a Unix socket. The path is removed when the listener is
/// dropped, if [`Settings::bind_path`] has created it.
#[derive(Debug)]
pub struct BoundListener(pub(crate) Listening);

impl BoundListener {
    /// Returns the address that the listener is bound to; `None` for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address()
    }

    /// Makes the clients of the listener speak TLS with the host: their services receive and send plaintext. The state
    /// machines and `async fn`s are those of listeners without TLS. A connection is closed if its handshake fails or takes
    /// longer than the limit of `acceptor`. Closing a connection announces its end (`close_notify`), and a peer that ends
    /// one without this announcement resets it for the service.
    ///
    /// ```no_run
    /// use sinbin::tls::{Identity, TlsAcceptor};
    /// use sinbin::{BoundListener, Listen, Server, Settings, echo::Echo};
    ///
    /// let acceptor = TlsAcceptor::new(Identity::from_pem_files("cert.pem", "key.pem")?)?;
    /// let mut server = Server::new(Echo::default(), &Settings::default())?;
    /// server.listen_on("127.0.0.1:25000".listen()?.with_tls(&acceptor))?;
    /// server.run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(self, acceptor: &crate::tls::TlsAcceptor) -> Self {
        let listener = match self.0 {
            Listening::Tls(listener) => listener.0,
            listener => listener,
        };
        Self(Listening::Tls(Box::new((listener, acceptor.clone()))))
    }
}

impl From<TcpListener> for BoundListener {
    fn from(listener: TcpListener) -> Self {
        Self(Listening::Tcp(listener))
    }
}

/// Adopts a listener that was made elsewhere. Its path is left alone.
#[cfg(unix)]
impl TryFrom<std::os::unix::net::UnixListener> for BoundListener {
    type Error = std::io::Error;

    fn try_from(listener: std::os::unix::net::UnixListener) -> std::io::Result<Self> {
        Ok(Self(Listening::Unix(Box::new(listener.try_into()?))))
    }
}

impl fmt::Display for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(&self.0, f)
    }
}

fn display(listener: &Listening, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match listener {
        Listening::Tcp(_) => match listener.address() {
            Some(address) => fmt::Display::fmt(&address, f),
            None => f.write_str("an unknown address"),
        },
        #[cfg(unix)]
        Listening::Unix(listener) => match listener.path() {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => f.write_str("a Unix socket"),
        },
        #[cfg(feature = "tls")]
        Listening::Tls(listener) => display(&listener.0, f),
    }
}

/// A place that a server listens at.
///
/// ```
/// use sinbin::Place;
///
/// assert_eq!(Place::Path("/run/a.sock".into()).to_string(), "unix:/run/a.sock");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// An address. Port 0 means any free port.
    Address(SocketAddr),
    /// The path of a Unix socket.
    Path(PathBuf),
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A place at which a service can listen, such as `"127.0.0.1:25000"`, the path of a Unix socket
/// (`"unix:/run/service.sock"`), or a listener.
pub trait Listen {
    /// Returns the listener.
    ///
    /// # Errors
    ///
    /// Fails if the text is not an address, or if the server cannot listen there.
    fn listen(self) -> Result<BoundListener, Error>;
}

impl Listen for TcpListener {
    fn listen(self) -> Result<BoundListener, Error> {
        Ok(self.into())
    }
}

impl Listen for BoundListener {
    fn listen(self) -> Result<BoundListener, Error> {
        Ok(self)
    }
}

impl Listen for SocketAddr {
    fn listen(self) -> Result<BoundListener, Error> {
        bind(self).map(Into::into)
    }
}

impl Listen for &str {
    fn listen(self) -> Result<BoundListener, Error> {
        if let Some(path) = self.strip_prefix("unix:") {
            return Settings::default().bind_path(path);
        }
        let addresses = self.to_socket_addrs().map_err(Error::Bind)?;
        // Like the standard library: uses the first address that can be bound.
        let mut last = Error::Bind(ErrorKind::InvalidInput.into());
        for address in addresses {
            match bind(address) {
                Err(error) => last = error,
                bound => return bound.map(Into::into),
            }
        }
        Err(last)
    }
}

impl Listen for String {
    fn listen(self) -> Result<BoundListener, Error> {
        self.as_str().listen()
    }
}

/// Creates a listener on `address`, with address reuse and a long backlog. With port 0, the system chooses a port. A
/// listener on an IPv6 address such as `[::]` accepts no IPv4 connections, unless it is created by [`Settings::bind`]
/// with [`Settings::dual_stack`].
///
/// # Errors
///
/// Returns [`Error::Listen`] if the server cannot listen on the address.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    Settings::default().bind(address)
}

impl Settings {
    /// Creates a listener as [`bind`] does, with these settings.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Listen`] if the server cannot listen on the address.
    pub fn bind(&self, address: SocketAddr) -> Result<TcpListener, Error> {
        sockets::bind(address, self.dual_stack).map_err(|error| Error::Listen { address, error })
    }

    /// Creates a listener on a Unix socket at `path`, which is removed when the listener is dropped. Anything that exists
    /// at the path is left alone, unless it is a socket on which no process listens: such a socket, which a killed
    /// process has left behind, is replaced.
    ///
    /// # Errors
    ///
    /// Returns [`Error::ListenPath`] if the server cannot listen there.
    pub fn bind_path(&self, path: impl AsRef<Path>) -> Result<BoundListener, Error> {
        bind_path(path.as_ref()).map(BoundListener)
    }
}

/// Creates a listener on a Unix socket.
pub(crate) fn bind_path(path: &Path) -> Result<Listening, Error> {
    #[cfg(unix)]
    let bound = sockets::UnixPathListener::bind(path).map(|listener| Listening::Unix(Box::new(listener)));
    #[cfg(not(unix))]
    let bound = Err(ErrorKind::Unsupported.into());
    bound.map_err(|error| Error::ListenPath { path: path.to_owned(), error })
}
