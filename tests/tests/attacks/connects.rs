//! Guests that misuse the connections that they may request, and the log.

use std::time::Instant;

use sinbin_tests::{Client, Server};

use crate::guests::{echo, serve, unruly};

/// The permission of these tests. No process listens at the port.
const ALLOWED: [&str; 2] = ["--allow-connect", "127.0.0.1:1"];

fn serves(server: &Server) {
    echo(&mut server.client(), "meanwhile");
}

#[test]
fn junk_is_refused_and_hurts_no_client() {
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
/// logs at most a line a second.
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

/// A guest that logs without end does not fill the log of its host, nor hold it up.
#[test]
fn a_guest_that_logs_too_much_is_cut_short() {
    let server = serve("dice.wasm", &[]);
    let begin = Instant::now();
    for _ in 0..5 {
        assert!(server.ask(".").ends_with('\n'));
    }
    let ended = server.stop();
    // The guest logs 50000 lines, of which the host writes 1000 a second.
    let most = (12_000 + 1000 * begin.elapsed().as_secs()).min(40_000);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("line 0") && ended.stderr.contains("more like this"),
        "{:.3000}",
        ended.stderr
    );
    let lines = ended.stderr.lines().count();
    assert!((lines as u64) < most, "{lines} lines");
    assert!(
        ended.stderr.contains("guest=\"dice\"") || ended.stderr.contains("guest=dice"),
        "{:.3000}",
        ended.stderr
    );
}
