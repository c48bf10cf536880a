//! Fairness: each of a thousand connections of an ordinary server is served in its turn.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sinbin_tests::{Server, connect, machine};

use crate::wasi;

/// The number of connections.
const MANY: usize = 1000;

/// The maximum number of answers to other clients between two answers to one, for each client.
const TURNS: usize = 8;

/// A way in which ordinary programs wait for their sockets.
struct Way {
    name: &'static str,
    guest: &'static str,
    arguments: &'static [&'static str],
    /// The number of answers to each client.
    rounds: usize,
}

const WAYS: [Way; 4] = [
    Way {
        name: "std's sockets and libc's poll",
        guest: "poll-loop",
        arguments: &["echo", "127.0.0.1:0"],
        rounds: 8,
    },
    Way {
        name: "std's sockets, tried in turn",
        guest: "poll-loop",
        arguments: &["try", "127.0.0.1:0"],
        rounds: 8,
    },
    Way { name: "WASI 0.3", guest: "wasip3-echo", arguments: &["127.0.0.1:0"], rounds: 8 },
    // The runtime of wstd polls the whole list after each task.
    Way { name: "wstd", guest: "wstd-echo", arguments: &["127.0.0.1:0"], rounds: 3 },
];

fn serve(way: &Way) -> Server {
    Server::announced(wasi(way.guest, &["--listen", "127.0.0.1:0", "--drain-timeout", "1ms"], way.arguments))
}

/// Lets each of many clients ask again as soon as it has its answer, until all have had `rounds` answers on average.
/// Returns the largest number of answers to others between two answers to one client.
fn ask_in_a_loop(address: SocketAddr, rounds: usize) -> usize {
    let streams: Vec<_> = (0..MANY).map(|_| connect(address)).collect();
    for stream in &streams {
        stream.set_nonblocking(true).expect("an option");
        (&mut &*stream).write_all(b"ask\n").expect("capacity");
    }
    let (mut answers, mut longest) = (0, 0);
    let mut last = vec![0; MANY];
    while answers < rounds * MANY {
        let mut polled: Vec<_> =
            streams.iter().map(|stream| PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)).collect();
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        assert!(poll(&mut polled, Some(&patience)).expect("a poll") > 0, "no answer after {answers}");
        for (index, polled) in polled.iter().enumerate() {
            if polled.revents().is_empty() {
                continue;
            }
            let mut answer = [0; 16];
            let count = (&mut &streams[index]).read(&mut answer).expect("an answer");
            assert_eq!(&answer[..count], b"ask\n");
            answers += 1;
            longest = longest.max(answers - last[index]);
            last[index] = answers;
            (&mut &streams[index]).write_all(b"ask\n").expect("capacity");
        }
    }
    let starved = last.iter().map(|last| answers - last).max().unwrap_or(0);
    longest.max(starved)
}

#[test]
fn each_of_a_thousand_clients_is_served_in_its_turn() {
    machine::raise_descriptor_limit();
    for way in &WAYS {
        let server = serve(way);
        let longest = ask_in_a_loop(server.address(), way.rounds);
        assert!(longest <= TURNS * MANY, "{}: a client waited for {longest} answers to others", way.name);
        drop(server);
    }
}

#[test]
fn the_portable_guest_serves_each_of_a_thousand_clients_in_its_turn() {
    machine::raise_descriptor_limit();
    let guest = sinbin_tests::guest("echo-portable.wasm");
    let guest = guest.to_str().expect("a UTF-8 path");
    let server = Server::announced(sinbin_tests::sinbin_wasi(&["run", guest, "--listen", "127.0.0.1:0"]));
    let longest = ask_in_a_loop(server.address(), 8);
    assert!(longest <= TURNS * MANY, "a client waited for {longest} answers to others");
}
