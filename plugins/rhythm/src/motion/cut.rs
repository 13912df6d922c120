// SPDX-License-Identifier: MPL-2.0
//! Where flow means nothing: at a cut, and at a frame that repeats the one before.

/// What lies between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Motion, or none.
    Motion,
    /// The same picture again, as a lower frame rate in a higher one gives it.
    Repeated,
    /// Another scene.
    Cut,
}

/// Levels of brightness in a histogram, from 1 below the mean to 1 above.
const LEVELS: usize = 64;
/// Columns and rows of cells that are compared.
const CELLS: usize = 4;
/// Mean differences below this, of 0 to 1, are those of encoding the same picture again.
const SAME: f64 = 1.0 / 1024.0;
/// A cut changes so much of most cells' histograms, and half as much of the whole picture's.
const OTHER: f64 = 0.35;
/// Pictures that differ by less than this, in the mean, are of one scene.
const ONE_SCENE: f64 = 0.08;

/// Compares two pictures of equal size: RGB planes one after the other, 0 to 1, as networks take
/// them.
///
/// A cut changes the brightness of most parts of the picture at once, which motion does not:
/// histograms of 4 × 4 cells are compared, and those of the whole picture too, since fast motion
/// only carries brightness from cell to cell. What the whole picture gains or loses, as by a flash,
/// does not count.
#[must_use]
pub fn change(before: &[f32], now: &[f32], width: usize) -> Change {
    let pixels = before.len() / 3;
    if pixels == 0 || width == 0 || before.len() != now.len() {
        return Change::Cut;
    }
    let differences = before
        .iter()
        .zip(now)
        .map(|(a, b)| f64::from((a - b).abs()));
    let difference = differences.sum::<f64>() / before.len() as f64;
    if difference < SAME {
        return Change::Repeated;
    }
    if difference < ONE_SCENE {
        return Change::Motion;
    }
    let (a, b) = (Brightness::new(before, width), Brightness::new(now, width));
    let mut cells: Vec<f64> = (0..CELLS * CELLS).map(|n| a.differs(&b, n)).collect();
    cells.sort_by(f64::total_cmp);
    let typical = cells[CELLS * CELLS / 2];
    if typical > OTHER && a.differs(&b, CELLS * CELLS) > OTHER / 2.0 {
        Change::Cut
    } else {
        Change::Motion
    }
}

/// How bright a picture is: a histogram for each cell, and one for the whole at the end.
struct Brightness {
    histograms: Vec<[f64; LEVELS]>,
}

impl Brightness {
    fn new(picture: &[f32], width: usize) -> Self {
        let pixels = picture.len() / 3;
        let height = pixels / width;
        let channel = |n: usize, at: usize| picture.get(n * pixels + at).copied().unwrap_or(0.0);
        // Every other pixel of every other row is enough.
        let columns = width.div_ceil(2);
        let rows = height.div_ceil(2);
        let grey: Vec<f32> = (0..columns * rows)
            .map(|at| 2 * (at / columns) * width + 2 * (at % columns))
            .map(|at| 0.299 * channel(0, at) + 0.587 * channel(1, at) + 0.114 * channel(2, at))
            .collect();
        let mean = grey.iter().sum::<f32>() / grey.len().max(1) as f32;
        let mut histograms = vec![[0.0f64; LEVELS]; CELLS * CELLS + 1];
        for (at, grey) in grey.iter().enumerate() {
            // From the mean, −1 to 1; between two levels it counts for either, so that nothing
            // hangs on rounding.
            let level = ((grey - mean + 1.0) / 2.0).clamp(0.0, 1.0) * (LEVELS - 2) as f32;
            let share = f64::from(level.fract());
            let cell = at / columns * CELLS / rows * CELLS + at % columns * CELLS / columns;
            for histogram in [cell, CELLS * CELLS] {
                histograms[histogram][level as usize] += 1.0 - share;
                histograms[histogram][level as usize + 1] += share;
            }
        }
        Self { histograms }
    }

