//! Panics of a service are failures of its run, whatever else panics during the cleanup.

use std::pin::Pin;
use std::time::Duration;

use sinbin_core::{Cx, NoJob, Serves, Service, SourceId, Step, Task};
use sinbin_simulator::client_model::EchoTalk;
use sinbin_simulator::{Faults, Plan, Rng, Scripted, Simulation};

/// The place in which a connection panics. In addition, it always panics when it is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PanicSite {
    Connect,
    Step,
    End,
    Payload,
}

struct Rotten(PanicSite);

struct Conn(PanicSite);

impl Service for Rotten {
    type Conn = Conn;
    type Job = NoJob;

    fn connect(&self, _: SourceId) -> Conn {
        assert!(self.0 != PanicSite::Connect, "planted");
        Conn(self.0)
    }
}

struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        panic!("planted in what was thrown");
    }
}

impl<H: Serves<Rotten>> Task<H> for Conn {
    fn resume(self: Pin<&mut Self>, _: &mut Cx<'_, H>) -> Step {
        match self.0 {
            PanicSite::Step => panic!("planted"),
            PanicSite::Payload => std::panic::panic_any(Payload),
            _ => Step::Done,
        }
    }

    fn end(self: Pin<&mut Self>, _: &mut Cx<'_, H>) {
        assert!(self.0 != PanicSite::End, "planted");
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        // A panic during a panic would abort the process.
        assert!(std::thread::panicking(), "planted in a destructor");
    }
}

#[test]
fn it_is_reported_by_its_run() {
    for place in [PanicSite::Connect, PanicSite::Step, PanicSite::End, PanicSite::Payload] {
        for seed in 0..20 {
            let client_model = |_: &mut Rng| EchoTalk;
            let plan = Plan { faults: Faults::default(), ..Plan::endless(8, 1000) };
            let outcome = Simulation::new(Rotten(place), &plan, Rng::seeded(seed), client_model).run();
            let failure = outcome.expect_err("it panics");
            assert!(failure.what.contains("planted") || place == PanicSite::Payload, "{place:?}: {failure}");
        }
    }
}

#[test]
fn a_scripted_one_says_so_too() {
    for place in [PanicSite::Connect, PanicSite::Step, PanicSite::End, PanicSite::Payload] {
        let mut sim = Scripted::new(Rotten(place), &Plan::friendly(3), Rng::seeded(0));
        for _ in 0..3 {
            sim.connect(EchoTalk);
        }
        assert!(sim.wait(Duration::from_secs(1)).is_err(), "{place:?}");
        assert!(sim.end().outcome.is_err(), "{place:?}");
    }
}
