//! The plots of `--plots`: the figures of the tables as pictures.

use std::error::Error;
use std::fs;
use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

use crate::figure::{Figure, median};
use crate::report::Report;
use crate::server::Who;

/// The width of the bars with their figures, in pixels.
const BARS: u32 = 470;
/// The height of a row, in pixels.
const ROW: u32 = 26;
/// The room for a character of a label, in pixels.
const CHARACTER: u32 = 6;

/// Legible on a light and on a dark page, because the background of a plot is transparent.
const TEXT: RGBColor = RGBColor(0x80, 0x80, 0x80);
const OURS: RGBColor = RGBColor(0x1f, 0x9e, 0x89);
const PEERS: RGBColor = RGBColor(0x8a, 0x8f, 0xa3);

/// A plot of the figures whose names begin with `prefix` and contain `part`.
struct Plot {
    file: &'static str,
    title: &'static str,
    prefix: &'static str,
    part: &'static str,
}

const PLOTS: [Plot; 4] = [
    Plot {
        file: "throughput.svg",
        title: "requests per second, relative to a bare epoll loop",
        prefix: "requests/s, ",
        part: "connection",
    },
    Plot {
        file: "memory.svg",
        title: "bytes of memory per idle connection",
        prefix: "bytes RSS for each of",
        part: "idle",
    },
    Plot {
        file: "switch.svg",
        title: "instructions per task switch",
        prefix: "instructions a task switch",
        part: "",
    },
    Plot {
        file: "beside.svg",
        title: "p99 of a fast client beside fib(35), in µs",
        prefix: "fast client beside fib(35)",
        part: "p99",
    },
];

/// A bar: the median of a server's rounds, with the least and the greatest of them.
struct Bar {
    label: String,
    is_ours: bool,
    median: f64,
    rounds: Range<f64>,
}

/// Writes a plot for each kind of figure that was measured into `directory`. Returns the names of the files.
///
/// # Errors
///
/// Fails if the directory or a file cannot be written.
pub(crate) fn write(report: &Report, directory: &Path) -> Result<Vec<&'static str>, Box<dyn Error>> {
    fs::create_dir_all(directory)
        .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let mut written = Vec::new();
    for plot in PLOTS {
        let figures = report.figures.iter();
        let figures: Vec<_> = figures
            .filter(|figure| figure.name.starts_with(plot.prefix) && figure.name.contains(plot.part))
            .collect();
        let bars: Vec<_> = figures.iter().flat_map(|figure| bars(figure, &plot, figures.len() > 1)).collect();
        if bars.is_empty() {
            continue;
        }
        let path = directory.join(plot.file);
        draw(&path, plot.title, &bars)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        written.push(plot.file);
    }
    Ok(written)
}

/// Returns the bars of a figure, labelled with the rest of its name if a plot has several figures.
fn bars(figure: &Figure, plot: &Plot, is_one_of_several: bool) -> Vec<Bar> {
    let bar = |who: Who| {
        let rounds = figure.shown(who);
        let least = rounds.iter().copied().reduce(f64::min)?;
        let greatest = rounds.iter().copied().reduce(f64::max)?;
        let of = figure.name.strip_prefix(plot.prefix).filter(|_| is_one_of_several);
        let label = of.map_or_else(String::new, |of| format!("{}: ", of.trim_start_matches([',', ' '])));
        Some(Bar {
            label: label + who.name(),
            is_ours: who.name().starts_with("sinbin"),
            median: median(&rounds)?,
            rounds: least..greatest,
        })
    };
    Who::ALL.into_iter().filter_map(bar).collect()
}

fn draw(path: &Path, title: &str, bars: &[Bar]) -> Result<(), Box<dyn Error>> {
    let rows = u32::try_from(bars.len())?;
    let labels = bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
    let labels = u32::try_from(labels)? * CHARACTER;
    let root = SVGBackend::new(path, (labels + BARS, rows * ROW + 90)).into_drawing_area();
    let most = bars.iter().map(|bar| bar.rounds.end).fold(0.0, f64::max) * 1.12;
    let text = ("sans-serif", 13).into_font().color(&TEXT);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16).into_font().color(&TEXT))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(labels)
        .build_cartesian_2d(0.0..most, (0..rows - 1).into_segmented())?;
    let label = |row: &SegmentValue<u32>| match row {
        SegmentValue::CenterOf(row) if *row < rows => {
            bars.get((rows - 1 - row) as usize).map(|bar| bar.label.clone())
        }
        _ => None,
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(TEXT.mix(0.3))
        .axis_style(TEXT)
        .label_style(text.clone())
        .y_labels(bars.len())
        .y_label_formatter(&|row| label(row).unwrap_or_default())
        .draw()?;
    for (row, bar) in (0..rows).rev().zip(bars) {
        let color = if bar.is_ours { OURS } else { PEERS };
        let (low, high) = (SegmentValue::Exact(row), SegmentValue::Exact(row + 1));
        let mut area = Rectangle::new([(0.0, low), (bar.median, high)], color.mix(0.85).filled());
        area.set_margin(4, 4, 0, 0);
        chart.draw_series([area])?;
        let middle = SegmentValue::CenterOf(row);
        let whisker = [(bar.rounds.start, middle.clone()), (bar.rounds.end, middle.clone())];
        chart.draw_series([PathElement::new(whisker, TEXT.stroke_width(2))])?;
        let value = format!("{:.*}", if bar.median < 10.0 { 2 } else { 0 }, bar.median);
        chart.draw_series([
            EmptyElement::at((bar.rounds.end, middle)) + Text::new(value, (6, -6), text.clone())
        ])?;
    }
    root.present()?;
    Ok(())
}
