// SPDX-License-Identifier: MPL-2.0
//! The part of a picture that moves, to be analysed instead of the whole of it.
//!
//! A dancer in a 16:9 picture is small: 70 pixels tall where 1080 rows are squeezed into 256. [`Tracker`] finds the
//! square around what moves from cheap differences of a small grey picture, and holds it steady, because a region that
//! wanders would move everything in it. [`crop`] makes the picture to be analysed of it. A square keeps the aspect, so
//! that angles of motion stay what they are; where it reaches beyond the picture, the crop is black.
//!
//! Both pictures of a pair are cropped with the same region. A vector of flow then has to be scaled by
//! [`Region::scale`] to be in pixels of the whole picture, and nothing else.

/// Pixels along the longer side of the small grey picture that [`Tracker`] takes.
pub const SMALL: usize = 64;

/// Differences are taken between pictures at least so far apart, in seconds: at 60 frames a second one frame changes
/// too little to be told from noise.
const APART: f64 = 0.04;
/// Motion is remembered for so long, in seconds (the time constant of an exponential).
const MEMORY: f64 = 2.0;
/// Grey levels of 255 that a pixel must change beyond three times the median change, which is noise or the camera.
const FLOOR: f32 = 5.0;
/// A change of more grey levels counts no more, so that a white shirt counts as much as a grey one.
const MOST: f32 = 40.0;
/// The mean change of a pixel, in grey levels and summed over [`MEMORY`], below which nothing is known to move.
const LEAST: f32 = 0.05;
/// The share of the motion that may lie outside of the box on each of its sides.
const OUTSIDE: f32 = 0.01;
/// The region is so much larger than the box of the motion.
const ROOM: f32 = 1.25;
/// The smallest region, as a share of the picture's shorter side.
const SMALLEST: f32 = 0.25;
/// The box may leave the region by so much of the region's side before the region follows.
const SLACK: f32 = 0.03;
/// A region is shrunk when the box needs less than this share of it.
const SHRINK: f32 = 0.65;
/// A region that is too small is kept for so long, one that is too large for so long, in seconds.
const PATIENCE: [f64; 2] = [0.3, 1.0];

/// A square of a picture, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// The column of its left edge; negative where it begins outside of the picture.
    pub left: f32,
    /// The row of its upper edge.
    pub top: f32,
    /// Its width and height.
    pub side: f32,
}

impl Region {
    /// The smallest square around a whole picture.
    #[must_use]
    pub fn whole([width, height]: [usize; 2]) -> Self {
        let side = width.max(height).max(1) as f32;
        Self {
            left: (width as f32 - side) / 2.0,
            top: (height as f32 - side) / 2.0,
            side,
        }
    }

    /// Pixels of the picture in one pixel of a crop of `size` pixels.
    #[must_use]
    pub fn scale(&self, size: usize) -> f32 {
        self.side / size.max(1) as f32
    }

    fn times(self, by: f32) -> Self {
        Self {
            left: self.left * by,
            top: self.top * by,
            side: self.side * by,
        }
    }
}

/// A box: left, top, right, bottom.
type Edges = [f32; 4];

/// Follows the part of a picture that moves.
#[derive(Debug, Clone)]
pub struct Tracker {
    /// Width and height of the pictures, and of the small ones.
    picture: [usize; 2],
    small: [usize; 2],
    /// The small picture that the next is compared with, and its time.
    before: Option<(Vec<u8>, f64)>,
    /// How much each pixel of the small picture has moved of late.
    energy: Vec<f32>,
    /// In pixels of the small picture.
    region: Region,
    /// Since when the region is too small or too large, in seconds.
    unfit: [Option<f64>; 2],
}

impl Tracker {
    /// For pictures of this width and height.
    #[must_use]
    pub fn new(picture: [usize; 2]) -> Self {
        let small = Self::small(picture);
        Self {
            picture,
            small,
            before: None,
            energy: vec![0.0; small[0] * small[1]],
            region: Region::whole(small),
            unfit: [None; 2],
        }
    }

    /// Width and height of the small grey picture of a picture: its longer side has [`SMALL`] pixels.
    #[must_use]
    pub fn small([width, height]: [usize; 2]) -> [usize; 2] {
        let longest = width.max(height).max(1);
        [width, height].map(|n| ((n * SMALL + longest / 2) / longest).max(1))
    }

    /// Begins anew with the whole picture, as after a cut.
    pub fn restart(&mut self) {
        self.before = None;
        self.energy.fill(0.0);
        self.region = Region::whole(self.small);
        self.unfit = [None; 2];
    }

    /// The region to analyse now.
    #[must_use]
    pub fn region(&self) -> Region {
        let [width, height] = self.picture;
        self.region
            .times(width.max(height).max(1) as f32 / SMALL as f32)
    }

