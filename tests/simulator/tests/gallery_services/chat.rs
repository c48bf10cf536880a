//! The chat. Under all faults it must keep the promises and leave nothing behind. Under those faults that close no
//! connection, each client must receive each line of the others once, in order, or be told how many it missed.

use std::pin::pin;
use std::time::Duration;

use sinbin_core::task::{AsyncService, Handle, NoWakers, Pool, RunContext};
use sinbin_simulator::client_model::{AnyTalk, ClientModel};
use sinbin_simulator::{ClientId, Expected, Faults, Plan, Read, Rng, Scripted, Simulation};

#[path = "../../../../native/examples/chat/service.rs"]
mod service;

use service::Chat;

/// Says a name first, and lines of all kinds then.
struct Talker;

impl ClientModel for Talker {
    fn say(&mut self, rng: &mut Rng, text: &mut Vec<u8>) {
        let line = *rng.pick(&["", "hello", "\u{fffd}\0", "two\nlines", "half of "]);
        text.extend_from_slice(line.as_bytes());
        let length = *rng.pick(&[0, 1, 80, 600]);
        text.resize(text.len() + length as usize, b'x');
        if rng.below(8) > 0 {
            text.push(b'\n');
        }
    }

    fn connected(&mut self, expected: &mut Expected) {
        expected.anything();
    }

    fn heard(&mut self, _: Read<'_>, _: &mut Expected) {}

    fn may_keep(&self) -> usize {
        // A line, and what one read brings.
        512 + (64 << 10)
    }
}

#[test]
fn no_fault_breaks_it() {
    let mut steps = 0;
    for seed in 0..200 {
        let mut rng = Rng::seeded(seed);
        let plan = Plan { idle_timeout: None, ..Plan::drawn(&mut rng) };
        let run_context = RunContext::new(&NoWakers);
        let handle = Handle::new(&run_context);
        let chat = Chat::new(handle);
        let pool = pin!(Pool::growing(u32::try_from(plan.capacity.tasks).expect("a small plan")));
        let service = AsyncService::new(handle, pool.as_ref(), |conn| chat.serve(conn));
        let outcome = Simulation::new(service, &plan, rng, |_: &mut Rng| Talker).run();
        steps += outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")).steps;
    }
    assert!(steps > 10_000, "{steps} steps");
}

/// The time in which faults of the simulator end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The number of clients that talk to each other.
const CLIENTS: usize = 4;

const NUMBERS: [usize; CLIENTS] = [0, 1, 2, 3];

/// The number of lines of each client: some more than wait for a client that does not read.
const LINES: usize = 50;

#[test]
fn each_line_arrives_once_and_in_order_or_is_counted() {
    let missed: usize = (0..100).map(talk).sum();
    assert!(missed > 0, "no client has ever been too slow");
}

/// Returns the number of lines that clients missed.
fn talk(seed: u64) -> usize {
    let closing = Faults { accepts: 0, resets: 0, squatters: 0, cancels: 0, ..Faults::ALL };
    let plan = Plan { faults: closing, max_pause: 100_000, ..Plan::friendly(CLIENTS) };
    let run_context = RunContext::new(&NoWakers);
    let handle = Handle::new(&run_context);
    let chat = Chat::new(handle);
    let pool = pin!(Pool::growing(8));
    let service = AsyncService::new(handle, pool.as_ref(), |conn| chat.serve(conn));
    let mut rng = Rng::seeded(seed);
    let mut sim = Scripted::new(service, &plan, Rng::seeded(seed));

    // Each client joins before the next one connects.
    let mut clients: Vec<(ClientId, Vec<u8>)> = Vec::new();
    for number in 0..CLIENTS {
        let id = sim.connect(AnyTalk);
        clients.push((id, Vec::new()));
        let mut name = format!("{number}\n").into_bytes();
        while !name.is_empty() {
            let sent = sim.send(id, &name).expect("the bytes fit");
            name.drain(..sent);
        }
        // The others are told when it has joined. No other client hears of the first one.
        let join = format!("{number} joins\n");
        let heard_by_all = |clients: &[(ClientId, Vec<u8>)]| {
            clients[..number].iter().all(|(_, heard)| heard.ends_with(join.as_bytes()))
        };
        for _ in 0..100 {
            sim.wait(PATIENCE).expect("no failure");
            for (id, heard) in &mut clients {
                heard.extend(sim.take(*id));
            }
            if heard_by_all(&clients) {
                break;
            }
        }
        assert!(heard_by_all(&clients), "seed {seed}: client {number} has not joined");
    }
    let mut said = [0; CLIENTS];
    let mut unsent: Vec<Vec<u8>> = vec![Vec::new(); CLIENTS];
    while said.iter().any(|said| *said < LINES) || unsent.iter().any(|unsent| !unsent.is_empty()) {
        let number = *rng.pick(&NUMBERS);
        if unsent[number].is_empty() && said[number] < LINES {
            unsent[number] = format!("line {}\n", said[number]).into_bytes();
            said[number] += 1;
        }
        let sent = sim.send(clients[number].0, &unsent[number]).unwrap_or(0);
        unsent[number].drain(..sent);
        // Clients read now and then.
        if rng.below(4) == 0 {
            let (id, heard) = &mut clients[*rng.pick(&NUMBERS)];
            heard.extend(sim.take(*id));
        }
        if rng.below(8) == 0 {
            sim.drive().expect("no failure");
        }
    }
    loop {
        sim.drive().expect("no failure");
        let more = clients.iter_mut().map(|(id, heard)| {
            let more = sim.take(*id);
            heard.extend(&more);
            more.len()
        });
        if more.sum::<usize>() == 0 {
            break;
        }
    }
    let missed = clients.iter().enumerate().map(|(number, (_, heard))| check(seed, number, heard)).sum();
    sim.end().outcome.expect("no failure");
    missed
}

/// Checks the text that a client received, and returns the number of lines that it missed.
fn check(seed: u64, number: usize, heard: &[u8]) -> usize {
    let text = std::str::from_utf8(heard).expect("text");
    let wrong = |what: &str| panic!("seed {seed}: client {number}: {what}: {text}");
    let mut next = [0; CLIENTS];
    let (mut missed, mut joined) = (0, number + 1);
    let mut lines = text.lines();
    if lines.next() != Some("your name?") {
        wrong("the first line is missing");
    }
    for line in lines {
        if let Some(count) = line.strip_prefix('(').and_then(|line| line.strip_suffix(" lines missed)")) {
            missed += count.parse::<usize>().unwrap_or_else(|_| wrong("no number"));
        } else if let Some((from, line)) = line.split_once(": line ") {
            let (from, line): (usize, usize) =
                (from.parse().expect("a name"), line.parse().expect("a number"));
            if from == number || line < next[from] {
                wrong("an own line, or one out of order");
            }
            next[from] = line + 1;
        } else if line == format!("{joined} joins") {
            joined += 1;
        } else {
            wrong(line);
        }
    }
    let received = text.matches(": line ").count() + (joined - number - 1);
    let expected = (CLIENTS - 1) * LINES + (CLIENTS - 1 - number);
    if received + missed != expected {
        wrong(&format!("{received} received and {missed} missed are not {expected}"));
    }
    missed
}
