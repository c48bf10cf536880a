use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::time::Duration;
use std::{fmt, thread};

use sinbin::driven::{Answer, Computed, Counts, Driven, Event, Start, Takes};
use sinbin::fib_service::Fib;
use sinbin::guests::{Blueprint, Fault, Guest, GuestServer, GuestSettings, Workshop};
use sinbin::{Error, Instant};

use crate::scene::{LOCAL, PLANTED, alone, arm, expect_end, expect_report, is_armed, strike, wait_until};

/// A place where the driver calls a guest, or what makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Turn,
    Counts,
    Dropped,
    /// A fresh guest, for one that has failed.
    Start,
    /// Why there is no fresh one.
    ErrorShown,
    Compute,
}

const PLACES: [Place; 6] =
    [Place::Turn, Place::Counts, Place::Dropped, Place::Start, Place::ErrorShown, Place::Compute];

impl Place {
    fn at(self, here: Self) {
        if self == here && is_armed() {
            strike();
        }
    }

    /// Returns true if the guest is to fail by itself, for the driver to get there.
    fn is_behind_a_fault(self) -> bool {
        matches!(self, Self::Dropped | Self::Start | Self::ErrorShown)
    }
}

struct Makes(Place);

struct Fragile {
    driven: Driven<Fib>,
    place: Place,
}

/// Why there is no guest.
struct Refused(Place, String);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(Place::Turn, error.to_string())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.at(Place::ErrorShown);
        f.write_str(&self.1)
    }
}

impl Blueprint for Makes {
    type Guest = Fragile;
    type Workshop = Computes;
    type Error = Refused;

    fn start(&self, start: &Start) -> Result<(Fragile, Takes), Refused> {
        self.0.at(Place::Start);
        if self.0 == Place::ErrorShown && is_armed() {
            return Err(Refused(self.0, "not this time".to_owned()));
        }
        let (driven, takes) = start.begin(Fib { loop_n: 1, ..Fib::default() });
        Ok((Fragile { driven, place: self.0 }, takes))
    }

    fn workshop(&self) -> Computes {
        Computes(self.0)
    }
}

impl Guest for Fragile {
    fn turn(&mut self, now: Instant, window: u32, events: &[Event], input: &[u8]) -> Result<Answer, Fault> {
        if events.iter().any(|event| matches!(event, Event::Received { .. })) {
            self.place.at(Place::Turn);
            if self.place.is_behind_a_fault() && is_armed() {
                return Err(Fault("it fails on purpose".to_owned()));
            }
        }
        Ok(self.driven.turn(now, window as usize, events.iter().copied(), input.to_vec()))
    }

    fn counts(&mut self) -> Result<Counts, Fault> {
        self.place.at(Place::Counts);
        Ok(self.driven.counts())
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.place.at(Place::Dropped);
    }
}

#[derive(Clone)]
struct Computes(Place);

impl Workshop for Computes {
    fn compute(&self, job: &[u8], budget: u32, _: &Arc<AtomicBool>) -> Result<Computed, Fault> {
        self.0.at(Place::Compute);
        Ok(sinbin::driven::compute::<sinbin::fib::FibJob>(job, budget))
    }
}

#[test]
fn a_guest_that_panics_is_replaced_and_what_makes_guests_may_panic_too() {
    let _alone = alone();
    for place in PLACES {
        let (tell, told) = channel();
        let server = thread::spawn(move || {
            let mut settings = GuestSettings::default();
            settings.workers = 1;
            let mut server = GuestServer::new(Makes(place), &settings).map_err(|Refused(_, why)| why)?;
            let address = server.listen(LOCAL).map_err(|error| error.to_string())?;
            tell.send((address, server.stopper())).expect("the test waits for it");
            server.run().map(|summary| summary.served).map_err(|error| error.to_string())
        });
        let (address, stopper) = told.recv().expect("it is started");
        assert_eq!(ask_fib(address), "6765\n", "{place:?}: before");
        arm();
        if place == Place::Counts {
            stopper.stop();
        } else {
            ask_fib(address);
            wait_until(|| !is_armed(), &format!("{place:?}: somebody goes there"));
            assert_eq!(ask_fib(address), "6765\n", "{place:?}: after");
            stopper.stop();
        }
        expect_end(&place, server.join());
        expect_report(&place, &[PLANTED]);
    }
}

/// Asks, and half-closes; a connection that breaks is an end as well.
fn ask_fib(address: SocketAddr) -> String {
    let mut client = TcpStream::connect(address).expect("somebody listens");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let mut said = String::new();
    let asked = client.write_all(b"20\n").and_then(|()| client.shutdown(Shutdown::Write));
    match asked.and_then(|()| client.read_to_string(&mut said)) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("nobody closes the connection")
        }
        _ => said,
    }
}