    /// Takes the small grey picture of an instant in seconds, row by row, and returns the region to analyse. A picture of
    /// another size than [`Self::small`] is passed over.
    pub fn next(&mut self, grey: &[u8], seconds: f64) -> Region {
        if grey.len() != self.energy.len() {
            return self.region();
        }
        let Some((before, at)) = &mut self.before else {
            self.before = Some((grey.to_vec(), seconds));
            return self.region();
        };
        let since = seconds - *at;
        if since < APART && since > 0.0 {
            return self.region();
        }
        let changes: Vec<f32> = before
            .iter()
            .zip(grey)
            .map(|(a, b)| f32::from(a.abs_diff(*b)))
            .collect();
        before.copy_from_slice(grey);
        *at = seconds;
        if since <= 0.0 {
            return self.region();
        }
        let mut sorted = changes.clone();
        let middle = sorted.len() / 2;
        let median = *sorted.select_nth_unstable_by(middle, f32::total_cmp).1;
        let floor = FLOOR + 3.0 * median;
        let keep = (-since / MEMORY).exp() as f32;
        for (energy, change) in self.energy.iter_mut().zip(&changes) {
            *energy = *energy * keep + (change - floor).clamp(0.0, MOST);
        }
        if let Some(edges) = self.edges() {
            self.follow(edges, seconds);
        }
        self.region()
    }

    /// The box of the motion, or none where hardly anything has moved.
    fn edges(&self) -> Option<Edges> {
        let [width, height] = self.small;
        let (mut columns, mut rows) = (vec![0.0f32; width], vec![0.0f32; height]);
        for (at, energy) in self.energy.iter().enumerate() {
            columns[at % width] += energy;
            rows[at / width] += energy;
        }
        let total: f32 = rows.iter().sum();
        if total < LEAST * (width * height) as f32 {
            return None;
        }
        let ends = |sums: &[f32]| {
            let passed = |sums: &mut dyn Iterator<Item = &f32>| {
                let mut sum = 0.0;
                sums.take_while(|value| {
                    sum += **value;
                    sum <= OUTSIDE * total
                })
                .count()
            };
            let first = passed(&mut sums.iter());
            let last = sums.len() - passed(&mut sums.iter().rev());
            [first as f32, last.max(first + 1) as f32]
        };
        let ([left, right], [top, bottom]) = (ends(&columns), ends(&rows));
        Some([left, top, right, bottom])
    }

    /// Moves the region when the box has not fitted it for some time.
    fn follow(&mut self, [left, top, right, bottom]: Edges, seconds: f64) {
        let Region {
            left: x,
            top: y,
            side,
        } = self.region;
        let [width, height] = self.small.map(|n| n as f32);
        let longest = (right - left).max(bottom - top);
        let wanted = (ROOM * longest).clamp(SMALLEST * width.min(height), width.max(height));
        let slack = SLACK * side;
        let is_out = left < x - slack
            || top < y - slack
            || right > x + side + slack
            || bottom > y + side + slack;
        let mut is_due = false;
        for ((since, patience), is_unfit) in self
            .unfit
            .iter_mut()
            .zip(PATIENCE)
            .zip([is_out, wanted < SHRINK * side])
        {
            if !is_unfit {
                *since = None;
                continue;
            }
            let begin = *since.get_or_insert(seconds);
            is_due |= seconds - begin >= patience;
        }
        if !is_due {
            return;
        }
        self.unfit = [None; 2];
        // Within the picture where it fits, else around its middle.
        let place = |from: f32, to: f32, n: f32| {
            let start = (from + to - wanted) / 2.0;
            if wanted >= n {
                (n - wanted) / 2.0
            } else {
                start.clamp(0.0, n - wanted)
            }
        };
        self.region = Region {
            left: place(left, right, width),
            top: place(top, bottom, height),
            side: wanted,
        };
    }
}

/// A picture of interleaved 8-bit red, green and blue.
#[derive(Debug, Clone, Copy)]
pub struct Rgb<'a> {
    width: usize,
    height: usize,
    stride: usize,
    pixels: &'a [u8],
}

impl<'a> Rgb<'a> {
    /// A picture whose rows begin `stride` bytes apart; none where its bytes are too few.
    #[must_use]
    pub fn new([width, height]: [usize; 2], stride: usize, pixels: &'a [u8]) -> Option<Self> {
        let needed = stride
            .checked_mul(height.checked_sub(1)?)?
            .checked_add(3 * width)?;
        (width > 0 && stride >= 3 * width && pixels.len() >= needed).then_some(Self {
            width,
            height,
            stride,
            pixels,
        })
    }

