// SPDX-License-Identifier: MPL-2.0
//! Pictures between two frames, moved along the flow from one to the other.
//!
//! Each place of the picture is shown where what is there moves along a vector that the flow of either frame leads through
//! it. Of several such vectors, as where a limb passes before a wall, the one is taken that both flows confirm and that
//! ends in the same brightness on both sides. What only one of the frames shows, since the other one hides it, is taken
//! from that one alone.

use gst_video::VideoFrameExt;

use super::picture::{Component, Readable, Writable};

/// Vectors that are looked at for each place, at most.
const CANDIDATES: usize = 14;
/// Vectors nearer than this, in pixels, are one.
const ALIKE: f32 = 0.3;
/// A flow that differs from a vector by this share of the picture's width says nothing for it at all.
const APART: f32 = 0.012;
/// Steps of 255 in brightness that weigh as much as a flow which says nothing.
const CONTRAST: f32 = 30.0;
/// What a vector gains that is much longer than another one.
const IN_FRONT: f32 = 0.1;
/// Places across the picture for which a vector is chosen, at most.
const PLACES: usize = 640;

/// A flow between two frames, in pixels of the picture, on a grid of its own.
pub(super) struct Field {
    size: [usize; 2],
    picture: [f32; 2],
    /// To the right, then down.
    vectors: Vec<[f32; 2]>,
}

impl Field {
    /// A flow of `size` vectors over a picture of `picture` pixels; `None` if there are more or less.
    pub(super) fn new(
        size: [usize; 2],
        picture: [usize; 2],
        vectors: Vec<[f32; 2]>,
    ) -> Option<Self> {
        let count = size[0].checked_mul(size[1]).filter(|&count| count > 0)?;
        (vectors.len() == count).then_some(Self {
            size,
            picture: picture.map(|side| side as f32),
            vectors,
        })
    }

    /// The vector at a pixel.
    fn at(&self, x: f32, y: f32) -> [f32; 2] {
        let [width, height] = self.size;
        let x = (x + 0.5) / self.picture[0] * width as f32 - 0.5;
        let y = (y + 0.5) / self.picture[1] * height as f32 - 0.5;
        let (x, y) = (
            x.clamp(0.0, (width - 1) as f32),
            y.clamp(0.0, (height - 1) as f32),
        );
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let (u, v) = (x - left as f32, y - top as f32);
        let vector = |x: usize, y: usize| self.vectors[y * width + x];
        let corners = [
            vector(left, top),
            vector(right, top),
            vector(left, bottom),
            vector(right, bottom),
        ];
        let mix = |k: usize| {
            let upper = corners[0][k] * (1.0 - u) + corners[1][k] * u;
            let lower = corners[2][k] * (1.0 - u) + corners[3][k] * u;
            upper * (1.0 - v) + lower * v
        };
        [mix(0), mix(1)]
    }

    /// The middle of a vector's place, in pixels.
    fn place(&self, x: usize, y: usize) -> [f32; 2] {
        let along =
            |k: usize, n: usize| (n as f32 + 0.5) / self.size[k] as f32 * self.picture[k] - 0.5;
        [along(0, x), along(1, y)]
    }

    /// The flow the other way round, of the same grid: about what a flow from there to here would be.
    pub(super) fn turned(&self) -> Self {
        let [width, height] = self.size;
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let vectors = places.map(|(x, y)| {
            let [x, y] = self.place(x, y);
            let (mut from, mut vector) = ([x, y], [0.0; 2]);
            for _ in 0..4 {
                vector = self.at(from[0], from[1]);
                from = [x - vector[0], y - vector[1]];
            }
            vector.map(|part| -part)
        });
        Self {
            size: self.size,
            picture: self.picture,
            vectors: vectors.collect(),
        }
    }
}

/// The flows between two frames: from the first to the second, and back.
pub(super) struct Flows {
    pub there: Field,
    pub back: Field,
}

/// Where a place of the picture is to be found in both frames, and how much of the second one is shown.
#[derive(Clone, Copy)]
struct Choice {
    vector: [f32; 2],
    share: f32,
}

