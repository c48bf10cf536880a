//! The servers among the examples, tested as the tutorials' clients use them.

#![cfg(unix)]

use std::net::{SocketAddr, TcpListener};
use std::thread;

use sinbin_tests::{Chatter, Client, ReservedPort, Running, Server, example, exchange, machine, noise};

fn local(client: &Client) -> SocketAddr {
    client.stream().local_addr().expect("a connected socket")
}

/// Connects a hundred clients at once, each with its own text.
fn check_a_hundred_at_once(server: &Server, suffix: &str) {
    let mut clients: Vec<_> = (0..100).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("I AM {number}"));
    }
    // In reverse order: no client has to wait for earlier ones.
    for (number, client) in clients.iter_mut().enumerate().rev() {
        let answer = format!("I AM {number}{suffix}");
        assert_eq!(String::from_utf8_lossy(&client.bytes(answer.len())), answer);
        client.send("GOODBYE");
        client.end();
        assert_eq!(client.rest(), format!("GOODBYE{suffix}"));
    }
}

#[test]
fn echo_says_what_it_hears() {
    let server = Server::example("echo");
    let mut client = server.client();
    for text in ["hello", "\n", "no newline", "\0\r\n\u{20ac}"] {
        client.send(text);
        assert_eq!(client.bytes(text.len()), text.as_bytes());
    }
    client.end();
    assert_eq!(client.rest(), "");
}

#[test]
fn echo_loses_nothing_of_a_megabyte() {
    let server = Server::example("echo");
    let bytes = noise(1 << 20);
    assert!(exchange(server.address(), &bytes) == bytes);
}

#[test]
fn echo_serves_a_hundred_at_once() {
    check_a_hundred_at_once(&Server::example("echo"), "");
}

#[test]
fn the_smallest_host_echoes_to_a_hundred_at_once() {
    let server = Server::example("smallest_host");
    check_a_hundred_at_once(&server, "");
    let bytes = noise(1 << 20);
    assert!(exchange(server.address(), &bytes) == bytes);
}

/// Starts the forwarder to `target`.
fn forwarder(target: SocketAddr) -> Server {
    let mut program = example("forwarder");
    program.arg(target.to_string());
    Server::of(program)
}

#[test]
fn a_forwarder_serves_a_hundred_at_once_and_loses_nothing_of_a_megabyte() {
    let echo = Server::example("echo");
    let forwarder = forwarder(echo.address());
    check_a_hundred_at_once(&forwarder, "");
    let bytes = noise(1 << 20);
    assert!(exchange(forwarder.address(), &bytes) == bytes);
}

/// The server learns of the client's end, and answers after it.
#[test]
fn a_forwarder_half_closes_each_direction() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let forwarder = forwarder(listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut server = Client::over(stream);
        assert_eq!(server.rest(), "question");
        server.send("answer");
    });
    assert_eq!(forwarder.ask("question"), "answer");
    server.join().expect("the server succeeds");
}

