//! The writes as a picture: commands a second over requests in flight, a line for each system.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::report::Report;

const COLOURS: [RGBColor; 5] = [
    RGBColor(0x00, 0x5f, 0x87),
    RGBColor(0xd7, 0x5f, 0x00),
    RGBColor(0x5f, 0x87, 0x00),
    RGBColor(0xaf, 0x87, 0xaf),
    RGBColor(0x80, 0x80, 0x80),
];

/// Draws the writes of so many bytes.
pub fn draw(report: &Report, bytes: usize, path: &Path) -> anyhow::Result<()> {
    let medians = report.medians();
    let mut lines: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for (row, sample) in &medians {
        if row.work != "write" || row.bytes != bytes {
            continue;
        }
        let point = (row.in_flight as f64, sample.per_second);
        match lines.iter_mut().find(|(system, _)| *system == row.system) {
            Some((_, points)) => points.push(point),
            None => lines.push((&row.system, vec![point])),
        }
    }
    let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
    let most = points().map(|point| point.0).fold(1.0, f64::max);
    let (low, high) = points().fold((f64::MAX, 1.0_f64), |(low, high), point| {
        (low.min(point.1), high.max(point.1))
    });
    let area = SVGBackend::new(path, (760, 440)).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            format!("acknowledged writes of {bytes} bytes, three nodes"),
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((1.0..most * 1.2).log_scale(), (low * 0.7..high * 1.5).log_scale())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc("requests in flight")
        .y_desc("a second")
        .draw()
        .map_err(failed)?;
    for ((system, points), colour) in lines.iter().zip(COLOURS) {
        let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
        chart
            .draw_series(series)
            .map_err(failed)?
            .label(*system)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()
        .map_err(failed)?;
    area.present().map_err(failed)
}

fn failed<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("the picture could not be drawn: {error}")
}
