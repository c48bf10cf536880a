//! `sinbin perf mixed`, the main result of the talk.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use super::console::{Console, Style};
use super::lap::{self, Conditions, Lap, Part, Plan, Prints};
use super::series::repeat;
use super::stats::per_second;
use super::table::Column;
use crate::cli::MixedArgs;
use sinbin_cli::signals::interrupted;

/// The n of the fast client's requests.
const FAST_N: u32 = 1;

pub(crate) fn run(args: &MixedArgs) -> Result<ExitCode, Box<dyn Error>> {
    let perf = &args.perf;
    let asked = if args.brief { Some(Style::Brief) } else { perf.json.then_some(Style::Json) };
    let console = Console::new(asked);
    super::probe::check(perf.connect, &[FAST_N, args.slow_n], perf.timeout.0)?;
    // Each of the two parts gets half of the time.
    let time = Duration::from_secs(perf.seconds.into()) / 2;
    let conditions = Conditions { args: perf, console: &console, time, prints: Prints::Nothing };
    let series = repeat(&perf.noise, |why| console.note(why), || laps(args, &conditions))?;
    console.end_live();
    let laps = series.laps();
    if series.problem().is_none() {
        match console.style {
            Style::Terminal => super::print_table(&console, columns(laps)),
            Style::Brief => brief(&console, laps),
            Style::Plain | Style::Json => {}
        }
        let shows_kept =
            matches!(console.style, Style::Terminal | Style::Plain) && series.too_noisy.is_none();
        if let Some(kept) = kept(laps).filter(|_| shows_kept) {
            let by_half =
                if laps.iter().any(Lap::is_incomplete) { ", as far as it was measured" } else { "" };
            console.line(format_args!("the fast client keeps {:.1} % of its rate{by_half}", kept * 100.0));
        } else if console.style == Style::Terminal {
            laps.iter().filter(|lap| lap.is_incomplete()).for_each(|lap| {
                console.line(lap.incomplete().trim_start());
            });
        }
    }
    super::finish("mixed", perf, &console, &series)
}

/// Measures the fast client alone, and then beside the slow one, unless there is a problem or a signal.
fn laps(args: &MixedArgs, conditions: &Conditions<'_>) -> Result<Vec<Lap>, Box<dyn Error>> {
    let console = conditions.console;
    let alone = lap::run(conditions, vec![Plan::one("fast client alone", FAST_N)], 0)?;
    if alone.problem().is_some() {
        return Ok(vec![alone]);
    }
    if console.is_plain() {
        alone
            .parts
            .iter()
            .for_each(|part| console.line(format_args!("fast client alone: {}", alone.line(part))));
    }
    if interrupted() {
        return Ok(vec![alone]);
    }
    // The slow client connects first, so that a server that serves one client after the other shows it. A fast client
    // without replies is a valid result: the server serves one client after the other.
    let title = format!("beside fib({})", args.slow_n);
    let fast = Plan { must_answer: false, ..Plan::one(title, FAST_N) };
    let slow = Plan::one("slow client", args.slow_n);
    let beside = lap::run(conditions, vec![slow, fast], 1)?;
    if console.is_plain() && beside.problem().is_none() {
        for part in beside.parts.iter().rev() {
            let title = format!("{}:", part.plan.title);
            console.line(format_args!("{title:<18} {}", beside.line(part)));
        }
    }
    Ok(vec![alone, beside])
}

/// Returns the results of the fast client alone, beside the slow one, and those of the slow one.
fn parts(laps: &[Lap]) -> Option<[(&Lap, &Part); 3]> {
    let [alone, beside] = laps else { return None };
    let ([fast], [slow, beside_slow]) = (&alone.parts[..], &beside.parts[..]) else { return None };
    Some([(alone, fast), (beside, beside_slow), (beside, slow)])
}

fn rate((lap, part): (&Lap, &Part)) -> f64 {
    per_second(part.stats.count(), lap.seconds)
}

/// Returns the share of its rate that the fast client keeps beside the slow one.
fn kept(laps: &[Lap]) -> Option<f64> {
    let [alone, beside, _] = parts(laps)?;
    Some(rate(beside) / rate(alone).max(f64::MIN_POSITIVE))
}

/// Prints the line for programs.
fn brief(console: &Console, laps: &[Lap]) {
    let Some([alone, beside, slow]) = parts(laps) else { return };
    console.line(format_args!(
        "{:.0}\t{:.0}\t{:.1}\t{:.1}\t{:.1}",
        rate(alone),
        rate(beside),
        alone.1.stats.p99_micros(),
        beside.1.stats.p99_micros(),
        rate(slow),
    ));
}

/// Returns the columns of the table: the fast client alone and beside the slow one, then the slow one.
fn columns(laps: &[Lap]) -> Vec<Column<'_>> {
    let mut columns = super::columns(laps);
    if let [_, slow, beside] = &mut columns[..] {
        std::mem::swap(slow, beside);
    }
    columns
}
