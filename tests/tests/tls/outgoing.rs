//! Guests that connect to servers with TLS: the host speaks it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use sinbin_tests::{Running, Server, guest, sinbin_wasi};

use crate::certificates::Certificates;
use crate::text;
use crate::upstream::{Manner, Upstream};

/// Starts `forward.wasm`, which forwards to `to`, with these options of its host.
fn forward(to: &str, options: &[&str]) -> Server {
    let guest = guest("forward.wasm");
    let all = [&["run", text(&guest), "--listen", "127.0.0.1:0"], options, &["--", to]].concat();
    Server::announced(sinbin_wasi(&all))
}

/// Returns the permission for TLS with a server, by the name localhost.
fn permission(upstream: &Upstream) -> String {
    format!("https://localhost:{}", upstream.address.port())
}

fn localhost(upstream: &Upstream) -> String {
    format!("localhost:{}", upstream.address.port())
}

#[test]
fn a_guest_speaks_plaintext_and_its_server_tls() {
    let certificates = Certificates::new("forward");
    let authority = certificates.authority_file();
    let recording = certificates.write("forward.recording", "");
    let large = "what is said through another ".repeat(30_000);
    let upstream = Upstream::start(Manner::Answers, (certificates.certificate(), certificates.key()), 3);
    let options =
        ["--allow-connect", &permission(&upstream), "--ca", text(&authority), "--record", text(&recording)];
    let server = forward(&localhost(&upstream), &options);
    for text in ["hello", "", &large] {
        assert!(server.ask(text) == text.to_ascii_uppercase());
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("; 3 connections made for the guest"), "{}", ended.stdout);
    let received = upstream.received();
    assert!(received == ["hello", "", &large].map(str::as_bytes));
    // The recording has plaintext, and is replayed without the server and without its certificate.
    let bytes = std::fs::read(&recording).expect("a recording");
    assert!(bytes.windows(5).any(|bytes| bytes == b"HELLO"));
    let guest = guest("forward.wasm");
    let args = ["replay", text(&recording), text(&guest), "--trace"];
    let played = Running::start(sinbin_wasi(&args)).wait();
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert!(played.stderr.contains("all answers match"), "{}", played.stderr);
    assert!(played.stdout.contains("5 bytes \"HELLO\""), "{:.2000}", played.stdout);
}

/// The reasons why there is no connection are in the log, with the peer and what can be done.
#[test]
fn servers_that_cannot_be_trusted_get_no_byte_of_the_guest() {
    let certificates = Certificates::new("untrusted");
    let strangers = Certificates::new("strangers");
    let authority = certificates.authority_file();
    let own = (certificates.certificate().to_owned(), certificates.key().to_owned());
    let cases = [
        (Manner::Answers, certificates.issue("expired", true), "renew the certificate, or set the clock"),
        (Manner::Answers, certificates.issue_for("other.example", "other", false), "not valid for name"),
        (
            Manner::Answers,
            strangers.issue("stranger", false),
            "trust the authority that has issued its certificate (--ca)",
        ),
        (Manner::Plain, own.clone(), "does not speak TLS: its first bytes are"),
        (Manner::Leaves, own, "closed the connection during the TLS handshake; is this port one for TLS?"),
    ];
    for (manner, (certificate, key), reason) in cases {
        let upstream = Upstream::start(manner, (&certificate, &key), 1);
        let options =
            ["--allow-connect", &permission(&upstream), "--ca", text(&authority), "--connect-timeout", "1h"];
        let server = forward(&localhost(&upstream), &options);
        assert_eq!(server.ask("a secret"), "", "{reason}");
        server.logs(reason);
        server.logs(&format!("localhost ({})", upstream.address));
        server.logs("a client is turned away");
        let received = upstream.received().concat();
        assert!(!received.windows(8).any(|bytes| bytes == b"a secret"), "{reason}");
        assert_eq!(server.stop().code, Some(0), "{reason}");
    }
}

#[test]
fn a_handshake_that_never_ends_is_within_the_time_to_connect() {
    let certificates = Certificates::new("outgoing-stall");
    let authority = certificates.authority_file();
    let upstream = Upstream::start(Manner::Silent, (certificates.certificate(), certificates.key()), 1);
    let options =
        ["--allow-connect", &permission(&upstream), "--ca", text(&authority), "--connect-timeout", "300ms"];
    let server = forward(&localhost(&upstream), &options);
    assert_eq!(server.ask("hello"), "");
    server.logs(&format!(
        "the TLS handshake with localhost ({}) was not complete within 300ms",
        upstream.address
    ));
    // The host has closed the connection, and the server has received a first message of TLS only.
    assert_eq!(upstream.received().concat().first(), Some(&22));
    assert_eq!(server.stop().code, Some(0));
}

