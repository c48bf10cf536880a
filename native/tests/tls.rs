//! Tests of TLS on the native loop: both sides are tasks of one loop, with certificates that the test issues.

mod loopback;

use std::cell::Cell;
use std::time::Duration;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use sinbin::ByteStream;
use sinbin::task::{Conn, Either, Error, Handle, WaitError, join, select};
use sinbin::tls::{
    ConfigError, Identity, Roots, TlsAcceptor, TlsConn, TlsConnector, TlsError, copy_bidirectional,
};

use crate::loopback::{pair, run};

/// An authority that issues certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self::named("an authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn roots(&self) -> Roots {
        Roots::from_pem(self.0.pem().as_bytes()).expect("roots")
    }

    /// Issues a certificate for localhost, and returns it with its key.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn identity(&self) -> Identity {
        let (certificate, key) = self.issue(|_| {});
        Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("an identity")
    }

    /// Returns both sides with their default settings.
    fn sides(&self) -> (TlsAcceptor, TlsConnector) {
        let acceptor = TlsAcceptor::new(self.identity()).expect("an acceptor");
        (acceptor, TlsConnector::new(self.roots()).expect("a connector"))
    }
}

type Handshake<'d> = Result<TlsConn<'d>, TlsError>;

async fn handshake<'d>(
    handle: Handle<'d>,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
) -> (Handshake<'d>, Handshake<'d>) {
    let (client, server) = pair(handle).await;
    join(connector.connect(client, "localhost"), acceptor.accept(server)).await
}

/// Returns both sides of a connection with TLS.
async fn tls_pair<'d>(handle: Handle<'d>, authority: &Authority) -> (TlsConn<'d>, TlsConn<'d>) {
    let (acceptor, connector) = authority.sides();
    let (client, server) = handshake(handle, &acceptor, &connector).await;
    (client.expect("the handshake succeeds"), server.expect("the handshake succeeds"))
}

fn noise(count: usize) -> Vec<u8> {
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(*state)
    };
    let mut state = 7;
    std::iter::from_fn(|| next(&mut state)).map(|state| state.to_le_bytes()[7]).take(count).collect()
}

async fn receive_all(conn: &TlsConn<'_>, piece: usize) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        match conn.recv(&mut buffer).await? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn bytes_arrive_in_both_directions_whatever_the_sizes_are() {
    let authority = Authority::new();
    let bytes = noise(1 << 20);
    run(async |handle| {
        for (piece, sent_piece) in [(1 << 20, 1 << 20), (16 << 10, 16 << 10), (700, 40_000), (100_000, 900)] {
            let (client, server) = tls_pair(handle, &authority).await;
            let send = async |conn: &TlsConn<'_>| {
                for bytes in bytes.chunks(sent_piece) {
                    conn.send_all(bytes).await?;
                }
                conn.shutdown().await
            };
            let there = join(send(&client), receive_all(&server, piece));
            let back = join(send(&server), receive_all(&client, piece));
            let ((sent, there), (answered, back)) = join(there, back).await;
            assert_eq!((sent, answered), (Ok(()), Ok(())));
            assert!(there.as_ref() == Ok(&bytes) && back.as_ref() == Ok(&bytes), "{piece} {sent_piece}");
        }
    });
}

#[test]
fn a_connection_has_the_operations_of_one_without_tls() {
    let authority = Authority::new();
    run(async |handle| {
        let (client, server) = tls_pair(handle, &authority).await;
        assert_eq!(server.server_name().as_deref(), Some("localhost"));
        assert!(client.peer().is_some() && client.peer_certificates().is_some_and(|all| all.len() == 1));
        client.send_all(b"one\ntwo\r\nthree").await.expect("sent");
        let mut lines = server.lines([0; 16]);
        assert_eq!(lines.next().await, Ok(Some(&b"one"[..])));
        assert_eq!(lines.next().await, Ok(Some(&b"two"[..])));
        let nothing = server.try_recv(&mut [0; 8]);
        assert!(nothing.is_err_and(|error| error.io() == Some(sinbin::IoError::WouldBlock)));
        client.shutdown().await.expect("ended");
        assert_eq!(lines.next().await, Ok(Some(&b"three"[..])));
        assert_eq!(lines.next().await, Ok(None));
        let late = client.send(b"more").await;
        assert!(late.is_err_and(|error| error.io() == Some(sinbin::IoError::Closed)));
        // The other direction is open.
        server.send_all(b"four").await.expect("sent");
        let mut four = [0; 4];
        client.recv_exact(&mut four).await.expect("received");
        assert_eq!(&four, b"four");
        server.send_all(b"rest").await.expect("sent");
        let refused = client
            .recv_with(|bytes| {
                assert_eq!(bytes, b"rest");
                client.try_recv(&mut [0; 8])
            })
            .await
            .expect("received");
        assert_eq!(refused, Err(Error::Wait(WaitError::Elsewhere)));
        server.shutdown().await.expect("ended");
        assert_eq!(client.recv(&mut [0; 8]).await, Ok(0));
    });
}

