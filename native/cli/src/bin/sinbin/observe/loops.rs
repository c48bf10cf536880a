//! `sinbin ps`: all loops, or the tasks of some.

use std::borrow::Cow;
use std::error::Error;
use std::process::ExitCode;

use sinbin::observe::{Counter, Observed, all_loops};
use sinbin_cli::{complain, output};

use super::args::PsArgs;
use super::json::{LoopJson, SnapshotJson};
use super::samples::Samples;
use super::table::table;
use super::{Nothing, describe, loops, tasks};

pub(crate) fn run(args: &PsArgs) -> Result<ExitCode, Box<dyn Error>> {
    if args.pids.is_empty() {
        return all(args.json);
    }
    let loops = loops(&args.pids)?;
    let samples: Vec<_> =
        loops.iter().map(|observed| args.sample.map(|span| Samples::take(observed, span))).collect();
    let snapshots = loops.iter().map(Observed::snapshot).collect::<Result<Vec<_>, _>>()?;
    if args.json {
        let sampled = |(snapshot, samples): (_, &Option<_>)| match samples {
            Some(samples) => SnapshotJson::new(snapshot).sampled(snapshot, samples),
            None => SnapshotJson::new(snapshot),
        };
        let all: Vec<_> = snapshots.iter().zip(&samples).map(sampled).collect();
        output::line_or_end(serde_json::to_string(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    for (number, (snapshot, samples)) in snapshots.iter().zip(&samples).enumerate() {
        if number > 0 {
            output::line_or_end("");
        }
        output::line_or_end(tasks::list(snapshot, samples.as_ref()).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn all(json: bool) -> Result<ExitCode, Box<dyn Error>> {
    let (loops, failures) = all_loops()?;
    for failure in &failures {
        complain(failure);
    }
    let states = loops.iter().map(Observed::state).collect::<Result<Vec<_>, _>>()?;
    if json {
        let all: Vec<_> = states.iter().map(LoopJson::new).collect();
        output::line_or_end(serde_json::to_string(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    if states.is_empty() {
        return Err(failures.into_iter().next().map_or_else(|| Nothing.into(), Into::into));
    }
    let rows: Vec<_> = states
        .iter()
        .map(|state| {
            let age = state.started.elapsed().unwrap_or_default();
            let busy = state.busy_for();
            let phase = match busy.is_zero() {
                true => state.phase.name().to_owned(),
                false => format!("{} for {}", state.phase.name(), describe::span(busy)),
            };
            [
                Cow::from(state.pid.to_string()),
                state.number.to_string().into(),
                describe::span(age).into(),
                if state.draining { format!("{phase}, draining") } else { phase }.into(),
                format!("{}/{}", state.counter(Counter::Open), state.max_connections).into(),
                state.steps.to_string().into(),
                state.service.as_deref().map_or("", describe::short).into(),
            ]
        })
        .collect();
    let text = table(["PID", "LOOP", "AGE", "PHASE", "CONNECTIONS", "STEPS", "SERVICE"], &rows);
    output::line_or_end(text.trim_end());
    Ok(ExitCode::SUCCESS)
}
