use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::{fmt, thread};

use sinbin::driven::{Computed, Driven, Event, ServiceLimits, ServiceSettings, Tally, TurnOutput};
use sinbin::fib_service::Fib;
use sinbin::guests::{Fault, Guest, GuestFactory, GuestServer, GuestSettings, JobRunner};
use sinbin::{Error, Instant};

use crate::scene::{
    LOCAL, PATIENCE, PLANTED, alone, arm, expect_end, expect_report, is_armed, strike, wait_until,
};

/// The user code of a guest or its factory that panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PanicSite {
    Turn,
    Counts,
    Dropped,
    /// Starting a fresh guest after a failure.
    Start,
    /// Displaying the error of starting a fresh guest.
    ErrorShown,
    Compute,
}

const PANIC_SITES: [PanicSite; 6] = [
    PanicSite::Turn,
    PanicSite::Counts,
    PanicSite::Dropped,
    PanicSite::Start,
    PanicSite::ErrorShown,
    PanicSite::Compute,
];

impl PanicSite {
    fn at(self, here: Self) {
        if self == here && is_armed() {
            strike();
        }
    }

    /// Returns true if the guest has to fail on its own before the driver calls this code.
    fn is_behind_a_fault(self) -> bool {
        matches!(self, Self::Dropped | Self::Start | Self::ErrorShown)
    }
}

struct Makes(PanicSite);

struct Fragile {
    driven: Driven<Fib>,
    place: PanicSite,
}

/// The error of starting a guest.
struct StartError(PanicSite, String);

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self(PanicSite::Turn, error.to_string())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.at(PanicSite::ErrorShown);
        f.write_str(&self.1)
    }
}

impl GuestFactory for Makes {
    type Guest = Fragile;
    type JobRunner = Computes;
    type Error = StartError;

    fn start(&self, start: &ServiceSettings) -> Result<(Fragile, ServiceLimits), StartError> {
        self.0.at(PanicSite::Start);
        if self.0 == PanicSite::ErrorShown && is_armed() {
            return Err(StartError(self.0, "not this time".to_owned()));
        }
        let (driven, takes) = start.begin(Fib { loop_n: 1, ..Fib::default() });
        Ok((Fragile { driven, place: self.0 }, takes))
    }

    fn job_runner(&self) -> Computes {
        Computes(self.0)
    }
}

impl Guest for Fragile {
    fn turn(
        &mut self,
        now: Instant,
        window: u32,
        events: &[Event],
        input: &[u8],
    ) -> Result<TurnOutput, Fault> {
        if events.iter().any(|event| matches!(event, Event::Received { .. })) {
            self.place.at(PanicSite::Turn);
            if self.place.is_behind_a_fault() && is_armed() {
                return Err(Fault("it fails on purpose".to_owned()));
            }
        }
        Ok(self.driven.turn(now, window as usize, events.iter().copied(), input.to_vec()))
    }

    fn counts(&mut self) -> Result<Tally, Fault> {
        self.place.at(PanicSite::Counts);
        Ok(self.driven.counts())
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.place.at(PanicSite::Dropped);
    }
}

#[derive(Clone)]
struct Computes(PanicSite);

impl JobRunner for Computes {
    fn compute(&self, job: &[u8], budget: u32, _: &Arc<AtomicBool>) -> Result<Computed, Fault> {
        self.0.at(PanicSite::Compute);
        Ok(sinbin::driven::compute::<sinbin::fib::FibJob>(job, budget))
    }
}

#[test]
fn a_guest_that_panics_is_replaced_and_what_makes_guests_may_panic_too() {
    let _alone = alone();
    for place in PANIC_SITES {
        let (tell, told) = channel();
        let server = thread::spawn(move || {
            let mut settings = GuestSettings::default();
            settings.workers = 1;
            let mut server = GuestServer::new(Makes(place), &settings).map_err(|StartError(_, why)| why)?;
            let address = server.listen(LOCAL).map_err(|error| error.to_string())?;
            tell.send((address, server.stopper())).expect("the test waits for it");
            server.run().map(|summary| summary.served).map_err(|error| error.to_string())
        });
        let (address, stopper) = told.recv().expect("it is started");
        assert_eq!(ask_fib(address), "6765\n", "{place:?}: before");
        arm();
        if place == PanicSite::Counts {
            stopper.stop();
        } else {
            ask_fib(address);
            wait_until(|| !is_armed(), &format!("{place:?}: the code is called"));
            assert_eq!(ask_fib(address), "6765\n", "{place:?}: after");
            stopper.stop();
        }
        expect_end(&place, server.join());
        expect_report(&place, &[PLANTED]);
    }
}

/// Sends a request and half-closes. Returns the reply, which may be cut short by a reset.
fn ask_fib(address: SocketAddr) -> String {
    let mut client = TcpStream::connect(address).expect("the server listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut said = String::new();
    let asked = client.write_all(b"20\n").and_then(|()| client.shutdown(Shutdown::Write));
    match asked.and_then(|()| client.read_to_string(&mut said)) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("the connection is not closed")
        }
        _ => said,
    }
}
