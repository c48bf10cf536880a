//! The plot of `--plot`: the times of requests by their quantiles, and the rates in the windows, as SVG.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::lap::Lap;
use super::stats::{per_second, span};
use super::table::Column;

/// The size of a plot, in pixels.
const SIZE: (u32, u32) = (720, 640);

/// Legible on a light and on a dark page, because the background of a plot is transparent.
const TEXT: RGBColor = RGBColor(0x80, 0x80, 0x80);
const CLIENTS: [RGBColor; 3] =
    [RGBColor(0x1f, 0x9e, 0x89), RGBColor(0xd9, 0x7b, 0x29), RGBColor(0x8a, 0x8f, 0xa3)];

/// The number of times by which each power of ten of the quantiles is divided.
const STEPS: u32 = 20;

/// The greatest number of nines of a quantile.
const NINES: u32 = 5;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes the plot of the clients to `path`.
///
/// # Errors
///
/// Fails if the file cannot be written.
pub(crate) fn write(path: &Path, clients: &[Column<'_>], laps: &[Lap]) -> Result<(), Box<dyn Error>> {
    let svg = draw(clients, laps)?;
    fs::write(path, svg).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(())
}

/// Returns the plot as the text of an SVG file.
fn draw(clients: &[Column<'_>], laps: &[Lap]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let (above, below) = root.split_vertically(SIZE.1 * 3 / 5);
        times(&above, clients)?;
        rates(&below, laps)?;
        root.present()?;
    }
    Ok(svg)
}

/// Draws the times. The axis of quantiles is stretched at its end, so that the slowest requests are visible.
fn times(area: &Area<'_>, clients: &[Column<'_>]) -> Result<(), Box<dyn Error>> {
    let measured = || clients.iter().filter(|client| client.stats.count() > 0);
    let least = measured().map(|client| client.stats.times().min()).min().unwrap_or(1).max(1);
    let greatest = measured().map(|client| client.stats.times().max()).max().unwrap_or(1).max(least + 1);
    let text = ("sans-serif", 13).into_font().color(&TEXT);
    let mut chart = ChartBuilder::on(area)
        .caption("time of a request, by quantile", ("sans-serif", 16).into_font().color(&TEXT))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..f64::from(NINES), (least..greatest).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(TEXT.mix(0.3))
        .axis_style(TEXT)
        .label_style(text.clone())
        .x_labels(NINES as usize + 1)
        .x_label_formatter(&|nines| quantile_name(*nines))
        .y_label_formatter(&|nanos| span(*nanos))
        .draw()?;
    for (client, color) in clients.iter().zip(CLIENTS.into_iter().cycle()) {
        let stats = client.stats;
        if stats.count() == 0 {
            continue;
        }
        let point = |step: u32| {
            let nines = f64::from(step) / f64::from(STEPS);
            (nines, stats.times().value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1))
        };
        let points: Vec<_> = (0..=NINES * STEPS).map(point).collect();
        let line = [PathElement::new(points, color.stroke_width(2))];
        let title = if client.title.is_empty() { "clients" } else { &client.title };
        chart
            .draw_series(line)?
            .label(title.to_owned())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(text)
        .border_style(TRANSPARENT)
        .draw()?;
    Ok(())
}

/// Returns the name of a quantile, from the number of its nines: 0 is p0, 1 is p90, 2 is p99.
fn quantile_name(nines: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the labels are at whole numbers"
    )]
    let nines = nines.round() as usize;
    match nines {
        0 => "p0".to_owned(),
        1 => "p90".to_owned(),
        2 => "p99".to_owned(),
        more => format!("p99.{}", "9".repeat(more - 2)),
    }
}

/// Draws the rates of all clients, one part of the measurement after the other.
fn rates(area: &Area<'_>, laps: &[Lap]) -> Result<(), Box<dyn Error>> {
    let mut lines: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut begin = 0.0;
    for lap in laps {
        for part in &lap.parts {
            let (length, counts) = part.stats.windows(lap.seconds);
            let length = length.as_secs_f64();
            let point = |(index, count): (u32, &u64)| {
                (begin + (f64::from(index) + 0.5) * length, per_second(*count, length))
            };
            lines.push((0..).zip(counts).map(point).collect());
        }
        begin += lap.seconds;
    }
    // The order of the clients in the table.
    if let [_, slow, beside] = &mut lines[..] {
        std::mem::swap(slow, beside);
    }
    let most = lines.iter().flatten().map(|(_, rate)| *rate).fold(1.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption("requests per second, by second", ("sans-serif", 16).into_font().color(&TEXT))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..begin.max(1e-3), 0.0..most)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(TEXT.mix(0.3))
        .axis_style(TEXT)
        .label_style(("sans-serif", 13).into_font().color(&TEXT))
        .draw()?;
    for (line, color) in lines.into_iter().zip(CLIENTS.into_iter().cycle()) {
        chart.draw_series([PathElement::new(line, color.stroke_width(2))])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::cpu::Share;
    use super::super::lap::{Part, Plan};
    use super::super::stats::Stats;
    use super::*;

    fn lap(titles: &[&str], count: u64) -> Lap {
        let time = Duration::from_secs(1);
        let part = |title: &&str| {
            let mut stats = Stats::new(time, false);
            (0..count).for_each(|at| stats.record(Duration::from_micros(20 + at), Duration::from_millis(at)));
            Part { plan: Plan::one(*title, 1), stats }
        };
        let parts = titles.iter().map(part).collect();
        Lap { parts, seconds: 1.0, asked: time, share: Share::default(), is_steady: true }
    }

    #[test]
    fn a_plot_names_clients_and_quantiles() {
        let laps = [lap(&["alone"], 1000), lap(&["slow", "beside"], 1000)];
        let svg = draw(&super::super::columns(&laps), &laps).unwrap();
        for text in ["<svg", "alone", "slow", "beside", "p99.9", "requests per second", "</svg>"] {
            assert!(svg.contains(text), "{text}: {svg:.2000}");
        }
        assert!(svg.matches("<polyline").count() >= 6, "{svg:.2000}");
    }

    #[test]
    fn a_plot_of_nothing_is_empty() {
        let laps = [lap(&[""], 0)];
        assert!(draw(&super::super::columns(&laps), &laps).unwrap().contains("</svg>"));
        assert!(draw(&[], &[]).unwrap().contains("</svg>"));
    }

    #[test]
    fn quantiles_have_names() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 5.0].map(quantile_name), ["p0", "p90", "p99", "p99.9", "p99.999"]);
    }
}