#[test]
fn halves_end_their_directions_and_futures_io_works() {
    let authority = Authority::new();
    run(async |handle| {
        let (client, server) = tls_pair(handle, &authority).await;
        let echo = handle.spawn(async move {
            let (mut received, mut server) = (Vec::new(), server);
            AsyncReadExt::read_to_end(&mut server, &mut received).await?;
            AsyncWriteExt::write_all(&mut server, &received).await?;
            AsyncWriteExt::close(&mut server).await
        });
        let (receiver, sender) = client.into_split();
        let bytes = noise(200_000);
        sender.send_all(&bytes).await.expect("sent");
        drop(sender);
        assert!(receive_all(receiver.conn(), 5000).await.as_ref() == Ok(&bytes));
        echo.expect("room").join().await.expect("no panic").expect("echoed");
    });
}

/// Forwards bytes in pieces of a size, and then the end.
async fn forward(from: &Conn<'_>, to: &Conn<'_>, piece: usize) -> Result<(), Error> {
    let mut buffer = vec![0; piece];
    loop {
        match from.recv(&mut buffer).await? {
            0 => return to.shutdown(),
            count => to.send_all(&buffer[..count]).await?,
        }
    }
}

/// The records of a handshake, and of what follows, are cut anywhere.
#[test]
fn records_are_understood_however_they_are_cut() {
    let authority = Authority::new();
    let (acceptor, connector) = authority.sides();
    let bytes = noise(40_000);
    run(async |handle| {
        for (there, back) in [(1, 1), (4, 20_000), (16_389, 7)] {
            let (client, left) = pair(handle).await;
            let (right, server) = pair(handle).await;
            let relay = handle.spawn(async move {
                join(forward(&left, &right, there), forward(&right, &left, back)).await
            });
            let ask = async {
                let client = connector.connect(client, "localhost").await?;
                client.send_all(&bytes).await?;
                client.shutdown().await?;
                receive_all(&client, 999).await
            };
            let echo = acceptor.serve(server, async |server| {
                let received = receive_all(server, 4000).await?;
                server.send_all(&received).await
            });
            let (answer, echoed) = join(ask, echo).await;
            assert!(answer.as_ref() == Ok(&bytes), "{there} {back}");
            assert_eq!(echoed, Ok(()));
            let relayed = relay.expect("room").join().await.expect("no panic");
            assert_eq!(relayed, (Ok(()), Ok(())));
        }
    });
}

/// Only an announced end is an end.
#[test]
fn a_connection_that_is_cut_is_an_error_for_the_reader() {
    let authority = Authority::new();
    run(async |handle| {
        let (client, server) = tls_pair(handle, &authority).await;
        client.send_all(b"half of").await.expect("sent");
        drop(client);
        let mut buffer = [0; 16];
        assert_eq!(server.recv(&mut buffer).await, Ok(7), "what came before is received");
        assert_eq!(server.recv(&mut buffer).await, Err(Error::Ended));
        assert_eq!(server.recv(&mut buffer).await, Err(Error::Ended));
    });
}

