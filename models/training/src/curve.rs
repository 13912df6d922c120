// SPDX-License-Identifier: MPL-2.0
//! Learning curves.

use anyhow::{Context, Result, anyhow};
use dance_corpus::files;
use plotters::prelude::*;
use plotters::style::register_font;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// A learning curve: series of (step, value), for example `train/loss`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve(BTreeMap<String, Vec<(u64, f64)>>);

const HEADER: &str = "step,series,value";

impl Curve {
    /// Adds a point.
    pub fn push(&mut self, series: &str, step: u64, value: f64) {
        self.0.entry(series.into()).or_default().push((step, value));
    }

    /// The points of a series.
    pub fn series(&self, name: &str) -> &[(u64, f64)] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Forgets what came after a step: training goes on from there.
    pub fn truncate(&mut self, step: u64) {
        for points in self.0.values_mut() {
            points.retain(|point| point.0 <= step);
        }
    }

    /// Reads `curve.csv`.
    ///
    /// # Errors
    /// When the file is there and holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        let mut curve = Self::default();
        if !path.exists() {
            return Ok(curve);
        }
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        for (i, line) in text.lines().enumerate() {
            if i == 0 && line == HEADER {
                continue;
            }
            let parsed = || {
                let mut fields = line.split(',');
                let step = fields.next()?.parse().ok()?;
                let series = fields.next()?;
                let value = fields.next()?.parse().ok()?;
                (i > 0 && fields.next().is_none()).then_some((series, step, value))
            };
            let (series, step, value) =
                parsed().with_context(|| format!("{} line {}: {line}", path.display(), i + 1))?;
            curve.push(series, step, value);
        }
        Ok(curve)
    }

    /// Writes `curve.csv`.
    ///
    /// # Errors
    /// As [`files::write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = format!("{HEADER}\n");
        for (series, points) in &self.0 {
            for (step, value) in points {
                writeln!(text, "{step},{series},{value}")?;
            }
        }
        files::write(path, text.as_bytes())
    }

    /// Draws the curve as PNG: one panel for each quantity, with a line for each split.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn plot(&self, path: &Path) -> Result<()> {
        register_font(
            "sans-serif",
            FontStyle::Normal,
            epaint_default_fonts::UBUNTU_LIGHT,
        )
        .map_err(|_| anyhow!("the built-in font is damaged"))?;
        let mut panels: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
        for (name, points) in &self.0 {
            let (split, quantity) = name.split_once('/').unwrap_or(("", name));
            panels.entry(quantity).or_default().push((split, points));
        }
        let columns = panels.len().clamp(1, 2);
        let rows = panels.len().div_ceil(columns).max(1);
        let (width, height) = (640 * columns as u32, 400 * rows as u32);
        let mut pixels = vec![255u8; (3 * width * height) as usize];
        {
            let root = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
            let wrong = |error: &dyn std::fmt::Display| anyhow!("cannot draw the curve: {error}");
            root.fill(&WHITE).map_err(|e| wrong(&e))?;
            for (area, (quantity, lines)) in root.split_evenly((rows, columns)).iter().zip(&panels)
            {
                draw(area, quantity, lines).map_err(|e| wrong(&e))?;
            }
            root.present().map_err(|e| wrong(&e))?;
        }
        let mut png = Vec::new();
        image_png(&mut png, &pixels, width, height)?;
        files::write(path, &png)
    }
}

fn image_png(out: &mut Vec<u8>, pixels: &[u8], width: u32, height: u32) -> Result<()> {
    let mut encoder = png::Encoder::new(out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}

/// The split of a series, and its points.
type Line<'a> = (&'a str, &'a [(u64, f64)]);

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

fn draw(
    area: &Area<'_>,
    quantity: &str,
    lines: &[Line],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, points)| points.iter());
    let finite = || points().map(|p| p.1).filter(|y| y.is_finite());
    let last = points().map(|p| p.0).max().unwrap_or(0).max(1);
    let (low, high) = finite().fold((f64::MAX, f64::MIN), |(l, h), y| (l.min(y), h.max(y)));
    if low > high {
        return Ok(());
    }
    let margin = ((high - low) * 0.05).max(high.abs() * 1e-3).max(1e-12);
    let mut chart = ChartBuilder::on(area)
        .caption(quantity, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(35)
        .y_label_area_size(60)
        .build_cartesian_2d(0..last, low - margin..high + margin)?;
    chart.configure_mesh().x_desc("step").draw()?;
    for (i, (split, points)) in lines.iter().enumerate() {
        let color = Palette99::pick(i).to_rgba();
        let visible = points.iter().filter(|p| p.1.is_finite()).copied();
        chart
            .draw_series(LineSeries::new(visible, color.stroke_width(2)))?
            .label(*split)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 15, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_survives_its_file_and_is_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let mut curve = Curve::default();
        for step in 0..50 {
            curve.push("train/loss", step, 1.0 / (step + 1) as f64);
            curve.push("validation/loss", step, 1.1 / (step + 1) as f64);
        }
        curve.push("validation/f", 49, 0.5);
        curve.push("train/loss", 50, f64::NAN);
        curve.truncate(40);
        let csv = dir.path().join("curve.csv");
        curve.save(&csv).unwrap();
        let loaded = Curve::load(&csv).unwrap();
        assert_eq!(loaded.series("train/loss"), curve.series("train/loss"));
        assert_eq!(loaded.series("train/loss").len(), 41);
        let picture = dir.path().join("curve.png");
        curve.plot(&picture).unwrap();
        let bytes = std::fs::read(&picture).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let drawn = pixels.chunks(3).filter(|p| p[0] != p[1]).count();
        assert!(drawn > 300, "{drawn} coloured pixels");
        Curve::default().plot(&picture).unwrap();
        std::fs::write(&csv, "step,series,value\n1,a\n").unwrap();
        assert!(Curve::load(&csv).is_err());
    }
}
