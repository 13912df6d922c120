//! Where flow tells nothing: a scene that is cut, and a frame that is shown again.

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

/// Levels of brightness in a histogram.
const LEVELS: usize = 32;
/// Columns and rows of cells that are compared.
const CELLS: usize = 4;
/// Mean differences below this, of 0 to 1, are those of coding the same picture anew.
const SAME: f64 = 1.0 / 1024.0;
/// A cut changes so much of the histograms …
const OTHER: f64 = 0.35;
/// … and pictures that differ by less than this, in the mean, are of one scene.
const UNEXPLAINED: f64 = 0.08;

/// Compares two pictures of equal size: RGB planes one after the other, 0 to 1, as networks take them.
///
/// A cut changes the brightness of most parts of the picture at once, which motion does not: histograms of 4 × 4 cells
/// are compared, and those of the whole picture too, since fast motion only carries brightness from cell to cell.
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
    if difference < UNEXPLAINED {
        return Change::Motion;
    }
    let height = pixels / width;
    let histograms = |picture: &[f32]| {
        let mut counts = vec![[0.0f64; LEVELS]; CELLS * CELLS + 1];
        for at in 0..width * height {
            let channel = |n: usize| picture.get(n * pixels + at).copied().unwrap_or(0.0);
            let grey = 0.299 * channel(0) + 0.587 * channel(1) + 0.114 * channel(2);
            let level = ((grey * LEVELS as f32) as usize).min(LEVELS - 1);
            let cell = at / width * CELLS / height * CELLS + at % width * CELLS / width;
            for histogram in [cell, CELLS * CELLS] {
                counts[histogram][level] += 1.0;
            }
        }
        counts
    };
    let (a, b) = (histograms(before), histograms(now));
    // The share of pixels whose level is another, of neighbouring levels half.
    let differ = |n: usize| {
        let (mut off, mut all, mut carried) = (0.0f64, 0.0f64, 0.0f64);
        for (x, y) in a[n].iter().zip(&b[n]) {
            carried += x - y;
            off += carried.abs().min(x.max(*y));
            all += x;
        }
        if all > 0.0 { off / all } else { 0.0 }
    };
    let mut cells: Vec<f64> = (0..CELLS * CELLS).map(differ).collect();
    cells.sort_by(f64::total_cmp);
    let typical = cells[CELLS * CELLS / 2];
    if typical > OTHER && differ(CELLS * CELLS) > OTHER / 2.0 {
        Change::Cut
    } else {
        Change::Motion
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
            // A light that flickers is none, either.
            let next = scene(seed, 1.0, 1.08);
            assert_eq!(change(&still, &next, SIDE), Change::Motion, "{seed}");
        }
        let (dark, bright) = (scene(0, 0.0, 1.0), scene(7, 0.0, 1.0));
        assert_eq!(change(&dark, &bright, SIDE), Change::Cut);
        assert_eq!(change(&dark, &[], SIDE), Change::Cut);
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
