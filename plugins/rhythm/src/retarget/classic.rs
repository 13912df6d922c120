// SPDX-License-Identifier: MPL-2.0
//! The three patterns of MuDaR (section 4.4), as printed.

use crate::metrics::matches;

/// Marks match within this many seconds, as in the hit rates of alignment.
const MATCH: f64 = 0.1;

/// The shift of the source against the output, in seconds, of the pattern "temporal shifting".
///
/// A window as long as the shorter sequence slides over the longer one, to where its number of
/// marks is most similar to that of the shorter one; then the first marks of both are aligned. Of
/// several such windows it is the one in which most marks then match, and of those the first.
/// `lengths` are the durations of source and output in seconds.
pub(super) fn shift(visual: &[f64], audio: &[f64], lengths: [f64; 2]) -> Option<f64> {
    let visual_is_longer = lengths[0] > lengths[1];
    let (long, short, window) = if visual_is_longer {
        (visual, audio, lengths[1])
    } else {
        (audio, visual, lengths[0])
    };
    let &start = short.first()?;
    let mut best: Option<((usize, usize), f64)> = None;
    for (from, &first) in long.iter().enumerate() {
        // The window that begins with this mark; earlier ones up to the mark before hold no more at
        // their head.
        let inside = &long[from..];
        let inside = &inside[..inside.partition_point(|&time| time <= first + window)];
        let by = first - start;
        let shifted: Vec<f64> = inside.iter().map(|time| time - by).collect();
        let unmatched = short.len() - matches(short, &shifted, MATCH).len();
        let cost = (inside.len().abs_diff(short.len()), unmatched);
        if best.is_none_or(|(before, _)| cost < before) {
            best = Some((cost, by));
        }
        // What follows is cut by the end of the sequence.
        if first + window >= lengths[0].max(lengths[1]) {
            break;
        }
    }
    let (_, by) = best?;
    Some(if visual_is_longer { by } else { -by })
}

/// The path of least cumulated distance through marks at `rows` and `columns`, by equations 22 and
/// 23: c(i, j) = |P_i − P_j| + min { c(i−1, j−1), c(i−1, j), c(i, j−1) }; from (0, 0) to the last
/// of both. Of equal ways it takes the diagonal, then the one along the rows.
///
/// Time O(rows·columns), memory O(columns·√rows): every √rows-th row of costs is kept, and the rows
/// between are computed again on the way back.
pub(super) fn path(rows: &[f64], columns: &[f64]) -> Vec<(usize, usize)> {
    if rows.is_empty() || columns.is_empty() {
        return Vec::new();
    }
    let step = rows.len().isqrt().max(1);
    let width = columns.len();
    let mut kept: Vec<Vec<f64>> = Vec::new();
    let mut row = Vec::new();
    let mut steps = vec![0; width];
    for (i, &time) in rows.iter().enumerate() {
        row = next_row(time, columns, &row, &mut steps);
        if (i + 1) % step == 0 {
            kept.push(row.clone());
        }
    }
    let mut path = Vec::with_capacity(rows.len() + width);
    let (mut i, mut j) = (rows.len() - 1, width - 1);
    path.push((i, j));
    let mut block = vec![0; step * width];
    let mut first = rows.len();
    while (i, j) != (0, 0) {
        if i < first {
            let number = i / step;
            first = number * step;
            row = number
                .checked_sub(1)
                .map_or_else(Vec::new, |at| kept[at].clone());
            for (time, steps) in rows[first..=i].iter().zip(block.chunks_mut(width)) {
                row = next_row(*time, columns, &row, steps);
            }
        }
        match block[(i - first) * width + j] {
            DIAGONAL => (i, j) = (i - 1, j - 1),
            DOWN => i -= 1,
            _ => j -= 1,
        }
        path.push((i, j));
    }
    path.reverse();
    path
}

const DIAGONAL: u8 = 0;
const DOWN: u8 = 1;
const ALONG: u8 = 2;