    fn row(&self, y: usize) -> &'a [u8] {
        let start = y * self.stride;
        self.pixels
            .get(start..start + 3 * self.width)
            .unwrap_or_default()
    }

    /// The small grey picture that [`Tracker::next`] takes: the mean of what falls into each of its pixels.
    #[must_use]
    pub fn grey(&self) -> Vec<u8> {
        let [columns, rows] = Tracker::small([self.width, self.height]);
        let (mut sums, mut counts) = (vec![0u32; columns * rows], vec![0u32; columns * rows]);
        for y in 0..self.height {
            let first = y * rows / self.height * columns;
            for (x, pixel) in self.row(y).chunks_exact(3).enumerate() {
                let at = first + x * columns / self.width;
                // ITU-R BT.601 in 256ths.
                sums[at] +=
                    77 * u32::from(pixel[0]) + 150 * u32::from(pixel[1]) + 29 * u32::from(pixel[2]);
                counts[at] += 256;
            }
        }
        sums.iter()
            .zip(&counts)
            .map(|(sum, count)| (sum / (*count).max(1)) as u8)
            .collect()
    }
}

/// Where each pixel along one axis of a crop comes from: the first source pixel, and the weights from there on.
fn taps(start: f32, side: f32, size: usize, length: usize) -> Vec<(usize, Vec<f32>)> {
    let step = side / size as f32;
    // A triangle as wide as two pixels of the coarser of both pictures: interpolates up, averages down.
    let reach = step.max(1.0);
    (0..size)
        .map(|n| {
            let centre = start + (n as f32 + 0.5) * step - 0.5;
            // Beyond the picture there is nothing.
            if centre < -0.5 || centre > length as f32 - 0.5 {
                return (0, Vec::new());
            }
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor().max(0.0) as usize).min(length - 1);
            let weights: Vec<f32> = (first..=last)
                .map(|k| (1.0 - (k as f32 - centre).abs() / reach).max(0.0))
                .collect();
            let sum: f32 = weights.iter().sum();
            (first, weights.iter().map(|w| w / sum.max(1e-6)).collect())
        })
        .collect()
}

