//! TLS on the side of the host: services and guests see plaintext, whatever their clients do (`--tls-cert`), and
//! whatever the servers do that a guest connects to (`--allow-connect https://HOST`).

#![cfg(unix)]

mod certificates;
mod ends;
mod exchanges;
mod outgoing;
mod refusals;
mod upstream;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sinbin::tls::rustls::pki_types::ServerName;
use sinbin::tls::rustls::{ClientConfig, ClientConnection, StreamOwned};
use sinbin_tests::{PATIENCE, Server, guest, sinbin, sinbin_wasi};

use crate::certificates::Certificates;

/// A client that speaks TLS.
type Client = StreamOwned<ClientConnection, TcpStream>;

/// A host of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Host {
    /// The native loop, with a state machine.
    Machine,
    /// The native loop, with an `async fn`.
    AsyncFn,
    /// The driver of guests, with a state machine in its own process.
    Driven,
    /// The driver of guests, with a sandbox.
    Sandbox,
}

const HOSTS: [Host; 4] = [Host::Machine, Host::AsyncFn, Host::Driven, Host::Sandbox];

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

impl Host {
    /// Starts a service with `args`, whose clients speak TLS.
    fn start(self, service: &str, certificates: &Certificates, args: &[&str]) -> Server {
        let (guest, recording) = match self {
            Self::Sandbox => (guest(&format!("{service}.wasm")), None),
            Self::Driven if !args.contains(&"--record") => {
                (PathBuf::new(), Some(certificates.write(&format!("{service}.recording"), "")))
            }
            _ => (PathBuf::new(), None),
        };
        let mut all = match self {
            Self::Machine | Self::Driven => vec!["serve", service],
            Self::AsyncFn => vec!["serve", service, "--written-as", "async-fn"],
            Self::Sandbox => vec!["run", text(&guest)],
        };
        all.extend(["--listen", "127.0.0.1:0", "--tls-cert", text(certificates.certificate())]);
        all.extend(["--tls-key", text(certificates.key())]);
        all.extend(recording.iter().flat_map(|recording| ["--record", text(recording)]));
        // No test but that of the limit depends on how long a handshake takes.
        if !args.contains(&"--handshake-timeout") {
            all.extend(["--handshake-timeout", "1h"]);
        }
        // The options of the service come last, behind those of its host.
        let (service, host): (Vec<&[&str]>, Vec<&[&str]>) =
            args.chunks(2).partition(|pair| pair[0] == "--max-n");
        all.extend(host.into_iter().flatten());
        if self == Self::Sandbox {
            all.push("--");
        }
        all.extend(service.into_iter().flatten());
        Server::announced(if self == Self::Sandbox { sinbin_wasi(&all) } else { sinbin(&all) })
    }
}

/// Connects a client, whose handshake begins with its first byte.
fn connect(server: &Server, config: &Arc<ClientConfig>) -> Client {
    let stream = TcpStream::connect(server.address()).expect("a connection");
    for limit in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        limit(&stream, Some(PATIENCE)).expect("a limit");
    }
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
    StreamOwned::new(session, stream)
}

/// Announces the end of the client's stream, and ends its sending direction.
fn end(client: &mut Client) {
    client.conn.send_close_notify();
    client.flush().expect("sent");
    client.sock.shutdown(std::net::Shutdown::Write).expect("ended");
}

/// Receives everything up to the end that the server announces.
fn rest(client: &mut Client) -> Vec<u8> {
    let mut all = Vec::new();
    client.read_to_end(&mut all).expect("the server announces the end");
    all
}

/// Sends `requests` and the end of the stream, and returns everything that is received.
fn ask(server: &Server, config: &Arc<ClientConfig>, requests: &str) -> String {
    try_ask(server, config, requests).expect("an answer")
}

/// Sends `requests` as [`ask`] does, and returns the error if the connection fails.
fn try_ask(server: &Server, config: &Arc<ClientConfig>, requests: &str) -> io::Result<String> {
    let mut client = connect(server, config);
    client.write_all(requests.as_bytes())?;
    client.conn.send_close_notify();
    client.flush()?;
    let mut all = String::new();
    client.read_to_string(&mut all)?;
    Ok(all)
}
