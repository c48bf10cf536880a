//! Clients and files that are refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use sinbin_tests::{Ended, PATIENCE, Running, eventually, guest, replies, run, sinbin_wasi};

use crate::certificates::Certificates;
use crate::{HOSTS, Host, ask, connect, text, try_ask};

fn plain(server: &sinbin_tests::Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream
}

#[test]
fn plaintext_and_garbage_are_refused_with_an_alert() {
    let certificates = Certificates::new("garbage");
    let config = certificates.client();
    for host in HOSTS {
        let server = host.start("fib", &certificates, &[]);
        for bytes in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"10\n20\n", &[22, 3, 1, 0, 5, 9, 9, 9, 9, 9], &[0xff; 20_000]]
        {
            let mut client = plain(&server);
            client.write_all(bytes).expect("sent");
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).ok();
            // An alert, or nothing if the system has reset the connection before it was read.
            assert!(answer.first().is_none_or(|kind| *kind == 21), "{host:?}: {answer:?}");
        }
        server.logs("does not speak TLS");
        server.logs("use http:// instead of https://?");
        assert_eq!(ask(&server, &config, "10\n"), replies([10]), "{host:?}");
        let ended = server.stop();
        assert!(ended.stdout.contains("4 connections failed"), "{host:?}: {}", ended.stdout);
    }
}

#[test]
fn a_handshake_that_stalls_is_cut_off_and_counts_until_then() {
    let certificates = Certificates::new("stall");
    let config = certificates.client();
    for host in HOSTS {
        let args = ["--handshake-timeout", "300ms", "--max-connections", "2"];
        let server = host.start("fib", &certificates, &args);
        let mut silent = plain(&server);
        let mut slow = plain(&server);
        slow.write_all(&[22, 3, 1]).expect("sent");
        // Further clients wait in the backlog until one of these is cut off. On a slow machine, their handshakes may take
        // too long as well.
        eventually("a client is served", || {
            try_ask(&server, &config, "10\n").is_ok_and(|said| said == replies([10]))
        });
        for stalled in [&mut silent, &mut slow] {
            let read = stalled.read(&mut [0]);
            assert!(read.as_ref().is_ok_and(|count| *count == 0) || read.is_err(), "{host:?}: {read:?}");
        }
        server.logs("was not complete within 300ms");
        let ended = server.stop();
        assert!(ended.stdout.contains(" connections failed"), "{host:?}: {}", ended.stdout);
    }
}

#[test]
fn a_client_needs_a_certificate_if_one_is_required() {
    let certificates = Certificates::new("clients");
    let authority = certificates.authority_file();
    let (certificate, key) = certificates.issue("client", false);
    let with = certificates.client_with(&certificate, &key);
    for host in HOSTS {
        let server = host.start("fib", &certificates, &["--tls-client-ca", text(&authority)]);
        assert_eq!(ask(&server, &with, "10\n"), replies([10]), "{host:?}");
        let mut without = connect(&server, &certificates.client());
        without.write_all(b"10\n").ok();
        let error = without.read(&mut [0]).expect_err("refused");
        assert!(error.to_string().contains("CertificateRequired"), "{host:?}: {error}");
        server.logs("the client needs a certificate");
    }
}

#[test]
fn protocols_are_agreed_on_or_refused() {
    let certificates = Certificates::new("alpn");
    let server = Host::Machine.start("fib", &certificates, &["--tls-alpn", "fib/2", "--tls-alpn", "fib/1"]);
    let offering = |names: &[&str]| {
        let mut config = (*certificates.client()).clone();
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        std::sync::Arc::new(config)
    };
    let mut client = connect(&server, &offering(&["fib/1", "fib/2"]));
    client.write_all(b"10\n").expect("sent");
    client.read_exact(&mut [0; 3]).expect("received");
    assert_eq!(client.conn.alpn_protocol(), Some(&b"fib/2"[..]));
    let mut other = connect(&server, &offering(&["gopher"]));
    other.write_all(b"10\n").ok();
    assert!(other.read(&mut [0]).is_err());
    server.logs("no application protocol (ALPN) in common");
}

fn serve(certificate: &Path, key: &Path) -> Ended {
    run(&["serve", "fib", "--listen", "127.0.0.1:0", "--tls-cert", text(certificate), "--tls-key", text(key)])
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let certificates = Certificates::new("files");
    let (certificate, key) = (certificates.certificate(), certificates.key());
    let (_, other) = certificates.issue("other", false);
    let missing = Path::new("/nonexistent/a.pem");
    let empty = certificates.write("empty.pem", "");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = certificates.write("locked.pem", locked);
    for (certificate, key, named, said) in [
        (missing, key, missing, "No such file"),
        (certificate, missing, missing, "No such file"),
        (&empty, key, &*empty, "in PEM format"),
        (key, key, key, "certificates"),
        (certificate, &locked, &*locked, "openssl pkey"),
        (certificate, certificate, certificate, "a private key"),
        (certificate, &other, &*other, "does not belong to the private key"),
    ] {
        let ended = serve(certificate, key);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(text(named)) && ended.stderr.contains(said),
            "{said}: {}",
            ended.stderr
        );
    }
    for half in [["--tls-cert", text(certificate)], ["--tls-client-ca", text(certificate)]] {
        let ended = run(&["serve", "fib", half[0], half[1]]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    }
    let portable = guest("fib-portable.wasm");
    let args = ["run", text(&portable), "--tls-cert", text(certificate), "--tls-key", text(key)];
    let ended = Running::start(sinbin_wasi(&args)).wait();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("--tls-cert requires a guest that the host drives"), "{}", ended.stderr);
}

#[test]
fn an_expired_certificate_is_served_with_a_warning() {
    let certificates = Certificates::new("expired");
    let (certificate, key) = certificates.issue("expired", true);
    let args = ["--tls-cert", text(&certificate), "--tls-key", text(&key), "--listen", "127.0.0.1:0"];
    let server =
        sinbin_tests::Server::announced(sinbin_tests::sinbin(&[&["serve", "fib"][..], &args].concat()));
    server.logs("peers will refuse the certificate");
    server.logs(text(&certificate));
    let mut client = connect(&server, &certificates.client());
    client.write_all(b"10\n").ok();
    assert!(client.read(&mut [0]).is_err());
    eventually("the log says why", || server.stderr().contains("renew this side's certificate"));
}