/// The costs of the row at `time` after those of the row before, which is empty for the first, and
/// where they come from.
fn next_row(time: f64, columns: &[f64], before: &[f64], steps: &mut [u8]) -> Vec<f64> {
    let mut row = Vec::with_capacity(columns.len());
    let mut left = f64::INFINITY;
    let mut diagonal = f64::INFINITY;
    for (j, (&column, step)) in columns.iter().zip(steps).enumerate() {
        let above = before.get(j).copied().unwrap_or(f64::INFINITY);
        let (least, from) = if diagonal <= above && diagonal <= left && diagonal.is_finite() {
            (diagonal, DIAGONAL)
        } else if above <= left && above.is_finite() {
            (above, DOWN)
        } else if left.is_finite() {
            (left, ALONG)
        } else {
            (0.0, DIAGONAL)
        };
        *step = from;
        left = (time - column).abs() + least;
        diagonal = above;
        row.push(left);
    }
    row
}

/// The pairs of a path of which no two share a mark: of those that do, the nearest.
pub(super) fn pairs(path: &[(usize, usize)], rows: &[f64], columns: &[f64]) -> Vec<(usize, usize)> {
    let distance = |(i, j): (usize, usize)| (rows[i] - columns[j]).abs();
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for &pair in path {
        match kept.last_mut() {
            Some(last) if last.0 == pair.0 || last.1 == pair.1 => {
                if distance(pair) < distance(*last) {
                    *last = pair;
                }
            }
            _ => kept.push(pair),
        }
    }
    // A replaced pair may share a mark with the one before it.
    kept.dedup_by(|next, before| next.0 <= before.0 || next.1 <= before.1);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equation 22 in the plainest form there is.
    fn cost(rows: &[f64], columns: &[f64]) -> f64 {
        let mut c = vec![vec![0.0f64; columns.len()]; rows.len()];
        for i in 0..rows.len() {
            for j in 0..columns.len() {
                let from = [(1, 1), (1, 0), (0, 1)]
                    .into_iter()
                    .filter_map(|(di, dj)| Some(c[i.checked_sub(di)?][j.checked_sub(dj)?]));
                let least = from.reduce(f64::min).unwrap_or(0.0);
                c[i][j] = (rows[i] - columns[j]).abs() + least;
            }
        }
        c[rows.len() - 1][columns.len() - 1]
    }

    #[test]
    fn the_path_is_the_cheapest() {
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24)
        };
        for (rows, columns) in [(1, 1), (1, 9), (9, 1), (17, 23), (50, 31)] {
            let mut marks = |count: usize| -> Vec<f64> {
                let mut time = 0.0;
                (0..count)
                    .map(|_| {
                        time += random();
                        time
                    })
                    .collect()
            };
            let (rows, columns) = (marks(rows), marks(columns));
            let path = path(&rows, &columns);
            assert_eq!(path[0], (0, 0));
            assert_eq!(path.last(), Some(&(rows.len() - 1, columns.len() - 1)));
            for pair in path.windows(2) {
                let step = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
                assert!([(1, 1), (1, 0), (0, 1)].contains(&step));
            }
            let total: f64 = (path.iter().map(|&(i, j)| (rows[i] - columns[j]).abs())).sum();
            assert!((total - cost(&rows, &columns)).abs() < 1e-9);
            let pairs = pairs(&path, &rows, &columns);
            assert!(!pairs.is_empty());
            assert!((pairs.windows(2)).all(|p| p[0].0 < p[1].0 && p[0].1 < p[1].1));
        }
    }

    #[test]
    fn a_shift_finds_the_window_with_as_many_marks() {
        // Three marks in the music; the dance has two, then three, then one in windows of that
        // length.
        let audio = [0.5, 1.0, 1.5];
        let visual = [1.0, 2.0, 5.2, 5.7, 6.2, 9.0];
        let by = shift(&visual, &audio, [12.0, 2.0]).unwrap();
        assert!((by - 4.7).abs() < 1e-9, "{by}");
        // And the other way round.
        let by = shift(&audio, &visual, [2.0, 12.0]).unwrap();
        assert!((by + 4.7).abs() < 1e-9, "{by}");
        assert_eq!(shift(&[], &audio, [1.0, 2.0]), None);
    }
}
