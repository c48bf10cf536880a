//! Signals that are ignored when a process starts.

use std::net::TcpStream;

use rustix::process::Signal;
use sinbin_tests::{ReservedPort, Running, by_shell, eventually};

use crate::{WAYS, drain, is_served, listens};

/// The signals that ask a server to stop, with their names in a shell.
const SIGNALS: [(&str, Signal); 3] = [("HUP", Signal::HUP), ("INT", Signal::INT), ("TERM", Signal::TERM)];

#[test]
fn a_signal_that_is_ignored_stays_so_and_the_others_drain() {
    for way in &WAYS {
        for (ignored, signal) in SIGNALS {
            let port = ReservedPort::new();
            let address = port.address();
            let command = (way.command)(&["--listen", &address.to_string()]);
            let shell = by_shell(&format!("trap '' {ignored}"), &command);
            let mut running = Running::start_mute(shell, None, None);
            listens(&mut running, address);
            // A second signal would end the process at once, if it were handled.
            running.signal(signal);
            running.signal(signal);
            is_served(address);
            let (_, other) = SIGNALS.into_iter().find(|(name, _)| *name != ignored).expect("there are three");
            running.signal(other);
            let ended = running.wait();
            assert_eq!(ended.code, Some(0), "{}, {ignored}: {}", way.name, ended.stderr);
        }
    }
}

#[test]
fn under_nohup_it_serves_on() {
    for way in &WAYS {
        let port = ReservedPort::new();
        let address = port.address();
        let command = (way.command)(&["--listen", &address.to_string()]);
        let mut running = Running::start_mute(by_shell("exec nohup \"$0\" \"$@\"", &command), None, None);
        listens(&mut running, address);
        running.signal(Signal::HUP);
        is_served(address);
        assert!(!running.has_ended(), "{}", way.name);
        running.signal(Signal::TERM);
        eventually("the end of it", || running.has_ended());
        assert_eq!(running.wait().code, Some(0), "{}", way.name);
    }
}

/// A supervisor may take the first successful connection for the sign that the server is up.
#[test]
fn whoever_can_connect_can_stop_it() {
    for way in &WAYS {
        for _ in 0..20 {
            let port = ReservedPort::new();
            let address = port.address();
            let mut running = Running::start((way.command)(&["--listen", &address.to_string()]));
            while TcpStream::connect(address).is_err() {
                assert!(!running.has_ended(), "{}: {:?}", way.name, running.stderr());
                std::hint::spin_loop();
            }
            let (code, _) = drain(running);
            assert_eq!(code, Some(0), "{}", way.name);
        }
    }
}
