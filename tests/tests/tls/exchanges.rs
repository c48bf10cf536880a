//! Requests and answers, in records of all sizes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use sinbin_tests::{Running, noise, replies, sinbin};

use crate::certificates::Certificates;
use crate::{HOSTS, Host, ask, connect, end, rest, text};

#[test]
fn requests_are_answered_in_any_pieces() {
    let certificates = Certificates::new("pieces");
    let config = certificates.client();
    for host in HOSTS {
        let server = host.start("fib", &certificates, &[]);
        assert_eq!(ask(&server, &config, "10\n20\n27\n"), replies([10, 20, 27]), "{host:?}");
        // Each record has one byte.
        let mut client = connect(&server, &config);
        for byte in "1\n15\n20".bytes() {
            client.write_all(&[byte]).expect("sent");
            client.flush().expect("sent");
        }
        let mut answers = vec![0; replies([1, 15]).len()];
        client.read_exact(&mut answers).expect("received");
        assert_eq!(answers, replies([1, 15]).as_bytes(), "{host:?}");
        client.write_all(b"\n").expect("sent");
        end(&mut client);
        assert_eq!(rest(&mut client), replies([20]).as_bytes(), "{host:?}");
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{host:?}: {}", ended.stderr);
        assert!(ended.stdout.contains("served 2 connections"), "{}", ended.stdout);
    }
}

/// Bytes that are decrypted already make no descriptor ready: their task must be woken all the same.
#[test]
fn many_requests_in_a_record_are_all_answered() {
    let certificates = Certificates::new("many");
    let config = certificates.client();
    let requests = "5\n".repeat(8000);
    for host in HOSTS {
        let server = host.start("fib", &certificates, &[]);
        for _ in 0..5 {
            let mut client = connect(&server, &config);
            // Together with the last message of the handshake.
            client.write_all(requests.as_bytes()).expect("sent");
            client.flush().expect("sent");
            let mut answers = vec![0; requests.len()];
            client.read_exact(&mut answers).expect("received");
            assert!(answers == requests.as_bytes(), "{host:?}");
            end(&mut client);
            assert_eq!(rest(&mut client), b"", "{host:?}");
        }
    }
}

/// A client that sends everything before it reads anything fills all buffers, in both directions.
#[test]
fn a_big_echo_stops_where_the_client_does_not_read() {
    let certificates = Certificates::new("echo");
    let config = certificates.client();
    let bytes = noise(16 << 20);
    for host in HOSTS {
        let server = host.start("echo", &certificates, &["--max-buffered", "1MiB"]);
        let client = connect(&server, &config);
        let (mut client, mut socket) = {
            let socket = client.sock.try_clone().expect("a copy");
            (client, socket)
        };
        // The handshake, and a first exchange.
        client.write_all(b"x").expect("sent");
        client.read_exact(&mut [0]).expect("received");
        let mut encrypted = Vec::new();
        for piece in bytes.chunks(16 << 10) {
            client.conn.writer().write_all(piece).expect("memory");
            while client.conn.wants_write() {
                client.conn.write_tls(&mut encrypted).expect("memory");
            }
        }
        client.conn.send_close_notify();
        client.conn.write_tls(&mut encrypted).expect("memory");
        let received = thread::scope(|scope| {
            scope.spawn(move || {
                socket.write_all(&encrypted).expect("sent");
                socket.shutdown(std::net::Shutdown::Write).expect("ended");
            });
            rest(&mut client)
        });
        assert!(received == bytes, "{host:?}: {} of {} bytes", received.len(), bytes.len());
        assert_eq!(server.stop().code, Some(0), "{host:?}");
    }
}

/// Starts a client of another project, sends it `input`, and returns its first line of output. Returns `None` if the
/// program is not installed.
fn first_line(program: &str, args: &[&str], input: &[u8]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        assert!(std::env::var_os("SINBIN_ALL_HOSTS").is_none(), "{program} is missing");
        eprintln!("{program} is missing: skipped");
        return None;
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).expect("sent");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
    child.kill().expect("a child can be ended");
    child.wait().expect("it ends");
    Some(line)
}

#[test]
fn curl_and_openssl_are_served_if_they_are_installed() {
    let certificates = Certificates::new("tools");
    let authority = certificates.authority_file();
    let server = Host::Machine.start("fib", &certificates, &["--tls-alpn", "fib/1"]);
    let address = server.address().to_string();
    let args = ["s_client", "-quiet", "-verify_return_error", "-alpn", "fib/1", "-servername", "localhost"];
    let of_test = ["-connect", &address, "-CAfile", text(&authority)];
    if let Some(answer) = first_line("openssl", &[&args[..], &of_test].concat(), b"30\n") {
        assert_eq!(answer, replies([30]));
    }
    // The service does not know HTTP: each line of the request is an invalid one.
    let url = format!("https://localhost:{}/", server.address().port());
    let args = ["--silent", "--show-error", "--no-buffer", "--http0.9", "--no-alpn", "--ipv4", "--cacert"];
    if let Some(answer) = first_line("curl", &[&args[..], &[text(&authority), &url]].concat(), b"") {
        assert!(answer.contains("error"), "{answer}");
    }
}

#[test]
fn a_recording_has_plaintext_and_replays() {
    let certificates = Certificates::new("recording");
    let config = certificates.client();
    for host in [Host::Driven, Host::Sandbox] {
        let recording = certificates.write(&format!("{host:?}.recording"), "");
        let server = host.start("fib", &certificates, &["--record", text(&recording)]);
        assert_eq!(ask(&server, &config, "12\n22\n"), replies([12, 22]), "{host:?}");
        assert_eq!(ask(&server, &config, "nonsense\n3\n").lines().count(), 2, "{host:?}");
        assert_eq!(server.stop().code, Some(0), "{host:?}");
        let bytes = std::fs::read(&recording).expect("a recording");
        assert!(bytes.windows(9).any(|bytes| bytes == b"nonsense\n"), "{host:?}");
        let replayed = Running::start(sinbin(&["replay", text(&recording)])).wait();
        assert_eq!(replayed.code, Some(0), "{host:?}: {}", replayed.stderr);
    }
}