/// An end that the server does not announce is no end: bytes may be missing.
#[test]
fn an_answer_that_is_cut_is_a_failure_for_the_guest() {
    let certificates = Certificates::new("outgoing-cut");
    let authority = certificates.authority_file();
    let recording = certificates.write("cut.recording", "");
    let upstream = Upstream::start(Manner::Truncates, (certificates.certificate(), certificates.key()), 1);
    let options =
        ["--allow-connect", &permission(&upstream), "--ca", text(&authority), "--record", text(&recording)];
    let server = forward(&localhost(&upstream), &options);
    assert_eq!(server.ask("hello"), "HELLO");
    server.logs(&format!("localhost ({}) ended the connection without announcing it", upstream.address));
    upstream.received();
    assert_eq!(server.stop().code, Some(0));
    let guest = guest("forward.wasm");
    let args = ["replay", text(&recording), text(&guest), "--trace"];
    let played = Running::start(sinbin_wasi(&args)).wait();
    assert_eq!(played.code, Some(0), "{}", played.stderr);
    assert!(played.stdout.contains("failed"), "{}", played.stdout);
}

/// Starts `openssl s_server`, which sends each line back reversed. Returns `None` if it is not installed.
fn openssl(certificate: &Path, key: &Path) -> Option<(std::process::Child, String)> {
    let mut command = Command::new("openssl");
    command.args([
        "s_server",
        "-rev",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        text(certificate),
        "-key",
        text(key),
    ]);
    let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    else {
        assert!(std::env::var_os("SINBIN_ALL_HOSTS").is_none(), "openssl is missing");
        eprintln!("openssl is missing: skipped");
        return None;
    };
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        let (_, port) = line.strip_prefix("ACCEPT ")?.rsplit_once(':')?;
        Some(port.to_owned())
    });
    Some((child, port.expect("a port")))
}

#[test]
fn openssl_is_understood_if_it_is_installed() {
    let certificates = Certificates::new("outgoing-openssl");
    let authority = certificates.authority_file();
    let Some((mut child, port)) = openssl(certificates.certificate(), certificates.key()) else { return };
    let to = format!("localhost:{port}");
    let server = forward(&to, &["--allow-connect", &format!("tls://{to}"), "--ca", text(&authority)]);
    let mut client = server.client();
    client.send("desserts\n");
    assert_eq!(client.line(), "stressed");
    drop(client);
    assert_eq!(server.stop().code, Some(0));
    child.kill().expect("a child can be ended");
    child.wait().expect("it ends");
}

#[test]
fn options_that_do_not_fit_are_explained() {
    let certificates = Certificates::new("outgoing-options");
    let authority = certificates.authority_file();
    let (driven, portable) = (guest("forward.wasm"), guest("fib-portable.wasm"));
    let missing = "/nonexistent/ca.pem";
    for (guest, options, code, said) in [
        (&driven, &["--ca", text(&authority)][..], 2, "--allow-connect"),
        (
            &driven,
            &["--allow-connect", "example.org:443", "--ca", text(&authority)],
            1,
            "--ca requires an --allow-connect with TLS",
        ),
        (&driven, &["--allow-connect", "https://example.org", "--ca", missing], 1, missing),
        (
            &driven,
            &["--allow-connect", "https://example.org", "--ca", text(certificates.key())],
            1,
            "certificates",
        ),
        (&driven, &["--allow-connect", "http://example.org"], 2, "for TLS: https://example.org"),
        (&driven, &["--allow-connect", "https://example.org/path"], 2, "for TLS: https://example.org"),
        (
            &portable,
            &["--allow-connect", "https://example.org"],
            2,
            "--allow-connect tls://example.org:443 requires a guest that the host drives",
        ),
    ] {
        let args =
            [&["run", text(guest), "--listen", "127.0.0.1:0"], options, &["--", "127.0.0.1:1"]].concat();
        let ended = Running::start(sinbin_wasi(&args)).wait();
        assert_eq!(ended.code, Some(code), "{options:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{options:?}: {}", ended.stderr);
    }
}
