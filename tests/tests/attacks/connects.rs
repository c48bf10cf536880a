//! Guests that misuse the connections that they may request.

use sinbin_tests::{Client, Server};

use crate::guests::{echo, unruly};

/// The permission of these tests. The port is one at which nobody listens.
const ALLOWED: [&str; 2] = ["--allow-connect", "127.0.0.1:1"];

fn serves(server: &Server) {
    echo(&mut server.client(), "meanwhile");
}

#[test]
fn junk_is_refused_and_hurts_nobody() {
    let server = unruly(&ALLOWED);
    let mut client = server.client();
    for _ in 0..3 {
        echo(&mut client, "junk dials");
        serves(&server);
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stdout.contains("restarts"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("connections made"), "{}", ended.stdout);
}

/// A guest that requests more connections than it may have gets errors. The host opens no more sockets than the limit, and
/// logs a line about each kind of error in a second.
#[test]
fn a_flood_of_requests_is_refused_one_by_one() {
    for limits in [&["--max-connecting", "5"][..], &["--max-outgoing", "3"], &["--max-outgoing", "0"], &[]] {
        let server = unruly(&[&ALLOWED[..], limits].concat());
        let mut client: Client = server.client();
        for _ in 0..5 {
            echo(&mut client, "flood of dials");
            serves(&server);
        }
        echo(&mut client, "flood of forbidden dials");
        serves(&server);
        let ended = server.stop();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stdout.contains("restarts"), "{}", ended.stdout);
        assert!(ended.stderr.lines().count() < 20, "{}", ended.stderr);
    }
}
