//! `--listen unix:PATH`: the services at the paths of Unix sockets, and what else can lie at such a path.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::process::Signal;
use sinbin_tests::{Directory, Ended, PATIENCE, Running, exchange};

use crate::{WAYS, Way};

/// Returns the hosts that listen at paths. WASI knows no Unix sockets.
fn ways() -> impl Iterator<Item = &'static Way> {
    WAYS.iter().filter(|way| way.name != "portable")
}

fn place(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Starts a host, and waits until it listens at `path`.
fn start(way: &Way, path: &Path, more: &[&str]) -> Running {
    let running = Running::start((way.command)(&[&["--listen", &*place(path)], more].concat()));
    running.says(&format!("listening on {}\n", place(path)));
    running
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream
}

/// Sends `requests` and the end of the stream, and returns all that is answered.
fn ask(path: &Path, requests: &str) -> String {
    let mut stream = connect(path);
    let mut sender = stream.try_clone().expect("a descriptor");
    let mut answer = String::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender.write_all(requests.as_bytes()).expect("it reads");
            sender.shutdown(Shutdown::Write).expect("it is open");
        });
        stream.read_to_string(&mut answer).expect("it answers");
    });
    answer
}

fn stop(running: Running) -> Ended {
    running.signal(Signal::TERM);
    running.wait()
}

/// More requests are sent than the buffers of both sides hold, so the server must wait until the client reads.
#[test]
fn clients_are_served_at_a_port_and_at_a_path() {
    for way in ways() {
        let directory = Directory::new(way.name);
        let path = directory.join("with blank:and colon");
        let mut args = vec!["--listen", "127.0.0.1:0", "--listen"];
        let place = place(&path);
        args.push(&place);
        let running = Running::start((way.command)(&args));
        running.says(&format!("listening on {place}\n"));
        let said = running.stdout();
        let address = said.lines().next().and_then(|line| line.strip_prefix("listening on ")?.parse().ok());
        assert!(fs::symlink_metadata(&path).expect("it exists").file_type().is_socket());
        assert_eq!(ask(&path, &"10\n".repeat(50_000)), "55\n".repeat(50_000), "{}", way.name);
        assert_eq!(ask(&path, "8\nno number\n").lines().next(), Some("21"), "{}", way.name);
        assert_eq!(exchange(address.expect("an address"), b"10\n"), b"55\n", "{}", way.name);
        let ended = stop(running);
        assert_eq!(ended.code, Some(0), "{}: {}", way.name, ended.stderr);
        assert!(!path.exists(), "{}: the path is left behind", way.name);
    }
}

/// A client that is connected when the server is asked to stop gets the answer to what it has sent. New clients find
/// no path.
#[test]
fn a_drain_answers_what_was_asked_at_a_path() {
    for way in ways() {
        let directory = Directory::new(&format!("drain-{}", way.name));
        let path = directory.join("socket");
        let running = start(way, &path, &[]);
        let mut client = connect(&path);
        // The second request has arrived with the first one.
        client.write_all(b"10\n27\n").expect("it reads");
        let mut answer = [0; 3];
        client.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"55\n");
        running.signal(Signal::TERM);
        let mut rest = String::new();
        client.read_to_string(&mut rest).expect("the connection ends in order");
        assert_eq!(rest, "196418\n", "{}", way.name);
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}: {}", way.name, ended.stderr);
        assert!(UnixStream::connect(&path).is_err() && !path.exists(), "{}", way.name);
    }
}

#[test]
fn a_killed_server_leaves_a_path_that_the_next_one_takes_over() {
    for way in ways() {
        let directory = Directory::new(&format!("killed-{}", way.name));
        let path = directory.join("socket");
        let running = start(way, &path, &[]);
        running.signal(Signal::KILL);
        assert_eq!(running.wait().code, None);
        assert!(path.exists());
        let running = start(way, &path, &[]);
        assert_eq!(ask(&path, "10\n"), "55\n", "{}", way.name);
        assert_eq!(stop(running).code, Some(0));
    }
}

/// Nothing at a path is removed but a socket that no process has.
#[test]
fn a_path_that_is_taken_is_told_and_left_alone() {
    for way in ways() {
        let directory = Directory::new(&format!("taken-{}", way.name));
        let [file, link, listener, long] =
            ["file", "link", "listener", &*"long".repeat(40)].map(|name| directory.join(name));
        fs::write(&file, "precious").expect("a file");
        symlink(&file, &link).expect("a link");
        let living = UnixListener::bind(&listener).expect("a free path");
        let missing = directory.join("missing/socket");
        for (path, why) in [
            (&*file, "no socket"),
            (&link, "no socket"),
            (directory.path(), "no socket"),
            (&listener, "a process listens on it"),
            (&long, "SUN_LEN"),
            (&missing, "No such file"),
        ] {
            let ended = Running::start((way.command)(&["--listen", &place(path)])).wait();
            let said = &ended.stderr;
            assert_eq!(ended.code, Some(1), "{}: {said}", way.name);
            assert!(said.contains(&*path.to_string_lossy()) && said.contains(why), "{}: {said}", way.name);
            assert_eq!(ended.stdout, "", "{}", way.name);
        }
        assert_eq!(fs::read(&link).expect("it is there"), b"precious");
        drop(connect(&listener));
        drop(living);
    }
}

#[test]
fn a_command_of_wasi_says_that_it_has_no_unix_sockets() {
    let way = WAYS.iter().find(|way| way.name == "portable").expect("it is listed");
    let directory = Directory::new("portable");
    let path = directory.join("socket");
    let ended = Running::start((way.command)(&["--listen", &place(&path)])).wait();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("which has no Unix sockets"), "{}", ended.stderr);
    assert!(!path.exists());
}
