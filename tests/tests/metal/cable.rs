//! The cable of the board's Ethernet card, pulled and put back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sinbin_tests::{Client, Server, firmware};

use crate::{SOCKETS, ends, lacks_qemu};

/// A connection to the monitor of the emulator, which can pull the cable of the board's Ethernet card.
struct Cable {
    monitor: BufReader<UnixStream>,
}

impl Cable {
    /// Starts the firmware `fib` with these options, and connects to the monitor of its emulator.
    fn start(options: &[&str]) -> (Server, Self) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let own = format!("sinbin-cable-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(own);
        let mut command = firmware("fib", "", SOCKETS);
        command.env("SINBIN_QEMU", format!("-qmp unix:{},server=on,wait=off", path.display())).args(options);
        let server = Server::announced(command);
        let monitor = BufReader::new(UnixStream::connect(&path).expect("a monitor"));
        std::fs::remove_file(path).expect("the monitor's socket");
        let mut cable = Self { monitor };
        cable.say(r#"{"execute":"qmp_capabilities"}"#);
        (server, cable)
    }

    /// Executes a command of QMP.
    fn say(&mut self, command: &str) {
        writeln!(self.monitor.get_mut(), "{command}").expect("the monitor reads");
        loop {
            let mut line = String::new();
            assert!(
                self.monitor.read_line(&mut line).expect("the monitor answers") > 0,
                "the monitor is gone"
            );
            assert!(!line.contains("\"error\""), "{command}: {line}");
            // Events may come before the result.
            if line.contains("\"return\"") {
                return;
            }
        }
    }

    fn plug(&mut self, is_in: bool) {
        self.say(&format!(r#"{{"execute":"set_link","arguments":{{"name":"net","up":{is_in}}}}}"#));
    }
}

#[test]
fn requests_are_answered_when_the_cable_is_back() {
    if lacks_qemu() {
        return;
    }
    let (server, mut cable) = Cable::start(&[]);
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    for round in 0..2 {
        clients.iter_mut().for_each(|client| client.ask(20 + round));
        cable.plug(false);
        clients.iter_mut().for_each(|client| client.send("10\n"));
        assert!(clients.iter().all(Client::is_silent), "no frame passes");
        cable.plug(true);
        for client in &mut clients {
            assert_eq!(client.line(), "55");
        }
    }
}

/// The idle timeout of the board, and a time that is longer.
const IDLE: &str = "3s";
const LONGER: Duration = Duration::from_millis(3500);

#[test]
fn timeouts_expire_while_the_cable_is_pulled() {
    if lacks_qemu() {
        return;
    }
    let (server, mut cable) = Cable::start(&["--idle-timeout", IDLE]);
    let mut client = server.client();
    client.ask(20);
    cable.plug(false);
    // The clock of the board is that of this machine.
    thread::sleep(LONGER);
    cable.plug(true);
    client.send("10\n");
    assert!(ends(client.stream()), "the connection was closed before the request came");
    server.client().ask(20);
}
