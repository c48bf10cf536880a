//! A service that connects to servers, under a driver that keeps the rules and has bad luck.

use std::pin::{Pin, pin};
use std::time::Duration;

use sinbin_core::Limits;
use sinbin_core::driven::Compute;
use sinbin_core::task::{AsyncService, Conn, Error, Handle, NoWakers, Pool, RunContext, copy_bidirectional};
use sinbin_testkit::driver::{Client, Driver, Role, Sizes};
use sinbin_testkit::tape::Tape;

/// The maximum time to connect. A turn takes a millisecond.
const PATIENCE: Duration = Duration::from_millis(12);

/// Checks that a port forwarder forwards all bytes in both directions, however its requests for connections end: each
/// server receives a prefix of what one client sends, and the client a prefix of the answer to that. If none of both
/// breaks off, they receive everything.
///
/// # Panics
///
/// Panics if the property does not hold.
pub fn forwarding(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let limits = Limits::new(2 + tape.below(10), tape.below(4), 128);
    let window = tape.one_of(&[64 * 1024, 1, 10, 100]);
    let compute = Compute::Here { slice: 1 };
    let sizes = Sizes { limits, window, compute, ghosts: tape.once_in(2) };
    // The first byte of a script tells whose it is.
    let script = |index: u8, tape: &mut Tape<'_>| {
        let len = tape.one_of(&[0, 1, 5, 40]);
        [&[b'a' + index][..], &vec![b'z'; len]].concat()
    };
    let count = u8::try_from(1 + tape.below(5)).expect("a few clients");
    let scripts: Vec<_> = (0..count).map(|index| script(index, &mut tape)).collect();
    let run_context = RunContext::new(&NoWakers);
    let pool = pin!(Pool::growing(16));
    let service = AsyncService::new(Handle::new(&run_context), Pin::as_ref(&pool), forward);
    let mut clients = Driver::new(service, &sizes, &scripts, tape).run();
    let servers = clients.split_off(scripts.len());
    for (client, script) in clients.iter().zip(&scripts) {
        check(client, script, servers.iter().find(|server| server.got.first() == script.first()));
    }
    for server in &servers {
        let owner = server.got.first().map(|first| &scripts[usize::from(first - b'a')]);
        assert!(owner.is_none_or(|script| script.starts_with(&server.got)), "bytes of two clients are mixed");
    }
}

/// Forwards a client to the server.
async fn forward(client: Conn<'_>) -> Result<(), Error> {
    let handle = client.handle();
    let server = handle.timeout(PATIENCE, handle.connect("server.example:80")).await??;
    copy_bidirectional(&client, &server).await.map(drop)
}

fn check(client: &Client, script: &[u8], server: Option<&Client>) {
    let answer = script.to_ascii_uppercase();
    let Some(server) = server.filter(|server| server.role == Role::Server) else {
        return assert!(client.got.is_empty(), "an answer without a server");
    };
    assert!(answer.starts_with(&client.got), "the beginning of the answer");
    if !client.has_broken && !server.has_broken {
        assert!(server.got == script && client.got == answer, "all bytes are forwarded");
    }
}
