//! `sinbin perf`: the talk's two clients, alone and together.

pub(crate) mod advice;
mod blocks;
mod client;
mod console;
mod cpu;
mod json;
mod lap;
mod latency;
mod live;
mod mixed;
mod noise;
#[cfg(feature = "plot")]
mod plot;
mod probe;
mod series;
mod stats;
mod table;
mod throughput;
mod ticker;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{Perf, PerfArgs};

use self::console::{Console, Style};
use self::json::SeriesJson;
use self::lap::{Conditions, Lap, Part, Plan, Prints};
use self::series::{Series, repeat};
use self::table::Column;

pub(crate) use self::noise::NoiseArgs;

pub(crate) fn run(command: &Perf) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Perf::Latency(args) => latency::run(args),
        Perf::Throughput(args) => throughput::run(args),
        Perf::Mixed(args) => mixed::run(args),
    }
}

/// Measures clients of a single plan, and prints the results. `prints` are the lines that are printed meanwhile, if
/// stdout is not a terminal.
fn measure(
    command: &'static str,
    args: &PerfArgs,
    prints: Prints,
    plan: impl Fn() -> Plan,
) -> Result<ExitCode, Box<dyn Error>> {
    let console = Console::new(args.json.then_some(Style::Json));
    probe::check(args.connect, &[plan().n], args.timeout.0)?;
    let prints = if console.is_plain() { prints } else { Prints::Nothing };
    let time = Duration::from_secs(args.seconds.into());
    let conditions = Conditions { args, console: &console, time, prints };
    let series = repeat(
        &args.noise,
        |why| console.note(why),
        || {
            let lap = lap::run(&conditions, vec![plan()], 0)?;
            if console.is_plain() {
                print_summary(&console, &lap);
            }
            Ok(vec![lap])
        },
    )?;
    console.end_live();
    if console.style == Style::Terminal {
        series.laps().iter().for_each(|lap| print_summary(&console, lap));
        print_table(&console, columns(series.laps()));
    }
    finish(command, args, &console, &series)
}

/// Prints the summary of the clients of a part.
fn print_summary(console: &Console, lap: &Lap) {
    for part in lap.parts.iter().filter(|part| part.stats.count() > 0) {
        console.line(part.stats.summary(lap.seconds, &lap.incomplete()));
    }
}

/// Prints the table, unless it has no numbers.
fn print_table(console: &Console, columns: Vec<Column<'_>>) {
    if columns.iter().any(|column| column.stats.count() > 0) {
        console.line(format_args!("\n{}", table::table(&columns, console.is_coloured()).trim_end()));
    }
}

/// Returns the columns of the table: one for each kind of clients.
fn columns(laps: &[Lap]) -> Vec<Column<'_>> {
    let mut columns = Vec::new();
    for Lap { parts, seconds, .. } in laps {
        let title = |part: &Part| part.plan.title.clone();
        columns.extend(parts.iter().map(|part| Column {
            title: title(part),
            stats: &part.stats,
            seconds: *seconds,
        }));
    }
    columns
}

/// Prints what programs read, and that the machine was too noisy. Fails if the measurement had a problem or measured
/// nothing.
fn finish(
    command: &'static str,
    args: &PerfArgs,
    console: &Console,
    series: &Series,
) -> Result<ExitCode, Box<dyn Error>> {
    match (console.style, &series.too_noisy) {
        (Style::Json, _) => {
            console.line(serde_json::to_string(&SeriesJson::new(command, args, series))?);
        }
        (Style::Brief, Some(why)) => console.note(why),
        (_, Some(why)) => console.line(why),
        (_, None) => {}
    }
    #[cfg(feature = "plot")]
    if let Some(path) = &args.plot {
        plot::write(path, &columns(series.laps()), series.laps())?;
    }
    match series.problem() {
        Some(problem) => Err(problem.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}
