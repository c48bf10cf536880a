//! Connections that a guest requests, and with whose peers the host speaks TLS.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sinbin::driven::ConnectError;
use sinbin::guests::GuestSettings;
use sinbin::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sinbin::tls::rustls::{ServerConfig, ServerConnection, Stream, crypto};
use sinbin::tls::{Roots, TlsConnector};

use crate::outgoing::{dial, permitting};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Returns the roots that verify a new certificate for `name`, and the configuration of a server with the certificate.
fn identity(name: &str) -> (Roots, Arc<ServerConfig>) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = CertificateDer::from(params.signed_by(&key, &authority).expect("a certificate"));
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let config = builder.with_single_cert(vec![certificate], key).expect("an identity");
    (Roots::from_pem(authority.pem().as_bytes()).expect("roots"), Arc::new(config))
}

/// Accepts `count` clients in turn. The thread returns the names that they ask for, or their first byte if they speak
/// no TLS.
fn serve(config: Arc<ServerConfig>, count: usize) -> (u16, JoinHandle<Vec<Result<String, u8>>>) {
    let listener = TcpListener::bind((HERE, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let greet = move |_| {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut first = [0];
        if stream.peek(&mut first).is_ok_and(|count| count == 1) && first != [22] {
            return Err(first[0]);
        }
        let mut session = ServerConnection::new(Arc::clone(&config)).expect("a session");
        // Ends with the client, or with its refusal.
        Stream::new(&mut session, &mut stream).read_to_end(&mut Vec::new()).ok();
        Ok(session.server_name().unwrap_or("none").to_owned())
    };
    (port, thread::spawn(move || (0..count).map(greet).collect()))
}

fn trusting(roots: Roots, allowed: &[String]) -> GuestSettings {
    let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
    let connector = TlsConnector::new(roots).expect("a connector");
    permitting(&allowed).tls_connector(connector)
}

fn here(_: &str, port: u16) -> Result<Vec<SocketAddr>, sinbin::IoError> {
    Ok(vec![(HERE, port).into()])
}

/// The certificate is to be for the name that the guest asks for, whatever the resolver says, or for the address.
#[test]
fn the_certificate_is_for_what_the_guest_asks_for() {
    let (roots, config) = identity("db.example");
    let (port, server) = serve(config, 4);
    let allowed = [format!("tls://*.example:{port}"), format!("tls://127.0.0.0/8:{port}")];
    let settings = trusting(roots, &allowed).resolver(here);
    let ask = |host: &str| dial(&settings, &[format!("{host}:{port}")]).remove(0);
    assert_eq!(ask("db.example"), Ok((HERE, port).into()));
    assert_eq!(ask("DB.Example."), Ok((HERE, port).into()));
    assert_eq!(ask("other.example"), Err(ConnectError::Other));
    assert_eq!(ask("127.0.0.1"), Err(ConnectError::Other));
    assert_eq!(ask("db.test"), Err(ConnectError::NotPermitted));
    let names = ["db.example", "db.example", "other.example", "none"].map(|name| Ok(name.to_owned()));
    assert_eq!(server.join().expect("no panic"), names);
}

#[test]
fn an_address_with_a_certificate_of_its_own_is_trusted() {
    let (roots, config) = identity("127.0.0.1");
    let (port, server) = serve(config, 2);
    let settings = trusting(roots, &[format!("https://localhost:{port}")]);
    let outcomes = ["127.0.0.1", "[::ffff:127.0.0.1]"]
        .map(|host| dial(&settings, &[format!("{host}:{port}")]).remove(0));
    assert_eq!(outcomes, [Ok((HERE, port).into()); 2]);
    assert_eq!(server.join().expect("no panic"), [Ok("none".to_owned()), Ok("none".to_owned())]);
}

/// The rule for addresses is that for plaintext: a name leads to private addresses only with a permission for them, of
/// either kind.
#[test]
fn a_name_leads_only_to_where_the_guest_may_go() {
    let (roots, config) = identity("db.example");
    let (port, server) = serve(config, 1);
    let allowed = [format!("tls://db.example:{port}"), format!("plain.example:{port}")];
    let settings = trusting(roots.clone(), &allowed).resolver(here);
    let endpoints = [format!("db.example:{port}"), format!("127.0.0.1:{port}")];
    assert_eq!(dial(&settings, &endpoints), [Err(ConnectError::NotPermitted); 2]);
    // The address of a permission for TLS is none for plaintext.
    let allowed = [&allowed[..], &[format!("tls://127.0.0.1:{port}")]].concat();
    let settings = trusting(roots.clone(), &allowed).resolver(here);
    let endpoints = [format!("plain.example:{port}")];
    assert_eq!(dial(&settings, &endpoints), [Err(ConnectError::NotPermitted)]);
    // That of a permission for plaintext is one for TLS, which the guest could speak itself.
    let allowed = [format!("tls://db.example:{port}"), format!("127.0.0.1:{port}")];
    let settings = trusting(roots, &allowed).resolver(here);
    assert_eq!(dial(&settings, &[format!("db.example:{port}")]), [Ok((HERE, port).into())]);
    assert_eq!(server.join().expect("no panic"), [Ok("db.example".to_owned())]);
}

/// No certificate can be for such a name, which is found before it is resolved.
#[test]
fn a_name_that_no_certificate_has_is_invalid() {
    let (roots, _) = identity("db.example");
    let settings = trusting(roots, &["tls://*:*".to_owned()]).resolver(here);
    assert_eq!(dial(&settings, &["a-.example:443".to_owned()]), [Err(ConnectError::Invalid)]);
}

#[test]
fn a_host_without_a_connector_connects_to_nobody() {
    let settings = permitting(&["tls://*:*", "tls://127.0.0.1:*"]).resolver(here);
    let endpoints = ["db.example:1".to_owned(), "127.0.0.1:1".to_owned(), "localhost:1".to_owned()];
    assert_eq!(dial(&settings, &endpoints), [Err(ConnectError::NotPermitted); 3]);
}

/// The time to connect includes the handshake. A peer that never answers occupies one request, and no other.
#[test]
fn a_handshake_that_never_ends_is_late() {
    let (roots, config) = identity("db.example");
    let (port, server) = serve(config, 1);
    let silent = TcpListener::bind((HERE, 0)).expect("a port");
    let silent_port = silent.local_addr().expect("an address").port();
    let mut settings =
        trusting(roots, &["tls://*:*".to_owned(), "tls://127.0.0.1:*".to_owned()]).resolver(here);
    settings.connect_timeout = Duration::from_millis(500);
    let endpoints = [format!("db.example:{silent_port}"), format!("db.example:{port}")];
    let outcomes = dial(&settings, &endpoints);
    assert_eq!(outcomes[0], Err(ConnectError::TimedOut));
    // On a very slow machine, this one may be late too.
    assert!(outcomes[1].is_ok() || outcomes[1] == Err(ConnectError::TimedOut), "{outcomes:?}");
    server.join().expect("no panic");
}

#[test]
fn a_peer_that_leaves_or_speaks_plaintext_is_an_error() {
    let (roots, _) = identity("db.example");
    let settings = trusting(roots, &["tls://127.0.0.1:*".to_owned()]);
    for (answer, expected) in
        [(&b""[..], ConnectError::Reset), (b"220 mail.example\r\n", ConnectError::Other)]
    {
        let listener = TcpListener::bind((HERE, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let leave = move || {
            let (mut stream, _) = listener.accept().expect("a client");
            // All of the client's first message, so that closing does not reset the connection.
            let mut head = [0; 5];
            stream.read_exact(&mut head).expect("the head of a record");
            let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
            stream.read_exact(&mut vec![0; length]).expect("a record");
            std::io::Write::write_all(&mut stream, answer).expect("it is open");
        };
        let leaving = thread::spawn(leave);
        assert_eq!(dial(&settings, &[address.to_string()]), [Err(expected)]);
        leaving.join().expect("no panic");
    }
}
