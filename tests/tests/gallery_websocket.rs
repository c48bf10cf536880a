//! The example that speaks WebSocket, tested by bytes that RFC 6455 defines, and by the WebSocket of Node.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sinbin_tests::{Client, Server, example, noise};
use socket2::SockRef;

const MAX_MESSAGE: usize = 1 << 20;

/// The bits of a frame's first byte.
const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The codes with which a server closes.
const NORMAL: u16 = 1000;
const AWAY: u16 = 1001;
const PROTOCOL: u16 = 1002;
const INVALID: u16 = 1007;
const TOO_LARGE: u16 = 1009;

/// Opens a WebSocket with the example of RFC 6455, so that the test does not depend on the library of the server.
fn websocket(server: &Server) -> Client {
    let mut client = server.client();
    client.send(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head = head + &client.line() + "\n";
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    client
}

/// Returns the head of a client's frame, with a mask of zeros.
fn head(first: u8, len: u64) -> Vec<u8> {
    let mut head = vec![first, 0x80 | 127];
    head.extend(len.to_be_bytes());
    head.extend([0; 4]);
    head
}

/// Returns a frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let short = u8::try_from(payload.len()).ok().filter(|len| *len < 126);
    let mut frame =
        short.map_or_else(|| head(first, payload.len() as u64), |len| vec![first, 0x80 | len, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

/// Checks that the server closes with `code`, and that nothing else comes.
fn closes(mut client: Client, code: u16, why: &str) {
    let [high, low] = code.to_be_bytes();
    assert_eq!(client.bytes(4), [FIN | CLOSE, 2, high, low], "{why}");
    assert_eq!(client.rest(), "", "{why}");
}

#[test]
fn a_websocket_echoes_messages() {
    let server = Server::example("websocket");
    let mut client = websocket(&server);
    // A masked text "Hello", in pieces.
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    for byte in hello {
        client.send([byte]);
    }
    assert_eq!(client.bytes(7), b"\x81\x05Hello");
    // Fragments, and a ping between them.
    client.send([frame(TEXT, b"Hel"), frame(FIN | PING, b"?"), frame(FIN, b"lo")].concat());
    let mut answers = client.bytes(10);
    answers.sort_unstable();
    let mut expected = b"\x8a\x01?\x81\x05Hello".to_vec();
    expected.sort_unstable();
    assert_eq!(answers, expected, "a pong and the message");
    // A pong that was not asked for has no answer, and an empty message is one.
    client.send([frame(FIN | PONG, b""), frame(FIN | BINARY, b"")].concat());
    assert_eq!(client.bytes(2), [FIN | BINARY, 0]);
    // A hundred kilobytes.
    client.send(frame(FIN | BINARY, &noise(100_000)));
    assert_eq!(client.bytes(10), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0x86, 0xa0]);
    assert!(client.bytes(100_000) == noise(100_000));
    // The end is answered.
    client.send(frame(FIN | CLOSE, &NORMAL.to_be_bytes()));
    closes(client, NORMAL, "the end");
}

#[test]
fn a_websocket_server_answers_requests_for_something_else() {
    let server = Server::example("websocket");
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "hello\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000)),
    ] {
        let answer = server.ask(&request);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{}: {answer}", &request[..60.min(request.len())]);
    }
}

#[test]
fn bad_frames_end_the_conversation_with_a_reason() {
    let server = Server::example("websocket");
    let too_many = frame(FIN | PING, &[0; 126]);
    let two_halves = [frame(BINARY, &noise(MAX_MESSAGE)), frame(FIN, b"x")].concat();
    let cases: [(&str, Vec<u8>, u16); 12] = [
        ("a frame without a mask", b"\x81\x05Hello".to_vec(), PROTOCOL),
        ("a reserved bit", frame(FIN | 0x40 | TEXT, b"a"), PROTOCOL),
        ("a reserved opcode", frame(FIN | 3, b"a"), PROTOCOL),
        ("a ping in fragments", frame(PING, b"a"), PROTOCOL),
        ("a ping of 126 bytes", too_many, PROTOCOL),
        ("the rest of nothing", frame(FIN, b"a"), PROTOCOL),
        ("a message within a message", [frame(TEXT, b"a"), frame(FIN | TEXT, b"a")].concat(), PROTOCOL),
        ("a text that is none", frame(FIN | TEXT, b"a\xff"), INVALID),
        ("half a character", [frame(TEXT, b"a\xc3"), frame(FIN, b"")].concat(), INVALID),
        ("a frame above the limit", head(FIN | BINARY, MAX_MESSAGE as u64 + 1), TOO_LARGE),
        ("a frame of half of all bytes", head(FIN | BINARY, u64::MAX / 2), TOO_LARGE),
        ("a message above the limit", two_halves, TOO_LARGE),
    ];
    for (why, bytes, code) in cases {
        let mut client = websocket(&server);
        client.send(bytes);
        closes(client, code, why);
    }
    // The limit itself is allowed.
    let mut client = websocket(&server);
    client.send(frame(FIN | BINARY, &noise(MAX_MESSAGE)));
    assert_eq!(client.bytes(10)[..2], [FIN | BINARY, 127]);
    assert!(client.bytes(MAX_MESSAGE) == noise(MAX_MESSAGE));
}

#[test]
fn clients_that_break_off_do_not_disturb_others() {
    let server = Server::example("websocket");
    let mut other = websocket(&server);
    for reset in [false, true] {
        for sent in [&b"\x81"[..], b"\x81\x85\0\0\0\0Hel", b""] {
            let mut client = websocket(&server);
            client.send(sent);
            if reset {
                SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("an option");
            }
        }
    }
    // Also before their request is complete.
    server.client().send("GET / HT");
    other.send(frame(FIN | TEXT, b"Hello"));
    assert_eq!(other.bytes(7), b"\x81\x05Hello");
    assert_eq!(server.stop().code, Some(0));
}

#[test]
fn an_idle_client_is_asked_whether_it_is_alive() {
    let mut program = example("websocket");
    program.args(["--idle", "1"]);
    let server = Server::of(program);
    let mut client = websocket(&server);
    for _ in 0..2 {
        assert_eq!(client.bytes(2), [FIN | PING, 0]);
        client.send(frame(FIN | PONG, b""));
    }
    assert_eq!(client.bytes(2), [FIN | PING, 0]);
    assert_eq!(client.rest(), "", "the client does not answer, and is disconnected");
}

#[test]
fn a_server_that_stops_says_so() {
    let server = Server::example("websocket");
    let client = websocket(&server);
    server.signal(Signal::TERM);
    closes(client, AWAY, "the stop");
    let ended = server.wait();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
}

/// A client in JavaScript, which prints what it sees: `node … URL SIZE [STAYS]` sends messages of different kinds, one with
/// SIZE characters, and closes when the last one is answered, unless it stays.
const CLIENT: &str = r#"
const [url, size, stays] = process.argv.slice(1);
const socket = new WebSocket(url);
socket.binaryType = "arraybuffer";
socket.onopen = () => {
    socket.send("größer");
    socket.send(new Uint8Array([0, 255]));
    socket.send("");
    socket.send("x".repeat(size));
};
socket.onmessage = ({ data }) => {
    console.log(typeof data === "string" ? `text ${data.length} ${data.slice(0, 6)}` : `bytes ${new Uint8Array(data)}`);
    if (data.length == size && !stays) socket.close(1000, "done");
};
socket.onclose = ({ code, wasClean }) => console.log(`closed ${code} ${wasClean}`);
socket.onerror = () => console.log("failed");
"#;

/// Returns the command of the client, or `None` if no Node with WebSocket is installed. With `SINBIN_ALL_HOSTS=1`, as in
/// `.ci/run`, that is a failure.
fn node(server: &Server, size: usize) -> Option<Command> {
    let node = |script: &str| {
        let mut node = Command::new("node");
        node.args(["--no-warnings", "--experimental-websocket", "--eval", script]);
        node
    };
    let tried =
        node("new WebSocket('ws://127.0.0.1:9')").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        let why = "no Node with WebSocket is installed: at least 20.10";
        assert!(std::env::var_os("SINBIN_ALL_HOSTS").is_none_or(|all| all != "1"), "{why}");
        writeln!(std::io::stderr(), "skipped: {why}").ok();
        return None;
    }
    let mut command = node(CLIENT);
    command.args([format!("ws://{}/", server.address()), size.to_string()]).env("NODE_OPTIONS", "");
    Some(command)
}

#[test]
fn node_talks_and_closes() {
    let server = Server::example("websocket");
    for (size, end) in
        [(100_000, "text 100000 xxxxxx\nclosed 1000 true\n"), (MAX_MESSAGE + 1, "closed 1009 true\n")]
    {
        let Some(mut node) = node(&server, size) else { return };
        let output = node.output().expect("it can be run");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, format!("text 6 größer\nbytes 0,255\ntext 0 \n{end}"), "{output:?}");
    }
}

#[test]
fn node_learns_that_the_server_stops() {
    let server = Server::example("websocket");
    let Some(mut node) = node(&server, 1) else { return };
    let mut child = node.arg("stays").stdout(Stdio::piped()).spawn().expect("it can be run");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert_eq!(lines.by_ref().find(|line| line.starts_with("text 1")).as_deref(), Some("text 1 x"));
    server.signal(Signal::TERM);
    assert_eq!(lines.last().as_deref(), Some("closed 1001 true"));
    assert!(child.wait().expect("it ends").success());
    assert_eq!(server.wait().code, Some(0));
}
