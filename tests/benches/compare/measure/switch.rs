//! Instructions per task switch, and per spawned task, counted by callgrind. Noise does not affect them, so one round
//! suffices.

use std::path::Path;
use std::{env, io};

use super::Bench;
use crate::callgrind;
use crate::figure::{Figure, View};
use crate::server::Who;

const TASKS: usize = 64;

/// The number of switches or tasks in the shorter run. The longer run has twice as many, and the difference excludes
/// start and end.
const TIMES: usize = TASKS * 2000;

#[derive(Clone, Copy)]
enum Act {
    Switch,
    Spawn,
}

impl Act {
    /// Returns the programs that are measured.
    fn peers(self) -> &'static [Who] {
        match self {
            Self::Switch => &[Who::Sinbin, Who::SinbinAsync, Who::Bare, Who::Tokio],
            Self::Spawn => &[Who::SinbinAsync, Who::Bare, Who::Tokio],
        }
    }

    fn figure(self) -> Figure {
        match self {
            Self::Switch => {
                let figure = Figure::new(format!("instructions a task switch, {TASKS} tasks"), View::Plain);
                let figure = figure.at_most(Who::Sinbin, 30.0).at_most(Who::SinbinAsync, 44.0);
                figure.at_most_of(Who::SinbinAsync, 1.0, Who::Tokio)
            }
            Self::Spawn => {
                let figure = Figure::new("instructions to spawn a task and end it", View::Plain);
                figure.at_most(Who::SinbinAsync, 235.0)
            }
        }
    }

    fn arguments(self, who: Who) -> &'static [&'static str] {
        match (self, who) {
            (Self::Switch, Who::SinbinAsync) => &["yield"],
            (Self::Switch, Who::Bare) => &["switch-peer", "deque"],
            (Self::Switch, Who::Tokio) => &["switch-peer", "tokio"],
            (Self::Spawn, Who::SinbinAsync) => &["spawn"],
            (Self::Spawn, Who::Bare) => &["spawn-peer", "deque"],
            (Self::Spawn, Who::Tokio) => &["spawn-peer", "tokio"],
            _ => &[],
        }
    }
}

pub(super) fn run(bench: &mut Bench) {
    let missing = callgrind::missing();
    bench.report.note(match &missing {
        Some(reason) => format!("Task switches cannot be counted here: {reason}."),
        None => "Instructions a task switch are counted by callgrind; bare is a `VecDeque<Box<dyn FnMut() -> bool>>` here, \
                 tokio a `LocalSet` whose tasks wake themselves. A spawned task ends at once: bare's is a \
                 boxed closure with a number in it, sinbin's and tokio's are empty `async` blocks, of which a \
                 parent spawns eight at a time."
            .into(),
    });
    for act in [Act::Switch, Act::Spawn] {
        let mut figure = act.figure();
        if missing.is_none() {
            bench.once(act.peers(), &mut figure, |bench, who| measure(bench, act, who));
        }
        bench.report.figures.push(figure);
    }
}

fn measure(bench: &Bench, act: Act, who: Who) -> io::Result<f64> {
    let peer = env::current_exe()?;
    let program = match who {
        Who::Sinbin => &bench.switch,
        Who::SinbinAsync => &bench.switch_async,
        _ => &peer,
    };
    let once = instructions(program, act, who, TIMES)?;
    let twice = instructions(program, act, who, 2 * TIMES)?;
    let each = (twice - once) / TIMES as f64;
    if each < 1.0 { Err(io::Error::other("the program does nothing")) } else { Ok(each) }
}

fn instructions(program: &Path, act: Act, who: Who, times: usize) -> io::Result<f64> {
    let mut command = callgrind::command(None, program)?;
    command.args(act.arguments(who));
    if let Act::Switch = act {
        command.arg(TASKS.to_string());
    }
    let output = command.arg(times.to_string()).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        callgrind::collected(&text)
    } else {
        Err(io::Error::other(format!("callgrind failed: {text}")))
    }
}