/// A client whose target cannot be reached is disconnected, and the forwarder serves the next.
#[test]
fn a_forwarder_disconnects_clients_if_its_target_is_gone() {
    let target = ReservedPort::new();
    let forwarder = forwarder(target.address());
    for _ in 0..2 {
        let mut client = forwarder.client();
        client.end();
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn upper_answers_each_message_in_upper_case_with_a_suffix() {
    let server = Server::example("upper");
    let mut client = server.client();
    for (text, answer) in [
        ("hello", "HELLO_SB"),
        ("Hello, World 1!\n", "HELLO, WORLD 1!\n_SB"),
        ("stra\u{df}e", "STRA\u{df}E_SB"),
        ("x", "X_SB"),
    ] {
        client.send(text);
        let said = client.bytes(answer.len());
        assert_eq!(String::from_utf8_lossy(&said), answer);
    }
    client.end();
    assert_eq!(client.rest(), "");
}

#[test]
fn upper_waits_for_room_and_loses_nothing_of_a_megabyte() {
    let server = Server::example("upper");
    let text = "the quick brown fox ".repeat(50_000);
    let answer = exchange(server.address(), text.as_bytes());
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.ends_with("_SB"));
    assert!(answer.replace("_SB", "") == text.to_uppercase());
}

#[test]
fn upper_serves_a_hundred_at_once() {
    check_a_hundred_at_once(&Server::example("upper"), "_SB");
}

#[test]
fn upper_survives_more_clients_than_it_has_places_for() {
    machine::raise_descriptor_limit();
    let server = Server::example("upper");
    let clients: Vec<_> = (0..600).map(|_| server.client()).collect();
    drop(clients);
    // This client may be turned away. In both cases the server has noticed before that the others left.
    let mut client = server.client();
    client.end();
    assert_eq!(client.rest(), "");
    let mut client = server.client();
    client.send("still there");
    assert_eq!(client.bytes(14), b"STILL THERE_SB");
}

#[test]
fn upper_goes_on_when_a_client_is_reset() {
    let server = Server::example("upper");
    let mut other = server.client();
    let mut client = server.client();
    client.send("a");
    assert_eq!(client.bytes(4), b"A_SB");
    client.reset();
    other.send("b");
    assert_eq!(other.bytes(4), b"B_SB");
}

/// The tutorial's client sends three messages, each on two sockets before it reads from either.
#[test]
fn select_echo_exchanges_three_messages_on_two_sockets_and_keeps_its_log() {
    let server = Server::example("select_echo");
    let mut sockets = [server.client(), server.client()];
    let messages = ["This is the message. ", "It will be sent ", "in parts."];
    for message in messages {
        for socket in &mut sockets {
            socket.send(message);
        }
        for socket in &mut sockets {
            assert_eq!(String::from_utf8_lossy(&socket.bytes(message.len())), message);
        }
    }
    for socket in sockets {
        let peer = local(&socket);
        drop(socket);
        let closing = format!("closing {peer} after reading no data\n");
        server.logs(&closing);
        let mut expected = vec![format!("new connection from {peer}")];
        for message in messages {
            expected.push(format!("received \"{message}\" from {peer}"));
            expected.push(format!("sending \"{message}\" to {peer}"));
            expected.push(format!("output queue for {peer} is empty"));
        }
        expected.push(closing.trim_end().into());
        let peer = peer.to_string();
        let log = server.stderr();
        let log: Vec<_> = log.lines().filter(|line| line.contains(&peer)).collect();
        assert_eq!(log, expected);
    }
}

#[test]
fn select_echo_sends_what_is_queued_to_a_client_that_says_no_more() {
    let server = Server::example("select_echo");
    let bytes = "the quick brown fox ".repeat(10_000).into_bytes();
    assert!(exchange(server.address(), &bytes) == bytes);
}

#[test]
fn select_echo_serves_a_hundred_at_once() {
    check_a_hundred_at_once(&Server::example("select_echo"), "");
}

#[test]
fn select_echo_handles_an_exceptional_condition() {
    let server = Server::example("select_echo");
    let mut other = server.client();
    let mut client = server.client();
    let peer = local(&client);
    client.send("a");
    assert_eq!(client.bytes(1), b"a");
    client.reset();
    server.logs(&format!("handling exceptional condition for {peer}: "));
    other.send("b");
    assert_eq!(other.bytes(1), b"b");
}

#[test]
fn chat_passes_lines_to_all_others() {
    let server = Server::example("chat");
    let mut chatters = Chatter::meet(&server, &["ada", "bob", "cyd"]);
    chatters[0].says("hello");
    for other in &mut chatters[1..] {
        assert_eq!(other.hears(), "ada: hello");
    }
    let cyd = chatters.pop().expect("three have met");
    cyd.leaves();
    for other in &mut chatters {
        assert_eq!(other.hears(), "cyd leaves");
    }
    // Connections without a request end when the server stops, and the program with them.
    let ended = server.stop();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn chat_tells_a_slow_reader_how_many_lines_it_missed() {
    let server = Server::example("chat");
    let mut chatters = Chatter::meet(&server, &["ada", "bob"]);
    let long = "x".repeat(500);
    // More than the buffers of the system can hold: bob does not read meanwhile.
    for _ in 0..40_000 {
        chatters[0].says(&long);
    }
    chatters[0].says("over");
    let missed = loop {
        let line = chatters[1].hears();
        if line.ends_with("lines missed)") {
            break line;
        }
    };
    let count: usize = missed
        .trim_matches(|c: char| !c.is_ascii_digit())
        .trim_end_matches(" lines missed")
        .parse()
        .expect("a number");
    assert!(count > 0);
}

#[test]
fn resp_answers_requests_however_they_are_cut() {
    let server = Server::example("resp");
    let requests = "*3\r\n$3\r\nSET\r\n$6\r\nanswer\r\n$2\r\n42\r\nGET answer\r\n*2\r\n$4\r\nINCR\r\n$6\r\nanswer\r\nget nothing\r\n";
    let replies = "+OK\r\n$2\r\n42\r\n:43\r\n$-1\r\n";
    assert_eq!(server.ask(requests), replies, "all at once");
    let mut client = server.client();
    for byte in requests.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.bytes(replies.len()), replies.as_bytes(), "byte by byte");
    // The value of all clients, and a pipeline that is longer than the buffers.
    let many = "INCR count\r\n".repeat(20_000);
    let counted: String = (1..=20_000).map(|n| format!(":{n}\r\n")).collect();
    assert_eq!(server.ask(many), counted);
    assert_eq!(
        server.ask("EXISTS count answer nothing\r\nDEL count answer\r\nDBSIZE\r\n"),
        ":2\r\n:2\r\n:0\r\n"
    );
}

#[test]
fn resp_refuses_what_is_no_request() {
    let server = Server::example("resp");
    let long = format!("*2\r\n$3\r\nGET\r\n${}\r\n", 1 << 30);
    for (nonsense, error) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*-1\r\n", "invalid multibulk length"),
        ("*65\r\n", "invalid multibulk length"),
        ("*1\r\n$x\r\n", "invalid bulk length"),
        (&*long, "invalid bulk length"),
        ("*1\r\n$4\r\nPINGxx", "expected the end of a bulk string"),
    ] {
        assert_eq!(server.ask(nonsense), format!("-ERR Protocol error: {error}\r\n"), "{nonsense:?}");
    }
    assert_eq!(server.ask("what\r\n"), "-ERR unknown command\r\n");
    assert_eq!(server.ask("GET\r\n\r\nPING\r\n"), "-ERR wrong number of arguments\r\n+PONG\r\n");
    assert_eq!(
        server.ask("SET n x\r\nINCR n\r\n"),
        "+OK\r\n-ERR value is not an integer or out of range\r\n"
    );
}

#[test]
fn an_invalid_address_is_refused_with_a_message() {
    for name in [
        "echo",
        "select_echo",
        "upper",
        "http",
        "chat",
        "resp",
        "websocket",
        "smallest_host",
        "talk_1",
        "talk_4",
        "talk_6",
    ] {
        let mut program = example(name);
        program.arg("nowhere");
        let ended = Running::start(program).wait();
        assert_eq!(ended.code, Some(1), "{name}: {}", ended.stderr);
        // The message is the system's, or the parser's, or that of a listener, which also takes the path of a socket.
        let said = ended.stderr.strip_suffix(" syntax\n").unwrap_or(ended.stderr.trim_end());
        let wanted = match name {
            "chat" | "resp" | "websocket" => {
                "Error: listen on nowhere: neither an address nor a name with a port"
            }
            _ => "Error: invalid socket address",
        };
        assert_eq!(said, wanted, "{name}");
    }
}
