use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use sinbin::kernel::Op;
use sinbin::task::{Error, Handle, join};
use sinbin::time::Elapsed;
use sinbin::{IoError, Settings};

use crate::{LOCAL, run};

/// Runs a program whose resolver returns these addresses for `name`, each with the port that is asked for.
fn with_name<T>(ips: &'static [std::net::IpAddr], main: impl AsyncFnOnce(Handle<'_>) -> T) -> T {
    let resolver = move |host: &str, port: u16| match host {
        "name" => Ok(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect()),
        _ => Err(IoError::Unresolved),
    };
    Settings::default().resolver(resolver).run(main).expect("it runs")
}

#[test]
fn a_name_leads_to_the_address_that_answers() {
    // No process listens on the first address. A system without IPv6 refuses it in another way.
    static IPS: [std::net::IpAddr; 2] = [std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), LOCAL.ip()];
    with_name(&IPS, async |handle| {
        let listener = handle.listen(LOCAL).expect("a port");
        let place = format!("name:{}", listener.address().port());
        let (client, server) = join(handle.connect(&place), listener.accept()).await;
        let (client, (server, _)) = (client.expect("it listens"), server.expect("it connects"));
        assert_eq!(client.peer(), Some(listener.address()));
        server.send_all(b"hello").await.expect("it is open");
        assert_eq!(client.recv(&mut [0; 9]).await, Ok(5));
    });
}

#[test]
fn the_error_has_the_name() {
    static IPS: [std::net::IpAddr; 1] = [LOCAL.ip()];
    with_name(&IPS, async |handle| {
        let port = handle.listen(LOCAL).expect("a port").address().port();
        handle.yield_now().await;
        let error = handle.connect(("name", port)).await.expect_err("no process listens any more");
        assert_eq!(error.to_string(), format!("connect to name:{port}: connection refused"));
        let error = handle.connect("nowhere.example:80").await.expect_err("it is no name");
        assert!(
            matches!(error, Error::Endpoint { op: Op::Resolve, error: IoError::Unresolved, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("nowhere.example:80"), "{error}");
    });
}

/// The time limit ends the wait, and the loop ends although the resolver does not return.
#[test]
fn a_resolver_that_hangs_stops_nothing() {
    let (returns, until) = channel::<()>();
    let until = Mutex::new(until);
    let resolver = move |_: &str, _: u16| {
        until.lock().expect("only one call").recv().ok();
        Err(IoError::Unresolved)
    };
    let settings = Settings::default().resolver(resolver);
    let connected = settings.run(async |handle| {
        handle.timeout(Duration::from_millis(1), handle.connect("name:80")).await.map(|_| ())
    });
    assert_eq!(connected.expect("it runs"), Err(Elapsed));
    returns.send(()).expect("the resolver still waits");
}

#[test]
fn the_system_resolves_localhost_and_refuses_what_is_no_name() {
    run(async |handle| {
        let found = handle.resolve("localhost:80").await.expect("each system has it");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
        assert_eq!(handle.resolve("127.0.0.1:80").await, Ok(vec![([127, 0, 0, 1], 80).into()]));
        for (text, error) in [("no port", IoError::Invalid), ("nul\0byte:80", IoError::Unresolved)] {
            assert_eq!(handle.resolve(text).await.expect_err(text).io(), Some(error), "{text:?}");
        }
    });
}
