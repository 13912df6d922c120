// SPDX-License-Identifier: MPL-2.0
//! Sheets of stick figures, to look at.

use anyhow::{Result, anyhow};
use dance_corpus::dance::skeleton::STICKS;
use dance_corpus::files;
use dance_rhythm::motion_diffusion::JOINTS;
use plotters::prelude::*;
use std::path::Path;

/// A dance, true and generated, in pictures one unit high.
pub struct Row {
    /// The reference.
    pub reference: [[f32; 2]; JOINTS],
    /// The true poses.
    pub truth: Vec<[[f32; 2]; JOINTS]>,
    /// The generated ones.
    pub made: Vec<[[f32; 2]; JOINTS]>,
}

/// Pixels of a cell.
const CELL: [i32; 2] = [72, 110];
/// Tokens from cell to cell.
const EVERY: usize = 5;
/// Figures of a row.
const COLUMNS: usize = 20;
/// Rows of a sheet.
const ROWS: usize = 8;

/// Draws the first dances: of each the reference and the true poses, below it the generated ones;
/// the left arm and leg are red, the right ones blue.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    let rows = &rows[..rows.len().min(ROWS)];
    let width = CELL[0] * (COLUMNS as i32 + 1);
    let height = CELL[1] * 2 * rows.len().max(1) as i32;
    let mut pixels = vec![255u8; (width * height * 3) as usize];
    {
        let size = (width as u32, height as u32);
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        for (n, row) in rows.iter().enumerate() {
            for (k, poses) in [&row.truth, &row.made].into_iter().enumerate() {
                let top = CELL[1] * (2 * n + k) as i32;
                figure(&area, &row.reference, [0, top], true)?;
                for column in 0..COLUMNS {
                    let Some(pose) = poses.get(column * EVERY) else {
                        break;
                    };
                    figure(&area, pose, [CELL[0] * (column as i32 + 1), top], k == 0)?;
                }
            }
        }
        area.present().map_err(|e| anyhow!("{e}"))?;
    }
    files::write_png(path, width as usize, height as usize, &pixels)
}

fn figure<D: DrawingBackend>(
    area: &DrawingArea<D, plotters::coord::Shift>,
    pose: &[[f32; 2]; JOINTS],
    [left, top]: [i32; 2],
    pale: bool,
) -> Result<()> {
    let place = |joint: usize| -> (i32, i32) {
        let [x, y] = pose[joint];
        let scale = CELL[1] as f32;
        (
            left + CELL[0] / 2 + ((x - 0.5) * scale).clamp(-200.0, 200.0) as i32,
            top + (y * scale).clamp(-200.0, 400.0) as i32,
        )
    };
    for (a, b) in STICKS {
        let colour = match b {
            4..=11 => RED,
            12.. => BLUE,
            _ => BLACK,
        };
        let style = colour.mix(if pale { 0.45 } else { 1.0 }).stroke_width(2);
        area.draw(&PathElement::new(vec![place(a), place(b)], style))
            .map_err(|e| anyhow!("{e}"))?;
    }
    Ok(())
}
