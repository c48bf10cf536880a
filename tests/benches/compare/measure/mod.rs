//! The measurements, and what they share: in every round each server has its turn, in an order that rotates.

mod counter;
mod memory;
mod mixed;
mod switch;
mod syscalls;
mod throughput;

use std::io;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::figure::{Figure, absolute};
use crate::load::Load;
use crate::machine::{self, Machine};
use crate::options::{Measurement, Plan};
use crate::report::Report;
use crate::server::{self, Server, Who};

/// What "many connections" means, unless too few files may be open.
const MANY: usize = 8000;

/// Runs what is planned and prints it. False: something went wrong, and the report says what.
pub(crate) fn all(plan: Plan) -> io::Result<bool> {
    let mut bench = Bench::prepare(plan)?;
    for &name in Measurement::value_variants() {
        if bench.plan.wants(name) {
            name.run(&mut bench);
        }
    }
    println!("{}", bench.report.markdown());
    Ok(!bench.report.has_problems())
}

impl Measurement {
    fn run(self, bench: &mut Bench) {
        match self {
            Self::Throughput => throughput::run(bench),
            Self::Syscalls => syscalls::run(bench),
            Self::Memory => memory::run(bench),
            Self::Mixed => mixed::run(bench),
            Self::Switch => switch::run(bench),
        }
    }
}

/// What one server reached in one round: a value for each figure, and what is wrong with them.
struct Cell {
    values: Vec<f64>,
    flaw: Option<String>,
}

impl Cell {
    fn of(values: impl Into<Vec<f64>>) -> Self {
        Self { values: values.into(), flaw: None }
    }
}

struct Bench {
    plan: Plan,
    machine: Machine,
    /// The command, and the example that switches tasks; empty when they are not needed.
    sinbin: PathBuf,
    switch: PathBuf,
    many: usize,
    report: Report,
}

impl Bench {
    fn prepare(plan: Plan) -> io::Result<Self> {
        let servers =
            [Measurement::Throughput, Measurement::Syscalls, Measurement::Memory, Measurement::Mixed];
        let servers = !plan.peers_only && servers.into_iter().any(|name| plan.wants(name));
        let switch = !plan.peers_only && plan.wants(Measurement::Switch);
        let open_files = machine::raise_open_files()?;
        let mut bench = Self {
            machine: Machine::look()?,
            sinbin: if servers { server::build_sinbin()? } else { PathBuf::new() },
            switch: if switch { server::build_switch()? } else { PathBuf::new() },
            many: MANY.min(open_files / 2),
            report: Report::default(),
            plan,
        };
        if servers {
            bench.probe()?;
        }
        bench.describe(open_files);
        Ok(bench)
    }

    /// Has sinbin answer once: if it does not, there is nothing to compare.
    fn probe(&self) -> io::Result<()> {
        for workers in [0, 1] {
            Server::start(Who::Sinbin, &self.sinbin, None, Some(workers))
                .and_then(|server| Load::connect(server.address, 1))
                .map_err(|error| io::Error::other(format!("sinbin with --workers {workers}: {error}")))?;
        }
        Ok(())
    }

    fn describe(&mut self, open_files: usize) {
        let (rounds, window) = (self.plan.rounds(), self.plan.window().as_millis());
        let machine = self.machine.describe();
        self.report.note(format!(
            "{machine}; {rounds} rounds, windows of {window} ms; in every round each server has its turn, on a fresh \
             process, and ratios are taken within a round. Verdicts are passed on the figures as printed."
        ));
        if self.machine.server_core == self.machine.load_core {
            self.report.note("There is only one core, so that servers and load share it everywhere.");
        } else {
            let (server, load) = (self.machine.server_core, self.machine.load_core);
            self.report.note(format!(
                "Servers run on core {server}, the load on core {load}, unless said otherwise."
            ));
        }
        if self.many < MANY {
            let many = self.many;
            self.report
                .note(format!("No more than {open_files} files may be open, so that {MANY} became {many}."));
        }
    }

    /// One round of some figures: each server in turn.
    fn round(
        &mut self,
        who: &[Who],
        round: usize,
        figures: &mut [Figure],
        mut measure: impl FnMut(&mut Self, Who) -> io::Result<Cell>,
    ) {
        let mut who: Vec<_> =
            who.iter().copied().filter(|who| !(self.plan.peers_only && who.is_sinbin())).collect();
        let first = round % who.len();
        who.rotate_left(first);
        for who in who {
            let flaw = match measure(self, who) {
                Ok(cell) => {
                    for (figure, value) in figures.iter_mut().zip(cell.values) {
                        figure.add(round, who, value);
                    }
                    cell.flaw
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(flaw) = flaw {
                let (name, round) = (&figures[0].name, round + 1);
                self.report.problem(format!("{}, {name}, round {round}: {flaw}", who.name()));
                figures.iter_mut().for_each(|figure| figure.flawed(who));
            }
        }
        for figure in figures {
            eprintln!(
                "round {}/{}: {}: {}",
                round + 1,
                self.plan.rounds(),
                figure.name,
                progress(figure, round)
            );
        }
    }

    /// A server on its core.
    fn server(&self, who: Who) -> io::Result<Server> {
        Server::start(who, &self.sinbin, Some(self.machine.server_core), None)
    }
}

fn progress(figure: &Figure, round: usize) -> String {
    let values = Who::ALL.into_iter().filter_map(|who| {
        let value = figure.value(who, round)?;
        Some(format!("{} {}", who.name(), absolute(value)))
    });
    values.collect::<Vec<_>>().join(", ")
}