/// A few vectors, no two of them alike.
#[derive(Clone, Copy)]
struct Few {
    vectors: [[f32; 2]; CANDIDATES],
    count: usize,
}

impl Few {
    fn none() -> Self {
        Self {
            vectors: [[0.0; 2]; CANDIDATES],
            count: 0,
        }
    }

    fn add(&mut self, vector: [f32; 2]) {
        let known = &self.vectors[..self.count];
        let alike = |other: &[f32; 2]| distance(*other, vector) < ALIKE;
        if self.count < CANDIDATES && !known.iter().any(alike) {
            self.vectors[self.count] = vector;
            self.count += 1;
        }
    }

    fn all(&self) -> &[[f32; 2]] {
        &self.vectors[..self.count]
    }
}

fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The vectors that lead through each place of a coarse grid at `share` of the way.
struct Passing {
    size: [usize; 2],
    picture: [f32; 2],
    cells: Vec<Few>,
}

impl Passing {
    fn new(flows: &Flows, share: f32) -> Self {
        let [width, height] = flows.there.size;
        let mut passing = Self {
            size: [width, height],
            picture: flows.there.picture,
            cells: vec![Few::none(); width * height],
        };
        for (field, share, sign) in [(&flows.there, share, 1.0), (&flows.back, 1.0 - share, -1.0)] {
            for y in 0..field.size[1] {
                for x in 0..field.size[0] {
                    let vector = field.vectors[y * field.size[0] + x];
                    let [px, py] = field.place(x, y);
                    let place = [px + share * vector[0], py + share * vector[1]];
                    if let Some(cell) = passing.cell(place) {
                        passing.cells[cell].add(vector.map(|part| sign * part));
                    }
                }
            }
        }
        passing
    }

    fn coordinate(&self, k: usize, pixel: f32) -> isize {
        ((pixel + 0.5) / self.picture[k] * self.size[k] as f32).floor() as isize
    }

    fn cell(&self, [x, y]: [f32; 2]) -> Option<usize> {
        let (x, y) = (self.coordinate(0, x), self.coordinate(1, y));
        let inside = |n: isize, k: usize| usize::try_from(n).ok().filter(|n| *n < self.size[k]);
        Some(inside(y, 1)? * self.size[0] + inside(x, 0)?)
    }

    /// Those that lead through a pixel or its neighbourhood.
    fn near(&self, x: f32, y: f32) -> Few {
        let mut few = Few::none();
        let (left, top) = (self.coordinate(0, x), self.coordinate(1, y));
        // Its own place first, as there is room for so many only.
        let around = [
            (0, 0),
            (-1, 0),
            (1, 0),
            (0, -1),
            (0, 1),
            (-1, -1),
            (1, -1),
            (-1, 1),
            (1, 1),
        ];
        for (dx, dy) in around {
            let (x, y) = (left + dx, top + dy);
            let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
                continue;
            };
            if x < self.size[0] && y < self.size[1] {
                for vector in self.cells[y * self.size[0] + x].all() {
                    few.add(*vector);
                }
            }
        }
        few
    }
}

/// What the choice of a vector follows from.
struct Chooser<'a> {
    frames: [Component<'a>; 2],
    flows: &'a Flows,
    passing: Passing,
    share: f32,
    apart: f32,
}