/// A region of a picture as `size` × `size` pixels: planes of red, green and blue, row by row, 0 to 1, as networks take
/// them. Black where the region reaches beyond the picture.
#[must_use]
pub fn crop(picture: &Rgb<'_>, region: &Region, size: usize) -> Vec<f32> {
    let mut out = vec![0.0; 3 * size * size];
    if size == 0 {
        return out;
    }
    let columns = taps(region.left, region.side, size, picture.width);
    let rows = taps(region.top, region.side, size, picture.height);
    // One source row after the other is made as narrow as the crop, once.
    let mut narrow: Vec<Option<Vec<f32>>> = vec![None; picture.height];
    let squeeze = |y: usize| {
        let source = picture.row(y);
        let mut row = vec![0.0; 3 * size];
        for (n, (first, weights)) in columns.iter().enumerate() {
            let pixels = source.get(3 * first..).unwrap_or_default();
            for (pixel, weight) in pixels.chunks_exact(3).zip(weights) {
                for channel in 0..3 {
                    row[channel * size + n] += weight / 255.0 * f32::from(pixel[channel]);
                }
            }
        }
        row
    };
    for (n, (first, weights)) in rows.iter().enumerate() {
        for (k, weight) in weights.iter().enumerate() {
            let Some(slot) = narrow.get_mut(first + k) else {
                continue;
            };
            let row = slot.get_or_insert_with(|| squeeze(first + k));
            for (channel, plane) in out.chunks_exact_mut(size * size).enumerate() {
                let to = &mut plane[n * size..][..size];
                for (to, from) in to.iter_mut().zip(&row[channel * size..]) {
                    *to += weight * from;
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dark picture with a bright bar that swings between two columns.
    fn frame([width, height]: [usize; 2], at: f32, rows: [usize; 2]) -> Vec<u8> {
        let mut pixels = vec![40; 3 * width * height];
        for y in rows[0]..rows[1] {
            for x in at as usize..at as usize + width / 20 {
                pixels[3 * (y * width + x)..][..3].fill(220);
            }
        }
        pixels
    }

    fn run(tracker: &mut Tracker, size: [usize; 2], fps: f64, from: f64, to: f64) -> Vec<Region> {
        let count = ((to - from) * fps) as usize;
        (0..count)
            .map(|n| {
                let time = from + n as f64 / fps;
                let swing = (time * 9.0).sin() as f32;
                let at = size[0] as f32 * (0.5 + 0.06 * swing);
                let pixels = frame(size, at, [size[1] * 2 / 5, size[1] * 4 / 5]);
                let picture = Rgb::new(size, 3 * size[0], &pixels).unwrap();
                tracker.next(&picture.grey(), time)
            })
            .collect()
    }

    #[test]
    fn the_region_closes_in_on_what_moves_and_then_holds() {
        let size = [640, 360];
        for fps in [12.0, 24.0, 60.0] {
            let mut tracker = Tracker::new(size);
            let regions = run(&mut tracker, size, fps, 0.0, 8.0);
            assert_eq!(regions[0], Region::whole(size));
            assert_eq!((regions[0].left, regions[0].top), (0.0, -140.0));
            let last = regions[regions.len() - 1];
            // The bar swings over columns 282 … 390 and rows 144 … 288.
            assert!(last.side > 144.0 && last.side < 260.0, "{fps} {last:?}");
            assert!(
                last.left < 290.0 && last.left + last.side > 380.0,
                "{fps} {last:?}"
            );
            assert!(
                last.top < 152.0 && last.top + last.side > 280.0,
                "{fps} {last:?}"
            );
            let moves = regions.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!((1..=3).contains(&moves), "{fps}: {moves} moves");
            let settled = &regions[(4.0 * fps) as usize..];
            assert!(settled.iter().all(|region| *region == last), "{fps}");
        }
    }

    #[test]
    fn a_restart_shows_the_whole_and_stillness_changes_nothing() {
        let size = [320, 180];
        let mut tracker = Tracker::new(size);
        let before = run(&mut tracker, size, 25.0, 0.0, 4.0);
        let near = before[before.len() - 1];
        assert!(near.side < 180.0);
        // Noise of one grey level in a picture that stands still.
        for n in 0..250 {
            let mut pixels = frame(size, 160.0, [72, 144]);
            for (k, value) in pixels.iter_mut().enumerate() {
                *value += ((k * 31 + n * 17) % 3) as u8;
            }
            let picture = Rgb::new(size, 960, &pixels).unwrap();
            assert_eq!(tracker.next(&picture.grey(), 4.0 + n as f64 / 25.0), near);
        }
        tracker.restart();
        assert_eq!(tracker.region(), Region::whole(size));
        // A picture of another size, and time that runs backwards, are passed over.
        assert_eq!(tracker.next(&[0; 7], 20.0), Region::whole(size));
        tracker.next(&[0; 64 * 36], 20.0);
        assert_eq!(tracker.next(&[255; 64 * 36], 19.0), Region::whole(size));
    }

    #[test]
    fn who_leaves_the_region_is_followed() {
        let size = [640, 360];
        let mut tracker = Tracker::new(size);
        run(&mut tracker, size, 25.0, 0.0, 5.0);
        let near = tracker.region();
        for n in 0..50 {
            let time = 5.0 + n as f64 / 25.0;
            let at = 80.0 + 30.0 * (time * 9.0).sin() as f32;
            let pixels = frame(size, at, [144, 288]);
            let picture = Rgb::new(size, 1920, &pixels).unwrap();
            tracker.next(&picture.grey(), time);
        }
        let followed = tracker.region();
        assert!(
            near.left > 60.0 && followed.left < 60.0,
            "{near:?} {followed:?}"
        );
    }

    #[test]
    fn a_crop_shows_the_region_and_black_beyond_the_picture() {
        // Red grows by 2 a column, green by 3 a row.
        let size = [64, 32];
        let pixels: Vec<u8> = (0..64 * 32)
            .flat_map(|at| [2 * (at % 64) as u8, 3 * (at / 64) as u8, 255])
            .collect();
        let picture = Rgb::new(size, 192, &pixels).unwrap();
        for (side, size) in [(16.0, 16), (16.0, 32), (16.0, 8)] {
            let region = Region {
                left: 20.0,
                top: 8.0,
                side,
            };
            let out = crop(&picture, &region, size);
            let scale = region.scale(size);
            for y in 0..size {
                for x in 0..size {
                    let [column, row] = [x, y].map(|n| (n as f32 + 0.5) * scale - 0.5);
                    let at = y * size + x;
                    assert!((255.0 * out[at] - 2.0 * (20.0 + column)).abs() < 0.02);
                    let green = 255.0 * out[size * size + at];
                    assert!((green - 3.0 * (8.0 + row)).abs() < 0.02, "{size} {green}");
                    assert!((out[2 * size * size + at] - 1.0).abs() < 1e-5);
                }
            }
        }
        let out = crop(&picture, &Region::whole(size), 64);
        let blue = &out[2 * 64 * 64..];
        assert!(blue[..64 * 16].iter().all(|v| *v == 0.0));
        assert!(
            blue[64 * 16..64 * 48]
                .iter()
                .all(|v| (*v - 1.0).abs() < 1e-5)
        );
        assert!(Rgb::new([4, 4], 12, &[0; 47]).is_none());
        assert!(Rgb::new([4, 4], 11, &[0; 64]).is_none());
    }
}
