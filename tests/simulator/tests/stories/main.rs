//! Scripted tests of the shipped services.
//!
//! * `answers.rs`: requests and their answers.
//! * `places.rs`: little capacity for bytes, jobs or connections.
//! * `deadlines.rs`: clients that are silent for too long.
//! * `ends.rs`: clients that leave, are cancelled, or lose their job.

mod answers;
mod deadlines;
mod ends;
mod places;

use std::time::Duration;

use sinbin_core::fib_protocol::{Framing, Rules};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Service, Task};
use sinbin_simulator::client_model::{ClientModel, FibTalk};
use sinbin_simulator::{Capacity, ClientId, Plan, Report, Rng, Scripted, World};

/// Longer than any answer takes, except to a job.
const MOMENT: Duration = Duration::from_millis(1);

/// A job of about 30 ms.
const JOB: &[u8] = b"30\n";
const JOB_ANSWER: &str = "832040\n";

/// Returns a plan with capacity for the listener and one connection.
fn alone(blocks: usize) -> Plan {
    let capacity = Capacity { connections: 1, tasks: 2, sources: 2, jobs: 1, blocks, block_size: 128 };
    Plan { capacity, ..Plan::friendly(1) }
}

fn by(framing: Framing) -> Fib {
    Fib { rules: Rules { framing, ..Rules::default() }, ..Fib::default() }
}

/// Creates a simulation of the Fibonacci service, and a client of it.
fn fib(service: Fib, plan: &Plan) -> (Scripted<Fib, FibTalk>, ClientId) {
    fib_for(FibTalk::new(&service), service, plan)
}

fn fib_for(client_model: FibTalk, service: Fib, plan: &Plan) -> (Scripted<Fib, FibTalk>, ClientId) {
    let mut sim = Scripted::new(service, plan, Rng::seeded(0)).strict();
    let client = sim.connect(client_model);
    (sim, client)
}

/// Sends `says` and the end of the stream. Returns everything that the client receives until the service has closed the
/// connection as well.
#[track_caller]
fn answers_to(mut sim: Scripted<Fib, FibTalk>, client: ClientId, says: &[u8]) -> String {
    say(&mut sim, client, says);
    sim.half_close(client);
    answers_at_last(sim, client)
}

/// Returns everything that a client receives that has half-closed its connection.
#[track_caller]
fn answers_at_last(mut sim: Scripted<Fib, FibTalk>, client: ClientId) -> String {
    let mut all = Vec::new();
    let mut room = [0; 4096];
    loop {
        sim.drive().expect("no failure");
        match sim.receive(client, &mut room) {
            Ok(0) => break,
            Ok(count) => all.extend(&room[..count]),
            Err(error) => panic!("neither an answer nor the end: {error}"),
        }
    }
    end(sim);
    String::from_utf8(all).expect("answers are text")
}

#[track_caller]
fn say<S, T>(sim: &mut Scripted<S, T>, client: ClientId, says: &[u8])
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    assert_eq!(sim.send(client, says).ok(), Some(says.len()), "the bytes fit");
}

/// Runs the service, and returns the bytes that the client receives.
#[track_caller]
fn answers_now<S, T>(sim: &mut Scripted<S, T>, client: ClientId) -> String
where
    S: Service<Conn: Task<World<S, T>>>,
    T: ClientModel,
{
    sim.drive().expect("no failure");
    String::from_utf8_lossy(&sim.take(client)).into_owned()
}

#[track_caller]
fn end<S: Service<Conn: Task<World<S, T>>>, T: ClientModel>(sim: Scripted<S, T>) -> Report {
    sim.end().outcome.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Returns true if the service has closed the connection. The client must have received all bytes before.
fn is_closed<S: Service<Conn: Task<World<S, T>>>, T: ClientModel>(
    sim: &mut Scripted<S, T>,
    client: ClientId,
) -> bool {
    matches!(sim.receive(client, &mut [0]), Ok(0))
}
