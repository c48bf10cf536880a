use std::time::Duration;

use sinbin_core::echo::{Echo, Upper};
use sinbin_core::fib_service::Fib;
use sinbin_core::{Service, Task};
use sinbin_simulator::client_model::{ClientModel, EchoTalk, FibTalk, UpperTalk};
use sinbin_simulator::{ClientId, Plan, Rng, Scripted, World};

use crate::{JOB, JOB_ANSWER, MOMENT, answers_now, answers_to, end, fib, is_closed, say};

/// Shorter than the duration of a job.
const IDLE: Duration = Duration::from_millis(5);

/// The tolerance of the virtual clock.
const SLACK: Duration = Duration::from_micros(100);

fn fib_service() -> Fib {
    Fib { idle_timeout: Some(IDLE), ..Fib::default() }
}

fn plan() -> Plan {
    Plan { idle_timeout: Some(IDLE), ..Plan::friendly(1) }
}

/// Runs the scene with each service.
fn each(scene: impl Scene) {
    scene.play(fib_service(), FibTalk::new(&fib_service()));
    scene.play(Echo { idle_timeout: Some(IDLE), ..Echo::default() }, EchoTalk);
    scene.play(Upper { idle_timeout: Some(IDLE), ..Upper::default() }, UpperTalk);
}

trait Scene {
    fn with<S, T>(&self, sim: Scripted<S, T>, client: ClientId)
    where
        S: Service<Conn: Task<World<S, T>>>,
        T: ClientModel;

    fn play<S, T>(&self, service: S, client_model: T)
    where
        S: Service<Conn: Task<World<S, T>>>,
        T: ClientModel,
    {
        let mut sim = Scripted::new(service, &plan(), Rng::seeded(0)).strict();
        let client = sim.connect(client_model);
        self.with(sim, client);
    }
}

#[test]
fn a_silent_connection_is_closed_at_its_deadline_and_not_before() {
    struct Silent;

    impl Scene for Silent {
        fn with<S, T>(&self, mut sim: Scripted<S, T>, client: ClientId)
        where
            S: Service<Conn: Task<World<S, T>>>,
            T: ClientModel,
        {
            sim.wait(IDLE - MOMENT).expect("no failure");
            say(&mut sim, client, b"1\n");
            sim.drive().expect("no failure");
            assert!(!sim.take(client).is_empty());
            sim.wait(IDLE - SLACK).expect("no failure");
            assert!(!is_closed(&mut sim, client));
            sim.wait(2 * SLACK).expect("no failure");
            assert!(is_closed(&mut sim, client));
            end(sim);
        }
    }

    each(Silent);
}

#[test]
fn each_request_moves_the_deadline() {
    let (mut sim, client) = fib(fib_service(), &plan());
    for _ in 0..10 {
        say(&mut sim, client, b"1\n");
        assert_eq!(answers_now(&mut sim, client), "1\n");
        sim.wait(IDLE - MOMENT).expect("no failure");
    }
    assert!(!is_closed(&mut sim, client));
    sim.wait(MOMENT + SLACK).expect("no failure");
    assert!(is_closed(&mut sim, client));
    end(sim);
}

#[test]
fn who_takes_nothing_is_closed_at_its_deadline() {
    struct Stuck;

    impl Scene for Stuck {
        fn with<S, T>(&self, mut sim: Scripted<S, T>, client: ClientId)
        where
            S: Service<Conn: Task<World<S, T>>>,
            T: ClientModel,
        {
            sim.narrow(client, 20);
            say(&mut sim, client, &b"1\n".repeat(100));
            sim.wait(IDLE - SLACK).expect("no failure");
            assert_eq!(sim.tasks(), 2);
            sim.wait(2 * SLACK).expect("no failure");
            assert_eq!(sim.take(client).len(), 20);
            assert!(is_closed(&mut sim, client));
            end(sim);
        }
    }

    each(Stuck);
}

#[test]
fn the_time_of_a_job_does_not_count() {
    let (mut sim, client) = fib(fib_service(), &plan());
    say(&mut sim, client, JOB);
    sim.wait(2 * IDLE).expect("no failure");
    assert!(sim.is_computing() && !is_closed(&mut sim, client));
    assert_eq!(answers_to(sim, client, b""), JOB_ANSWER);
}
