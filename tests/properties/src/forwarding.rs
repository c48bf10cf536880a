//! A service that connects to servers, under a driver that keeps the rules and has bad luck.

use std::pin::{Pin, pin};
use std::time::Duration;

use sinbin_core::Limits;
use sinbin_core::driven::Compute;
use sinbin_core::task::{
    AsyncService, Conn, Error, Handle, NoWakers, Pool, RunContext, copy, copy_bidirectional,
};
use sinbin_testkit::driver::{Client, Driver, Role, Sizes};
use sinbin_testkit::tape::Tape;

/// The maximum time to connect. A turn takes a millisecond.
const PATIENCE: Duration = Duration::from_millis(12);

/// Checks that a port forwarder forwards all bytes in both directions, however its requests for connections or listeners end: each
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
    let way = tape.one_of(&[Way::Forward, Way::AllAtOnce, Way::Listen]);
    let handle = Handle::new(&run_context);
    let service = AsyncService::new(handle, Pin::as_ref(&pool), |client| forward(client, way));
    let mut clients = Driver::new(service, &sizes, &scripts, tape).run();
    let mut servers = clients.split_off(scripts.len());
    servers.retain(|server| server.role != Role::Listener);
    for (client, script) in clients.iter().zip(&scripts) {
        check(client, script, servers.iter().find(|server| server.got.first() == script.first()));
    }
    for server in &servers {
        let owner = server.got.first().map(|first| &scripts[usize::from(first - b'a')]);
        assert!(owner.is_none_or(|script| script.starts_with(&server.got)), "bytes of two clients are mixed");
    }
}

/// The way in which a client is forwarded.
#[derive(Clone, Copy)]
enum Way {
    /// To a server that the service connects to, both ways at the same time.
    Forward,
    /// All that the client sends, and then all that the server answers. The service sends before it receives.
    AllAtOnce,
    /// To a server that connects to a listener of the service.
    Listen,
}

async fn forward(client: Conn<'_>, way: Way) -> Result<(), Error> {
    let handle = client.handle();
    match way {
        Way::Forward => {
            let server = handle.timeout(PATIENCE, handle.connect("server.example:80")).await??;
            copy_bidirectional(&client, &server).await.map(drop)
        }
        Way::AllAtOnce => {
            let (mut bytes, mut len) = ([0; 64], 0);
            loop {
                match client.recv(&mut bytes[len..]).await? {
                    0 => break,
                    count => len += count,
                }
            }
            let server = handle.timeout(PATIENCE, handle.connect("server.example:80")).await??;
            server.send_all(&bytes[..len]).await?;
            server.shutdown()?;
            copy(&server, &client).await.map(drop)
        }
        Way::Listen => {
            let listener = handle.listen("192.0.2.1:80")?;
            let (server, _) = handle.timeout(PATIENCE, listener.accept()).await??;
            drop(listener);
            copy_bidirectional(&client, &server).await.map(drop)
        }
    }
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