    /// The share of a cell's pixels whose level is another. Those that went but one level, as
    /// levels end somewhere, count half.
    fn differs(&self, other: &Self, cell: usize) -> f64 {
        let (a, b) = (&self.histograms[cell], &other.histograms[cell]);
        let smooth = |h: &[f64; LEVELS], n: usize| {
            let at = |n: usize| h.get(n).copied().unwrap_or(0.0);
            (at(n.wrapping_sub(1)) + 2.0 * at(n) + at(n + 1)) / 4.0
        };
        let all: f64 = a.iter().sum();
        let off: f64 = (0..LEVELS)
            .map(|n| (smooth(a, n) - smooth(b, n)).abs())
            .sum();
        if all > 0.0 { off / (2.0 * all) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 64;

    /// Blobs on a ground, moved by some pixels and lit by some factor.
    fn scene(seed: usize, moved: f32, light: f32) -> Vec<f32> {
        let mut out = vec![0.0; 3 * SIDE * SIDE];
        for at in 0..SIDE * SIDE {
            let (x, y) = ((at % SIDE) as f32 - moved, (at / SIDE) as f32);
            for c in 0..3 {
                let phase = (seed * 7 + c) as f32;
                let wave = (x * 0.11 + phase).sin() + (y * 0.07 - 2.0 * phase).cos();
                let ground = 0.2 + 0.5 * ((seed * 37 % 10) as f32 / 10.0);
                out[c * SIDE * SIDE + at] = (light * (ground + 0.12 * wave)).clamp(0.0, 1.0);
            }
        }
        out
    }

    #[test]
    fn scenes_are_told_apart_and_motion_is_not_a_cut() {
        for seed in 0..10 {
            let still = scene(seed, 0.0, 1.0);
            assert_eq!(change(&still, &still, SIDE), Change::Repeated);
            for moved in [0.5, 4.0, 8.0] {
                let next = scene(seed, moved, 1.0);
                assert_eq!(
                    change(&still, &next, SIDE),
                    Change::Motion,
                    "{seed} {moved}"
                );
            }
            // A flash is none, either.
            let next: Vec<f32> = scene(seed, 1.0, 1.0).iter().map(|v| v + 0.25).collect();
            assert_eq!(change(&still, &next, SIDE), Change::Motion, "{seed}");
        }
        // A bright half of the picture changes its side, which no motion does at once.
        let half = |left: f32, right: f32| {
            let side = |at: usize| if at % SIDE < SIDE / 2 { left } else { right };
            (0..3 * SIDE * SIDE).map(side).collect::<Vec<f32>>()
        };
        let before = half(0.1, 0.9);
        let now: Vec<f32> = scene(4, 0.0, 1.0);
        assert_eq!(change(&before, &now, SIDE), Change::Cut);
        let dark = before.as_slice();
        assert_eq!(change(dark, &[], SIDE), Change::Cut);
    }

    /// Blocks of four by four pixels, black or white at random, moved to the right.
    fn blocks(moved: usize) -> Vec<f32> {
        let mut state = 9u32;
        let mut values = Vec::new();
        for _ in 0..SIDE * SIDE {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            values.push(if state >> 31 == 1 { 0.9 } else { 0.1 });
        }
        let at = |at: usize| {
            let (x, y) = (at % SIDE + SIDE - moved, at / SIDE % SIDE);
            values[y / 4 * SIDE + x % SIDE / 4]
        };
        (0..3 * SIDE * SIDE).map(at).collect()
    }

    #[test]
    fn fast_motion_of_a_rich_scene_is_not_a_cut() {
        for moved in [1, 2, 3] {
            assert_eq!(change(&blocks(0), &blocks(moved), SIDE), Change::Motion);
        }
    }

    #[test]
    fn pictures_that_differ_by_little_are_of_one_scene() {
        // From flat to a fine pattern: all of the histograms, but not much of the picture.
        let flat = vec![0.5; 3 * SIDE * SIDE];
        let with = |depth: f32| -> Vec<f32> {
            let side = |at: usize| {
                if at / 2 % 2 == at / SIDE / 2 % 2 {
                    depth
                } else {
                    -depth
                }
            };
            (0..3 * SIDE * SIDE).map(|at| 0.5 + side(at)).collect()
        };
        assert_eq!(change(&flat, &with(0.075), SIDE), Change::Motion);
        assert_eq!(change(&flat, &with(0.3), SIDE), Change::Cut);
    }

    #[test]
    fn coding_noise_is_the_same_picture() {
        let still = scene(3, 0.0, 1.0);
        let noisy: Vec<f32> = still
            .iter()
            .enumerate()
            .map(|(n, v)| v + if n % 7 == 0 { 1.0 / 255.0 } else { 0.0 })
            .collect();
        assert_eq!(change(&still, &noisy, SIDE), Change::Repeated);
    }
}
