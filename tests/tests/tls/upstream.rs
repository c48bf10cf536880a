//! Servers with TLS that a guest connects to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use sinbin::tls::rustls::pki_types::pem::PemObject;
use sinbin::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sinbin::tls::rustls::{ServerConfig, ServerConnection, Stream, crypto};
use sinbin_tests::PATIENCE;

/// The behaviour of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Answers in upper case, and announces the end of the answer.
    Answers,
    /// Answers, and does not announce the end.
    Truncates,
    /// Refuses, without TLS, whatever the client sends.
    Plain,
    /// Closes the connection when the client has sent something.
    Leaves,
    /// Receives, and sends nothing, until the client leaves.
    Silent,
}

/// A server with one client after the other.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl Upstream {
    /// Starts a server with this certificate and key, which serves `clients` clients.
    pub(crate) fn start(manner: Manner, (certificate, key): (&Path, &Path), clients: usize) -> Self {
        let chain =
            CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).expect("certificates");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let config = Arc::new(builder.with_single_cert(chain, key).expect("an identity"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let serve = move |_| {
            let (mut client, _) = listener.accept().expect("a client");
            client.set_read_timeout(Some(PATIENCE)).expect("a limit");
            manner.serve(&mut client, &config)
        };
        Self { address, thread: thread::spawn(move || (0..clients).map(serve).collect()) }
    }

    /// Waits for the last client, and returns what the clients have sent: plaintext, if the handshakes have succeeded.
    pub(crate) fn received(self) -> Vec<Vec<u8>> {
        self.thread.join().expect("no panic")
    }
}

impl Manner {
    fn serve(self, client: &mut TcpStream, config: &Arc<ServerConfig>) -> Vec<u8> {
        let mut all = Vec::new();
        match self {
            Self::Answers | Self::Truncates => {
                let mut session = ServerConnection::new(Arc::clone(config)).expect("a session");
                // Fails if the client refuses the certificate.
                if Stream::new(&mut session, client).read_to_end(&mut all).is_ok() {
                    Stream::new(&mut session, client)
                        .write_all(&all.to_ascii_uppercase())
                        .expect("it is open");
                    if self == Self::Answers {
                        session.send_close_notify();
                    }
                    while session.wants_write() {
                        session.write_tls(client).expect("it is open");
                    }
                }
            }
            Self::Plain => {
                let mut first = [0; 4096];
                let count = client.read(&mut first).expect("it sends something");
                all.extend_from_slice(&first[..count]);
                client.write_all(b"400 not understood\r\n").ok();
            }
            Self::Leaves => {
                all.resize(4096, 0);
                let count = client.read(&mut all).expect("it sends something");
                all.truncate(count);
            }
            Self::Silent => {
                client.read_to_end(&mut all).ok();
            }
        }
        all
    }
}
