//! The results of measurements for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::lap::{Lap, Part};
use super::noise::{Noise, NoiseArgs};
use super::series::Series;
use super::stats::{Stats, per_second};
use crate::cli::PerfArgs;

/// The quantiles of times.
const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

#[derive(Serialize)]
pub(crate) struct SeriesJson<'a> {
    command: &'static str,
    server: String,
    /// True if a signal ended the measurement.
    interrupted: bool,
    problem: Option<String>,
    /// The reason why nothing can be judged.
    too_noisy: Option<&'a str>,
    max_others: Option<f64>,
    max_spread: Option<f64>,
    max_attempts: u32,
    /// The index of the attempt that counts.
    chosen: usize,
    attempts: Vec<AttemptJson<'a>>,
}

#[derive(Serialize)]
struct AttemptJson<'a> {
    #[serde(flatten)]
    noise: NoiseJson,
    /// The reasons why this attempt is too noisy.
    too_noisy: Vec<String>,
    parts: Vec<LapJson<'a>>,
}

/// Shares from 0 to 1; null if unknown.
#[derive(Serialize)]
struct NoiseJson {
    others: Option<f64>,
    stolen: Option<f64>,
    spread: Option<f64>,
}

#[derive(Serialize)]
struct LapJson<'a> {
    seconds: f64,
    seconds_asked: f64,
    #[serde(flatten)]
    noise: NoiseJson,
    clients: Vec<PartJson<'a>>,
}

#[derive(Serialize)]
struct PartJson<'a> {
    name: &'a str,
    n: u32,
    connections: u32,
    pipeline: u32,
    requests: u64,
    requests_per_second: f64,
    /// The times of requests by their quantiles; null without a reply.
    times_ns: Option<BTreeMap<&'static str, u64>>,
    window_seconds: f64,
    /// The requests in each whole window.
    windows: &'a [u64],
    errors: u64,
    unanswered: u64,
    problem: Option<String>,
}

impl<'a> SeriesJson<'a> {
    pub(crate) fn new(command: &'static str, args: &PerfArgs, series: &'a Series) -> Self {
        let NoiseArgs { max_others, max_spread, attempts, .. } = args.noise;
        Self {
            command,
            server: args.connect.to_string(),
            interrupted: series.laps().iter().any(Lap::is_incomplete),
            problem: series.problem(),
            too_noisy: series.too_noisy.as_deref(),
            max_others: max_others.0,
            max_spread: max_spread.0,
            max_attempts: attempts,
            chosen: series.chosen,
            attempts: series
                .attempts
                .iter()
                .map(|attempt| AttemptJson {
                    noise: attempt.noise.into(),
                    too_noisy: attempt.noise.reasons(&args.noise),
                    parts: attempt.laps.iter().map(LapJson::new).collect(),
                })
                .collect(),
        }
    }
}

impl From<Noise> for NoiseJson {
    fn from(noise: Noise) -> Self {
        Self { others: noise.share.others, stolen: noise.share.stolen, spread: noise.spread }
    }
}

impl<'a> LapJson<'a> {
    fn new(lap: &'a Lap) -> Self {
        Self {
            seconds: lap.seconds,
            seconds_asked: lap.asked.as_secs_f64(),
            noise: lap.noise().into(),
            clients: lap.parts.iter().map(|part| PartJson::new(part, lap.seconds)).collect(),
        }
    }
}

impl<'a> PartJson<'a> {
    fn new(part: &'a Part, seconds: f64) -> Self {
        let Part { plan, stats } = part;
        let (length, windows) = stats.windows(seconds);
        Self {
            name: &plan.title,
            n: plan.n,
            connections: plan.connections,
            pipeline: plan.pipeline,
            requests: stats.count(),
            requests_per_second: per_second(stats.count(), seconds),
            times_ns: (stats.count() > 0).then(|| times(stats)),
            window_seconds: length.as_secs_f64(),
            windows,
            errors: stats.errors,
            unanswered: stats.unanswered,
            problem: stats.verdict(),
        }
    }
}

fn times(stats: &Stats) -> BTreeMap<&'static str, u64> {
    QUANTILES.into_iter().map(|(name, quantile)| (name, stats.times().value_at_quantile(quantile))).collect()
}
