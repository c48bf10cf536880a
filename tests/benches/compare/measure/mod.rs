//! The measurements and their common parts: every round measures each server once, in a rotating order.

mod beside;
mod counter;
mod cpu;
mod crawl;
mod instructions;
mod loris;
mod memory;
mod mixed;
mod recording;
mod sandbox;
mod services;
mod switch;
mod syscalls;
mod throughput;

use std::io;
use std::path::{Path, PathBuf};
use std::slice;

use clap::ValueEnum;

use crate::figure::{Figure, absolute};
use crate::load::Load;
use crate::machine::{self, Machine};
use crate::options::{Measurement, Plan};
use crate::plots;
use crate::programs::{self, Programs, Sandbox, Services};
use crate::report::Report;
use crate::server::{Server, Setup, Who};

/// The number of connections in "many connections", unless the limit of open files is too low.
const MANY: usize = 8000;

/// Runs the planned measurements and prints the report. Returns false if there were problems, which the report lists.
pub(crate) fn all(plan: Plan) -> io::Result<bool> {
    let mut bench = Bench::prepare(plan)?;
    for &name in Measurement::value_variants() {
        if bench.plan.wants(name) {
            name.run(&mut bench);
        }
    }
    println!("{}", bench.report.markdown());
    if let Some(directory) = &bench.plan.plots {
        // Cargo runs a benchmark in the directory of its package.
        let directory = &Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(directory);
        let written =
            plots::write(&bench.report, directory).map_err(|error| io::Error::other(error.to_string()))?;
        eprintln!("plots in {}: {}", directory.display(), written.join(", "));
    }
    Ok(!bench.report.has_problems())
}

impl Measurement {
    fn run(self, bench: &mut Bench) {
        match self {
            Self::Throughput => throughput::run(bench),
            Self::Syscalls => syscalls::run(bench),
            Self::Memory => memory::run(bench),
            Self::Mixed => mixed::run(bench),
            Self::Loris => loris::run(bench),
            Self::Sandbox => sandbox::run(bench),
            Self::Recording => recording::run(bench),
            Self::Instructions => instructions::run(bench),
            Self::Switch => switch::run(bench),
            Self::Services => services::run(bench),
            Self::Crawl => crawl::run(bench),
        }
    }
}

/// The result of one server in one round: a value for each figure, and a problem, if there was one.
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
    programs: Programs,
    /// The examples that switch tasks; empty if they are not needed.
    switch: PathBuf,
    switch_async: PathBuf,
    many: usize,
    report: Report,
}

impl Bench {
    fn prepare(plan: Plan) -> io::Result<Self> {
        let mut planned = Measurement::value_variants().iter().filter(|&&name| plan.wants(name));
        let others = [Measurement::Switch, Measurement::Services, Measurement::Crawl];
        let servers = !plan.peers_only && planned.any(|name| !others.contains(name));
        let crawl = !plan.peers_only && plan.wants(Measurement::Crawl);
        let services = crawl || (!plan.peers_only && plan.wants(Measurement::Services));
        let switch = !plan.peers_only && plan.wants(Measurement::Switch);
        let sandbox = crawl || (!plan.peers_only && plan.wants(Measurement::Sandbox));
        let example = |name| if switch { programs::build_example(name) } else { Ok(PathBuf::new()) };
        let open_files = machine::raise_open_files()?;
        let mut bench = Self {
            machine: Machine::look()?,
            programs: Programs {
                sinbin: if servers || crawl { programs::build_sinbin()? } else { PathBuf::new() },
                sandbox: if sandbox { Sandbox::build()? } else { Sandbox::default() },
                services: if services { Services::build()? } else { Services::default() },
            },
            switch: example("switch")?,
            switch_async: example("switch_async")?,
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

    /// Checks that sinbin answers a request, before anything is measured.
    fn probe(&self) -> io::Result<()> {
        for (who, workers) in [(Who::SinbinSlices, 0), (Who::Sinbin, 1), (Who::SinbinAsync, 1)] {
            let setup = Setup { workers: Some(workers), ..Setup::of(who) };
            Server::start(&setup, &self.programs)
                .and_then(|server| Load::connect(server.address, 1))
                .map_err(|error| io::Error::other(format!("{}: {error}", who.name())))?;
        }
        Ok(())
    }

    fn describe(&mut self, open_files: usize) {
        let (rounds, window) = (self.plan.rounds(), self.plan.window().as_millis());
        let machine = self.machine.describe();
        self.report.note(format!(
            "{machine}; {rounds} rounds, windows of {window} ms; every round measures each server once, in a fresh \
             process, and ratios are computed within a round. Verdicts use the figures as printed."
        ));
        if !self.plan.peers_only {
            self.report.note(
                "\"sinbin, async fn\" is the same command with the same service, written as an `async fn`; \
                 in the other columns of sinbin the service is a state machine.",
            );
        }
        if self.machine.server_core == self.machine.load_core {
            self.report.note("There is only one core, which servers and load share.");
        } else {
            let (server, load) = (self.machine.server_core, self.machine.load_core);
            self.report.note(format!(
                "Servers run on core {server}, the load on core {load}, unless said otherwise."
            ));
        }
        if self.many < MANY {
            let many = self.many;
            self.report.note(format!(
                "At most {open_files} files can be open, so {many} connections are used instead of {MANY}."
            ));
        }
    }

    /// Measures a figure for which one round suffices.
    fn once(
        &mut self,
        who: &[Who],
        figure: &mut Figure,
        mut measure: impl FnMut(&mut Self, Who) -> io::Result<f64>,
    ) {
        self.turns(who, 0, slice::from_mut(figure), |bench, who| Ok(Cell::of([measure(bench, who)?])));
        eprintln!("{}: {}", figure.name, progress(figure, 0));
    }

    /// Measures some figures in one round.
    fn round(
        &mut self,
        who: &[Who],
        round: usize,
        figures: &mut [Figure],
        measure: impl FnMut(&mut Self, Who) -> io::Result<Cell>,
    ) {
        self.turns(who, round, figures, measure);
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

    /// Measures each server in turn.
    fn turns(
        &mut self,
        who: &[Who],
        round: usize,
        figures: &mut [Figure],
        mut measure: impl FnMut(&mut Self, Who) -> io::Result<Cell>,
    ) {
        let mut who: Vec<_> =
            who.iter().copied().filter(|who| !(self.plan.peers_only && who.is_sinbin())).collect();
        if who.is_empty() {
            return;
        }
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
    }

    /// Starts a server on the server core.
    fn server(&self, who: Who) -> io::Result<Server> {
        let setup = Setup { core: Some(self.machine.server_core), ..Setup::of(who) };
        Server::start(&setup, &self.programs)
    }
}

fn progress(figure: &Figure, round: usize) -> String {
    let values = Who::ALL.into_iter().filter_map(|who| {
        let value = figure.value(who, round)?;
        Some(format!("{} {}", who.name(), absolute(value)))
    });
    values.collect::<Vec<_>>().join(", ")
}
