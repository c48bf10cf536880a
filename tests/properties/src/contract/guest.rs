//! A guest that answers anything.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sinbin::driven::{Command, ConnectId, Event, LogLevel, SourceHandle, Tally, TurnOutput};
use sinbin::guests::{Fault, Guest};
use sinbin::{Instant, Interest, JobId, Rest};
use sinbin_testkit::tape::Tape;

use super::Scene;
use super::witness::Witness;

/// A guest that also serves as the factory of its successors.
pub struct Unruly<'t> {
    scene: Rc<RefCell<Scene<'t>>>,
    witness: Witness,
}

impl<'t> Unruly<'t> {
    pub fn new(scene: &Rc<RefCell<Scene<'t>>>) -> Self {
        let witness = Witness::new(scene.borrow().block);
        Self { scene: Rc::clone(scene), witness }
    }

    pub fn again(&self) -> Self {
        Self::new(&self.scene)
    }

    pub fn block(&self) -> u32 {
        self.scene.borrow().block
    }
}

impl Guest for Unruly<'_> {
    fn turn(&mut self, now: Instant, _: u32, events: &[Event], input: &[u8]) -> Result<TurnOutput, Fault> {
        self.witness.hear(events, input);
        let scene = &mut *self.scene.borrow_mut();
        if scene.tape.is_over() {
            scene.end();
            return Ok(TurnOutput { rest: Rest::Empty, room: 0, commands: Vec::new(), output: Vec::new() });
        }
        for _ in 0..scene.tape.below(4) {
            scene.act();
        }
        if scene.tape.once_in(32) {
            return Err(Fault("it does not want to".into()));
        }
        let port = scene.address.map_or(1, |address| address.port());
        let answer = answer(&mut scene.tape, &self.witness, now, port);
        if answer.rest == Rest::Empty {
            // The guest may never be called again.
            scene.end();
        }
        self.witness.see(&answer);
        Ok(answer)
    }

    fn counts(&mut self) -> Result<Tally, Fault> {
        let tape = &mut self.scene.borrow_mut().tape;
        match tape.below(3) {
            0 => Ok(Tally::default()),
            1 => Ok(Tally { jobs: u64::MAX, cancelled: u64::MAX, ignored: u64::MAX }),
            _ => Err(Fault("it does not count".into())),
        }
    }
}

fn answer(tape: &mut Tape<'_>, witness: &Witness, now: Instant, port: u16) -> TurnOutput {
    let mut output = Vec::new();
    let commands = (0..tape.below(8)).map(|_| command(tape, witness, port, &mut output)).collect();
    if tape.once_in(16) {
        output.push(0);
    }
    let rest = match tape.below(12) {
        0..=7 => Rest::Ready,
        8 => Rest::Until(now + Duration::from_micros(100)),
        9 => Rest::Until(Instant::ZERO),
        10 => Rest::Stalled,
        _ => Rest::Empty,
    };
    TurnOutput { rest, room: tape.one_of(&[4, 1, 0, 100, u32::MAX]), commands, output }
}

fn command(tape: &mut Tape<'_>, witness: &Witness, port: u16, output: &mut Vec<u8>) -> Command {
    match tape.below(20) {
        0..=4 => Command::Watch { source: handle(tape, witness), interest: Interest::from_bits(tape.any()) },
        5..=7 => Command::Send { source: handle(tape, witness), len: bytes(tape, output) },
        8 | 9 => Command::Unread { source: handle(tape, witness), len: len(tape) },
        10 => Command::Shutdown(handle(tape, witness)),
        11 | 12 => Command::Close(handle(tape, witness)),
        13 | 14 => Command::Submit { job: job(tape), len: bytes(tape, output) },
        15 => Command::Cancel(job(tape)),
        16 | 17 => Command::Connect { request: request(tape), len: endpoint(tape, port, output) },
        18 => Command::Log { level: LogLevel::Trace, len: bytes(tape, output) },
        _ => Command::Abandon(request(tape)),
    }
}

/// Returns a handle, mostly of an existing source.
fn handle(tape: &mut Tape<'_>, witness: &Witness) -> SourceHandle {
    match tape.any::<u8>() {
        byte @ 0..0xf0 => witness.nth(usize::from(byte)).unwrap_or(SourceHandle(byte.into())),
        byte @ 0xf0..0xfe => SourceHandle(u64::from(byte % 8)),
        0xfe => SourceHandle(1 << 32),
        0xff => SourceHandle(tape.any()),
    }
}

fn job(tape: &mut Tape<'_>) -> JobId {
    JobId::from_bits(tape.below(4) as u64)
}

fn request(tape: &mut Tape<'_>) -> ConnectId {
    ConnectId(tape.below(4) as u64)
}

/// Appends an endpoint: the server itself, mostly, so that the guest is its own client.
fn endpoint(tape: &mut Tape<'_>, port: u16, output: &mut Vec<u8>) -> u32 {
    let text = match tape.below(10) {
        8 => String::from("listen:127.0.0.1:0"),
        9 => format!("listen:127.0.0.1:{port}"),
        0..=2 => format!("127.0.0.1:{port}"),
        3 | 4 => format!("name:{port}"),
        5 => String::from("127.0.0.1:1"),
        6 => String::from("other:80"),
        _ => return bytes(tape, output),
    };
    output.extend_from_slice(text.as_bytes());
    u32::try_from(text.len()).unwrap_or(0)
}

fn len(tape: &mut Tape<'_>) -> u32 {
    match tape.any::<u8>() {
        0xff => tape.any(),
        byte => u32::from(byte % 32),
    }
}

/// Appends bytes to the output. Returns the number that the guest claims, which may be wrong.
fn bytes(tape: &mut Tape<'_>, output: &mut Vec<u8>) -> u32 {
    let said: u8 = tape.any();
    let len = usize::from(said % 32);
    match said {
        // Enough bytes to get stuck sooner or later.
        0..64 => output.resize(output.len() + len * 2_000, 0),
        _ => output.extend(tape.piece(len)),
    }
    match said {
        0..64 => u32::try_from(len * 2_000).unwrap_or(0),
        64..240 => u32::try_from(len).unwrap_or(0),
        240..250 => 1,
        _ => tape.any(),
    }
}
