//! Instructions a task switch, counted by callgrind: noise does not move them, so that there is only one round.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, io};

use super::Bench;
use crate::figure::{Figure, View};
use crate::machine;
use crate::server::Who;

const TASKS: usize = 64;

/// Switches in the shorter run; the longer makes twice as many, and the difference leaves out start and end.
const SWITCHES: usize = TASKS * 2000;

pub(super) fn run(bench: &mut Bench) {
    let name = format!("instructions a task switch, {TASKS} tasks");
    let mut figure = Figure::new(name, View::Plain).at_most(Who::Sinbin, 30.0);
    match Command::new("valgrind").arg("--version").stdout(Stdio::null()).status() {
        Ok(_) => count(bench, &mut figure),
        Err(error) => bench.report.note(format!("Task switches cannot be counted here: valgrind: {error}.")),
    }
    bench.report.figures.push(figure);
}

fn count(bench: &mut Bench, figure: &mut Figure) {
    bench.report.note(
        "Instructions a task switch are callgrind's; bare is a `VecDeque<Box<dyn FnMut() -> bool>>` there, tokio a \
         `LocalSet` whose tasks wake themselves.",
    );
    for who in [Who::Sinbin, Who::Bare, Who::Tokio] {
        if who.is_sinbin() && bench.plan.peers_only {
            continue;
        }
        match measure(bench, who) {
            Ok(value) => {
                eprintln!("{}: {} {value:.1}", figure.name, who.name());
                figure.add(0, who, value);
            }
            Err(error) => {
                bench.report.problem(format!("{}, {}: {error}", who.name(), figure.name));
                figure.flawed(who);
            }
        }
    }
}

fn measure(bench: &Bench, who: Who) -> io::Result<f64> {
    let peer = env::current_exe()?;
    let (program, role): (&Path, &[&str]) = match who {
        Who::Sinbin => (&bench.switch, &[]),
        Who::Tokio => (&peer, &["switch-peer", "tokio"]),
        _ => (&peer, &["switch-peer", "deque"]),
    };
    let once = instructions(program, role, SWITCHES)?;
    let twice = instructions(program, role, 2 * SWITCHES)?;
    let each = (twice - once) / SWITCHES as f64;
    if each < 1.0 { Err(io::Error::other("the program does not switch")) } else { Ok(each) }
}

fn instructions(program: &Path, role: &[&str], switches: usize) -> io::Result<f64> {
    let mut command = machine::command(None, Path::new("valgrind"))?;
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args(role);
    let output = command.args([TASKS, switches].map(|number| number.to_string())).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    match collected {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(io::Error::other(format!("callgrind failed: {text}"))),
    }
}