impl Chooser<'_> {
    /// How far both flows are from a vector at a pixel, up to 1 for each.
    fn doubts(&self, [x, y]: [f32; 2], vector: [f32; 2]) -> ([[f32; 2]; 2], [f32; 2]) {
        let rest = 1.0 - self.share;
        let from = [x - self.share * vector[0], y - self.share * vector[1]];
        let to = [x + rest * vector[0], y + rest * vector[1]];
        let there = self.flows.there.at(from[0], from[1]);
        let back = self.flows.back.at(to[0], to[1]).map(|part| -part);
        let doubt = |place: [f32; 2], flow: [f32; 2]| {
            let picture = self.flows.there.picture;
            let inside = (0..2).all(|k| place[k] > -1.0 && place[k] < picture[k]);
            if inside {
                (distance(flow, vector) / self.apart).min(1.0)
            } else {
                1.0
            }
        };
        ([from, to], [doubt(from, there), doubt(to, back)])
    }

    fn choose(&self, place: [f32; 2]) -> Choice {
        let [x, y] = place;
        let mut few = self.passing.near(x, y);
        few.add(self.flows.there.at(x, y));
        few.add(self.flows.back.at(x, y).map(|part| -part));
        let mut best: Option<(f32, [f32; 2], [f32; 2])> = None;
        for &vector in few.all() {
            let ([from, to], doubts) = self.doubts(place, vector);
            let [a, b] = &self.frames;
            // The pixel and its four neighbours.
            let around = [[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]];
            let differences = around.map(|[dx, dy]| {
                (a.at(from[0] + dx, from[1] + dy) - b.at(to[0] + dx, to[1] + dy)).abs()
            });
            let difference = differences.iter().sum::<f32>() / around.len() as f32;
            // Where one frame hides what the other shows, their brightness says nothing.
            let comparable = (1.0 - doubts[0]) * (1.0 - doubts[1]);
            // What moves more is as a rule in front.
            let speed = (vector[0].hypot(vector[1]) / (2.0 * self.apart)).min(1.0);
            let cost =
                doubts[0] + doubts[1] + comparable * difference / CONTRAST - IN_FRONT * speed;
            if best.is_none_or(|(least, ..)| cost < least) {
                best = Some((cost, vector, doubts));
            }
        }
        let (_, vector, doubts) = best.unwrap_or((0.0, [0.0; 2], [0.0; 2]));
        // A flow that leads elsewhere says that what is here is hidden there.
        let visible = |doubt: f32| (-6.0 * doubt * doubt).exp();
        let before = (1.0 - self.share) * visible(doubts[0]);
        let after = self.share * visible(doubts[1]);
        Choice {
            vector,
            share: after / (before + after).max(1e-6),
        }
    }
}

/// Moves both frames to where things are at `share` of the way, and puts them together there. `None` if the frames cannot
/// be read.
pub(super) fn warp(
    from: &Readable<'_>,
    to: &Readable<'_>,
    share: f32,
    flows: &Flows,
    out: &mut Writable<'_>,
) -> Option<()> {
    let format = out.format_info();
    let (width, height) = (out.width() as usize, out.height() as usize);
    let step = width.div_ceil(PLACES).max(1);
    let chooser = Chooser {
        frames: [Component::of(from, 0)?, Component::of(to, 0)?],
        flows,
        passing: Passing::new(flows, share),
        share,
        apart: (APART * width as f32).max(0.5),
    };
    let columns = width.div_ceil(step);
    let middle = 0.5 * (step as f32 - 1.0);
    let choices: Vec<Choice> = (0..height.div_ceil(step))
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .map(|(row, column)| {
            let along = |n: usize| (n * step) as f32 + middle;
            chooser.choose([along(column), along(row)])
        })
        .collect();
    for number in 0..format.n_components() as usize {
        let (a, b) = (Component::of(from, number)?, Component::of(to, number)?);
        let [across, down] = a.size();
        let plane = *format.plane().get(number)?;
        let stride = usize::try_from(*out.plane_stride().get(plane as usize)?).ok()?;
        let data = out.plane_data_mut(plane).ok()?;
        let scale = [across as f32 / width as f32, down as f32 / height as f32];
        for y in 0..down {
            let row = (y * height / down / step) * columns;
            for x in 0..across {
                let choice = choices[row + x * width / across / step];
                let [dx, dy] = [choice.vector[0] * scale[0], choice.vector[1] * scale[1]];
                let (px, py) = (x as f32, y as f32);
                let before = a.at(px - share * dx, py - share * dy);
                let after = b.at(px + (1.0 - share) * dx, py + (1.0 - share) * dy);
                let value = before + (after - before) * choice.share;
                if let Some(pixel) = data.get_mut(y * stride + a.offset_of(x)) {
                    *pixel = (value + 0.5) as u8;
                }
            }
        }
    }
    Some(())
}
