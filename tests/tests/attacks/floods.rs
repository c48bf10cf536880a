//! Floods of jobs and of connections, during which other clients are still served.

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sinbin_tests::{Client, Ended, PATIENCE, Server, eventually};
use socket2::{Domain, Socket, Type};

/// The answer to a request if there are too many jobs.
const BUSY: &str = "error: too many jobs; try again later";

/// The answer to a request whose job took too long.
const LATE: &str = "error: the computation took too long; try a smaller n, or try again later";

/// A job that takes years.
const ENDLESS: &str = "93\n";

/// Starts a server with these options that accepts requests which take years.
fn server(options: &[&str]) -> Server {
    Server::fib(&[&["--max-n", "93", "--drain-timeout", "100ms"], options].concat())
}

/// Returns true if the host notices a reset of a connection that it does not read. WASI 0.2 has no interface for that.
fn hears_of_resets() -> bool {
    !env::var("SINBIN_HOST").is_ok_and(|host| host.contains("portable") || host == "stock")
}

/// Returns true if connections were cut at the end. A WASI command has no exit code of its own for that.
fn is_cut(ended: &Ended) -> bool {
    ended.code == Some(3) || ended.code == Some(1) && ended.stderr.contains("connections cut: ")
}

/// Connects from another address of this machine.
fn connect_from(source: [u8; 4], server: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of this machine");
    socket.connect(&server.into()).expect("a server that listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("an option");
    Client::over(socket.into())
}

#[test]
fn jobs_that_are_left_behind_leave_places_for_others() {
    for workers in ["0", "1"] {
        let options = ["--max-connections", "100", "--max-jobs", "20", "--job-timeout", "off"];
        let server = server(&[&options[..], &["--workers", workers]].concat());
        for _ in 0..300 {
            server.client().send(ENDLESS);
        }
        let mut next = server.client();
        next.ask(1);
        // Refusals do not disturb the order of answers.
        next.send("2\n93\n3\nx\n");
        assert_eq!(next.lines(4), format!("1\n{BUSY}\n2\nerror: not an integer\n"), "{workers} workers");
        let ended = server.stop();
        assert!(is_cut(&ended), "jobs that never end are cut: {}", ended.stderr);
    }
}

#[test]
fn a_place_among_the_jobs_is_free_when_one_is_done() {
    for workers in ["0", "1"] {
        let server = server(&["--max-jobs", "1", "--workers", workers]);
        let mut client = server.client();
        (15..30).for_each(|n| client.ask(n));
        client.send("20\n20\n21\n");
        assert_eq!(client.lines(3), "6765\n6765\n10946\n", "a connection has one job at a time");
    }
}

#[test]
fn a_job_is_cancelled_at_a_certain_age_whether_it_waits_or_runs() {
    for workers in ["0", "1"] {
        let server = server(&["--max-jobs", "4", "--job-timeout", "300ms", "--workers", workers]);
        for _ in 0..2 {
            let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
            for client in &mut clients {
                client.send("93\n7\n");
            }
            for client in &mut clients {
                assert_eq!(client.lines(2), format!("{LATE}\n13\n"), "{workers} workers");
            }
        }
        server.client().ask(20);
    }
}

#[test]
fn half_closed_clients_get_an_error_and_go_when_their_jobs_take_too_long() {
    let options = ["--max-connections", "50", "--max-jobs", "50", "--job-timeout", "300ms"];
    let server = server(&options);
    let mut clients: Vec<_> = (0..50).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(ENDLESS);
        client.end();
    }
    // All job slots are taken until then.
    server.client().ask(1);
    assert!(clients.iter_mut().all(|client| client.rest() == format!("{LATE}\n")));
}

#[test]
fn a_reset_frees_the_place_and_the_job_of_a_client() {
    if !hears_of_resets() {
        return;
    }
    for is_half_closed in [false, true] {
        for workers in ["0", "1"] {
            let options = ["--max-connections", "1", "--max-jobs", "1", "--job-timeout", "off"];
            let server = server(&[&options[..], &["--workers", workers]].concat());
            for _ in 0..20 {
                let mut client = server.client();
                client.send("1\n93\n");
                assert_eq!(client.line(), "1", "the answer before the job");
                if is_half_closed {
                    client.end();
                }
                client.reset();
            }
            // Both are free; otherwise this request would wait for years.
            server.client().ask(20);
        }
    }
}

#[test]
fn a_drain_ends_though_the_jobs_never_do() {
    for workers in ["0", "1"] {
        let server = server(&["--max-jobs", "30", "--job-timeout", "off", "--workers", workers]);
        let mut clients: Vec<_> = (0..30).map(|_| server.client()).collect();
        for client in &mut clients {
            client.send("1\n93\n");
            assert_eq!(client.line(), "1");
            client.end();
        }
        let ended = server.stop();
        assert!(is_cut(&ended), "{}", ended.stderr);
        assert!(clients.iter_mut().all(|client| client.rest().is_empty()));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_peer_with_too_many_connections_keeps_nobody_else_out() {
    let server = server(&["--max-connections", "50", "--max-per-peer", "10"]);
    let address = server.address();
    let mut flood: Vec<_> = (0..200).filter_map(|_| half_a_line(address)).collect();
    connect_from([127, 0, 0, 2], address).ask(1);
    // The system may deliver the end of a connection later than the answer.
    eventually("the limit of a peer's connections", || {
        flood.retain_mut(|stream| !is_closed(stream));
        flood.len() <= 10
    });
    assert_eq!(flood.len(), 10, "no more are closed");
    connect_from([127, 0, 0, 2], address).ask(2);
    // When a connection is closed, another one of the same peer is accepted.
    drop(flood);
    eventually("a place for the first peer", || {
        let Ok(mut stream) = TcpStream::connect(address) else { return false };
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.write_all(b"7\n").is_ok() && stream.read(&mut [0]).is_ok_and(|count| count == 1)
    });
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said = ended.stdout + &ended.stderr;
    assert!(said.contains(" connections turned away"), "{said}");
    assert!(said.lines().count() < 50, "a line a second at the most: {said}");
}

/// Connects and begins a line. Returns `None` if the connection is reset before that.
fn half_a_line(server: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(server).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(1))).ok()?;
    stream.write_all(b"1").ok()?;
    Some(stream)
}

/// Returns true if the server has closed or reset a connection on which it sends nothing.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
