use std::time::Duration;

use sinbin::IoError;
use sinbin::net::SocketOptions;
use sinbin::task::join;

use crate::{LOCAL, run};

#[test]
fn options_of_a_connection_and_a_listener_reach_the_socket() {
    run(async |handle| {
        let listener = handle.listen(LOCAL).expect("a port");
        listener.set_recv_buffer(64 * 1024).expect("an option");
        assert!(listener.recv_buffer().expect("an option") >= 64 * 1024);
        let (client, server) = join(handle.connect(listener.address()), listener.accept()).await;
        let (client, (server, _)) = (client.expect("it listens"), server.expect("it connects"));
        assert_eq!((client.nodelay(), server.nodelay()), (Ok(true), Ok(true)));
        client.set_nodelay(false).expect("an option");
        assert_eq!((client.nodelay(), server.nodelay()), (Ok(false), Ok(true)));
        client.set_keepalive(Some(Duration::from_secs(60))).expect("an option");
        assert_eq!(client.keepalive(), Ok(true));
        client.set_keepalive(None).expect("an option");
        assert_eq!(client.keepalive(), Ok(false));
        client.set_send_buffer(128 * 1024).expect("an option");
        assert!(client.send_buffer().expect("an option") >= 128 * 1024);
        // Operations of the loop are refused while the socket is in use, and what is dropped is closed afterwards.
        let mut server = Some(server);
        let nested = client.with_descriptor(|_| {
            let nested = client.nodelay();
            server.take();
            Ok(nested)
        });
        assert_eq!(nested, Ok(Err(sinbin::task::WaitError::Elsewhere.into())));
        assert_eq!(client.recv(&mut [0]).await, Ok(0), "the other side is closed");
    });
}

#[test]
fn errors_of_options_are_those_of_the_system() {
    run(async |handle| {
        let listener = handle.listen(LOCAL).expect("a port");
        let error = listener.with_descriptor(|_| Err::<(), _>(std::io::Error::from_raw_os_error(22)));
        assert_eq!(error.expect_err("it fails").io(), Some(IoError::Os(22)));
    });
}