#[test]
fn bytes_that_are_not_of_the_session_are_an_error() {
    let authority = Authority::new();
    run(async |handle| {
        let (client, server) = tls_pair(handle, &authority).await;
        client
            .conn()
            .send_all(&[23, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .await
            .expect("sent");
        let mut buffer = [0; 16];
        assert_eq!(server.recv(&mut buffer).await, Err(Error::Protocol));
        assert_eq!(server.recv(&mut buffer).await, Err(Error::Protocol));
        assert!(server.send(b"more").await.is_err());
        assert_eq!(client.recv(&mut buffer).await, Err(Error::Protocol), "the alert arrives");
    });
}

/// A peer that reads nothing makes the sender wait. A send that is dropped has accepted its bytes, or none.
#[test]
fn a_dropped_send_loses_nothing() {
    let authority = Authority::new();
    run(async |handle| {
        let (client, server) = tls_pair(handle, &authority).await;
        let piece = noise(8000);
        let accepted = Cell::new(0);
        let fill = async {
            loop {
                client.send(&piece).await?;
                accepted.set(accepted.get() + 1);
            }
        };
        // The buffers are full when the sender makes no progress any more, each time that it is polled.
        let is_stuck = async {
            let (mut before, mut same) = (0, 0);
            while same < 3 {
                handle.sleep(Duration::from_millis(20)).await;
                same = if accepted.get() == before { same + 1 } else { 0 };
                before = accepted.get();
            }
        };
        let filled: Either<Result<(), Error>, ()> = select(fill, is_stuck).await;
        assert_eq!(filled, Either::Second(()), "the buffers fill");
        let received = join(client.shutdown(), receive_all(&server, 20_000)).await.1.expect("announced");
        // The piece in the middle of which the send was dropped is complete as well.
        assert_eq!(received.len(), (accepted.get() + 1) * piece.len());
        assert!(received.chunks(piece.len()).all(|received| received == piece));
    });
}

#[test]
fn sends_of_two_tasks_do_not_mix() {
    let authority = Authority::new();
    let bytes = vec![7; 16 << 20];
    run(async |handle| {
        let (client, server) = tls_pair(handle, &authority).await;
        let sends = join(client.send_all(&bytes), client.send_all(b"more"));
        let receive = async {
            let mut all = vec![0; bytes.len()];
            server.recv_exact(&mut all).await?;
            Ok::<_, Error>(all)
        };
        let ((first, second), received) = join(sends, receive).await;
        assert_eq!((first, second), (Ok(()), Err(Error::Wait(WaitError::Busy))));
        assert!(received.as_ref() == Ok(&bytes));
    });
}

#[test]
fn copies_pass_through_a_terminator_and_back_into_tls() {
    let authority = Authority::new();
    let bytes = noise(3 << 20);
    run(async |handle| {
        let (acceptor, connector) = authority.sides();
        let (client, outside) = handshake(handle, &acceptor, &connector).await;
        let (client, outside) = (client.expect("a client"), outside.expect("a server"));
        let (plain, plain_end) = pair(handle).await;
        let (inside, server) = handshake(handle, &acceptor, &connector).await;
        let (inside, server) = (inside.expect("a client"), server.expect("a server"));
        let terminate = handle.spawn(async move { copy_bidirectional(&outside, &plain).await });
        let encrypt = handle.spawn(async move { copy_bidirectional(&plain_end, &inside).await });
        let send = async {
            client.send_all(&bytes).await?;
            client.shutdown().await
        };
        let echo = async {
            let received = receive_all(&server, 10_000).await?;
            server.send_all(&received).await?;
            server.shutdown().await?;
            Ok::<_, Error>(received)
        };
        let ((sent, received), echoed) = join(join(send, receive_all(&client, 3000)), echo).await;
        assert_eq!(sent, Ok(()));
        assert!(received.as_ref() == Ok(&bytes) && echoed.as_ref() == Ok(&bytes));
        let count = Ok((bytes.len() as u64, bytes.len() as u64));
        assert_eq!(terminate.expect("room").join().await.expect("no panic"), count);
        assert_eq!(encrypt.expect("room").join().await.expect("no panic"), count);
    });
}

#[test]
fn a_copy_fails_if_the_stream_is_cut() {
    let authority = Authority::new();
    run(async |handle| {
        let (client, server) = tls_pair(handle, &authority).await;
        let (plain, other) = pair(handle).await;
        client.send_all(b"half of").await.expect("sent");
        drop(client);
        assert_eq!(copy_bidirectional(&server, &plain).await, Err(Error::Ended));
        let mut buffer = [0; 16];
        assert_eq!(other.recv(&mut buffer).await, Ok(7));
    });
}

#[test]
fn protocols_are_negotiated() {
    let authority = Authority::new();
    run(async |handle| {
        let acceptor = TlsAcceptor::builder(authority.identity()).alpn(["h2", "http/1.1"]).build();
        let acceptor = acceptor.expect("an acceptor");
        let connector = |protocols: &[&str]| {
            let builder = TlsConnector::builder(authority.roots()).alpn(protocols.iter().copied());
            builder.build().expect("a connector")
        };
        let (client, server) = handshake(handle, &acceptor, &connector(&["http/1.1"])).await;
        assert_eq!(client.expect("agreed").alpn().as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(ByteStream::alpn(&server.expect("agreed")).as_deref(), Some(&b"http/1.1"[..]));
        let (client, server) = handshake(handle, &acceptor, &connector(&["spdy/3"])).await;
        let (client, server) = (client.expect_err("refused"), server.expect_err("refused"));
        assert!(client.to_string().contains("no application protocol (ALPN) in common"), "{client}");
        assert!(server.to_string().contains("no application protocol (ALPN) in common"), "{server}");
    });
}

#[test]
fn clients_can_need_certificates() {
    let authority = Authority::new();
    run(async |handle| {
        let acceptor = TlsAcceptor::builder(authority.identity()).require_clients(authority.roots()).build();
        let acceptor = acceptor.expect("an acceptor");
        let known = TlsConnector::builder(authority.roots()).identity(authority.identity()).build();
        let (client, server) = handshake(handle, &acceptor, &known.expect("a connector")).await;
        client.expect("accepted").shutdown().await.expect("ended");
        assert!(server.expect("accepted").peer_certificates().is_some());
        let stranger = TlsConnector::builder(authority.roots())
            .identity(Authority::named("another authority").identity())
            .build();
        for (connector, reason) in [
            (authority.sides().1, "peer sent no certificates; the client needs a certificate"),
            (stranger.expect("a connector"), "its certificate must be of an authority for clients"),
        ] {
            let (client, server) = handshake(handle, &acceptor, &connector).await;
            let server = server.expect_err("refused");
            assert!(server.to_string().contains(reason), "{server}");
            // The client learns of it when it reads.
            let client = client.expect("its side of the handshake is complete");
            assert!(client.recv(&mut [0; 8]).await.is_err());
        }
        let optional = TlsAcceptor::builder(authority.identity()).verify_clients(authority.roots()).build();
        let (client, server) = handshake(handle, &optional.expect("an acceptor"), &authority.sides().1).await;
        assert!(client.is_ok() && server.is_ok_and(|server| server.peer_certificates().is_none()));
    });
}

#[test]
fn certificates_that_clients_must_not_trust_are_refused_with_the_reason() {
    let authority = Authority::new();
    let other = Authority::named("another authority");
    let past = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    };
    let name = |params: &mut CertificateParams| {
        *params = CertificateParams::new(["example.org".to_owned()]).expect("a name");
    };
    let cases: [(_, &str, &str); 3] = [
        (authority.issue(past), "certificate expired", "; renew this side's certificate"),
        (authority.issue(name), "certificate not valid for name \"localhost\"", ""),
        (other.issue(|_| {}), "trust the authority that has issued its certificate (--ca)", ""),
    ];
    run(async |handle| {
        for ((certificate, key), client_says, server_says) in &cases {
            let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("an identity");
            assert_eq!(identity.invalid_now().is_some(), *client_says == "certificate expired");
            let acceptor = TlsAcceptor::new(identity).expect("the server starts");
            let (client, server) = handshake(handle, &acceptor, &authority.sides().1).await;
            let (client, server) = (client.expect_err("refused").to_string(), server.expect_err("refused"));
            assert!(client.starts_with("TLS handshake with localhost (127.0.0.1:"), "{client}");
            assert!(client.contains(client_says), "{client}");
            let server = server.to_string();
            assert!(server.starts_with("TLS handshake with 127.0.0.1:"), "{server}");
            assert!(server.contains("received fatal alert") && server.ends_with(server_says), "{server}");
        }
    });
}

#[test]
fn authorities_of_two_origins_are_trusted_together() {
    let (authority, other) = (Authority::new(), Authority::named("another authority"));
    let roots = || authority.roots().and(&other.roots());
    run(async |handle| {
        for issuer in [&authority, &other] {
            let connector = TlsConnector::new(roots()).expect("a connector");
            let (client, _server) = handshake(handle, &issuer.sides().0, &connector).await;
            assert!(client.is_ok(), "{:?}", client.err());
        }
    });
}

#[test]
fn a_certificate_that_does_not_fit_its_key_is_refused_at_the_start() {
    let authority = Authority::new();
    let ((certificate, key), (_, other)) = (authority.issue(|_| {}), authority.issue(|_| {}));
    let identity = Identity::from_pem(certificate.as_bytes(), other.as_bytes()).expect("both are valid");
    let refused = TlsAcceptor::new(identity).expect_err("they do not fit").to_string();
    assert!(refused.starts_with("the certificate does not belong to the private key"), "{refused}");
    let swapped = Identity::from_pem(key.as_bytes(), certificate.as_bytes());
    let swapped = swapped.expect_err("a key is no certificate").to_string();
    assert!(swapped.starts_with("cannot read certificates: there is none in PEM format"), "{swapped}");
    let missing = Identity::from_pem_files("/nowhere/cert.pem", "/nowhere/key.pem");
    let missing = missing.expect_err("there is no such file").to_string();
    assert!(
        missing.starts_with("cannot read certificates from /nowhere/cert.pem: No such file"),
        "{missing}"
    );
    assert!(matches!(Roots::from_pem(b"").expect_err("none"), ConfigError::Pem { .. }));
}

#[test]
fn a_peer_without_tls_is_recognised() {
    let authority = Authority::new();
    let (acceptor, connector) = authority.sides();
    run(async |handle| {
        let (client, server) = pair(handle).await;
        client.send_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
        let refused = acceptor.accept(server).await.expect_err("refused").to_string();
        assert!(
            refused.contains("does not speak TLS: its first bytes are \"GET / HTTP/1.1\\r\\n\""),
            "{refused}"
        );
        assert!(refused.contains("http:// instead of https://"), "{refused}");
        let (client, server) = pair(handle).await;
        server.send_all(b"220 mail.example.org ESMTP\r\n").await.expect("sent");
        let refused = connector.connect(client, "localhost").await.expect_err("refused").to_string();
        assert!(refused.contains("is this port one for TLS?"), "{refused}");
        let (client, server) = pair(handle).await;
        drop(server);
        let refused = connector.connect(client, "localhost").await.expect_err("refused").to_string();
        let left = "closed the connection during the TLS handshake; is this port one for TLS?";
        assert!(refused.ends_with(left), "{refused}");
        let (client, _server) = pair(handle).await;
        let refused = connector.connect(client, "not a name").await.expect_err("refused");
        assert_eq!(refused.to_string(), "\"not a name\" is neither a DNS name nor an IP address");
    });
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let authority = Authority::new();
    let limit = Duration::from_millis(50);
    let acceptor = TlsAcceptor::builder(authority.identity()).handshake_timeout(limit).build();
    let acceptor = acceptor.expect("an acceptor");
    let connector = TlsConnector::builder(authority.roots()).handshake_timeout(limit).build();
    let connector = connector.expect("a connector");
    run(async |handle| {
        for bytes in [&b""[..], &[22, 3, 1, 2]] {
            let (client, server) = pair(handle).await;
            client.send_all(bytes).await.expect("sent");
            let late = acceptor.accept(server).await.expect_err("late");
            assert!(late.to_string().ends_with("was not complete within 50ms"), "{late}");
            assert_eq!(client.recv(&mut [0; 8]).await, Ok(0), "the connection is closed");
            assert_eq!(Error::from(late), Error::Elapsed);
        }
        let (client, _server) = pair(handle).await;
        assert!(matches!(connector.connect(client, "localhost").await, Err(TlsError::Late { .. })));
    });
}

#[test]
fn the_acceptor_announces_the_end_if_the_service_succeeds() {
    let authority = Authority::new();
    let (acceptor, connector) = authority.sides();
    run(async |handle| {
        for fails in [false, true] {
            let (client, server) = pair(handle).await;
            let serve = acceptor.serve(server, async |conn| {
                conn.send_all(b"hello").await?;
                if fails { Err(Error::Closed) } else { Ok(()) }
            });
            let receive = async {
                let client = connector.connect(client, "localhost").await?;
                receive_all(&client, 100).await
            };
            let (served, received) = join(serve, receive).await;
            assert_eq!(served.is_err(), fails);
            assert_eq!(received, if fails { Err(Error::Ended) } else { Ok(b"hello".to_vec()) });
        }
    });
}

/// The end of the loop is not a failure of a handshake.
#[test]
fn a_handshake_ends_quietly_when_the_loop_stops() {
    let authority = Authority::new();
    let (acceptor, _) = authority.sides();
    run(async |handle| {
        let (_client, server) = pair(handle).await;
        handle.stop().expect("it stops");
        let ended = acceptor.accept(server).await.expect_err("the loop stops");
        assert!(ended.is_the_end(), "{ended}");
        assert!(Error::from(ended).is_the_end());
    });
}
