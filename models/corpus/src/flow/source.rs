// SPDX-License-Identifier: MPL-2.0
//! Where pairs of frames come from: synthetic scenes, and folders.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::compose::{self, Recipe};
use super::defects::Defects;
use super::folder;
use super::pair::Pair;
use super::picture::{Flow, Picture};
use super::texture::Textures;
use crate::Split;
use crate::random::Random;

/// Where pairs come from: one source makes them up, one reads a folder, which may have been written
/// from the corpus of dances.
pub trait Source: Send + Sync {
    /// The pair number `index` of a split, of `[width, height]` pixels, every vector known: the
    /// same each time it is asked for. Splits share nothing.
    ///
    /// # Errors
    /// Naming the data that are missing or damaged.
    fn pair(&self, split: Split, index: u64, size: [usize; 2]) -> Result<Pair>;

    /// What they are and whose, with licences, for the card.
    fn about(&self) -> String;
}

/// Pairs synthesised from textured layers.
pub struct Procedural {
    recipe: Recipe,
    held_out: Recipe,
    seed: u64,
    textures: [Textures; 2],
    photos: usize,
}

impl Procedural {
    /// Pairs of a seed, with their own textures for what is learned from and for what is held out.
    /// `photos` are folders of PNG pictures to take textures from; they are not held out.
    ///
    /// # Errors
    /// Naming the folder or photograph that cannot be read.
    pub fn new(
        recipe: Recipe,
        held_out: Recipe,
        seed: u64,
        textures: usize,
        photos: &[PathBuf],
    ) -> Result<Self> {
        let mut files = Vec::new();
        for folder in photos {
            let found = folder::pictures(folder)?;
            ensure!(!found.is_empty(), "{} holds no pictures", folder.display());
            files.extend(found);
        }
        Ok(Self {
            textures: [
                Textures::new(seed, textures, &files)?,
                Textures::new(seed ^ HELD_OUT, textures.min(256), &[])?,
            ],
            recipe,
            held_out,
            seed,
            photos: files.len(),
        })
    }

    /// A pair without the defects of recorded pictures: only then does the second frame show the
    /// same colours as the first.
    pub fn clean(&self, split: Split, index: u64, size: [usize; 2]) -> Pair {
        self.make(split, index, size, true)
    }

    fn make(&self, split: Split, index: u64, size: [usize; 2], is_clean: bool) -> Pair {
        let (seed, recipe, textures) = match split {
            Split::Training => (self.seed, &self.recipe, &self.textures[0]),
            Split::Validation => (self.seed ^ HELD_OUT, &self.held_out, &self.textures[1]),
            Split::Test => (self.seed ^ !HELD_OUT, &self.held_out, &self.textures[1]),
        };
        let random = &mut Random::new(seed, index);
        let clean = Recipe {
            blur: 0.0,
            ..recipe.clone()
        };
        let scene = compose::scene(
            random,
            textures,
            if is_clean { &clean } else { recipe },
            size,
        );
        let truth = scene.truth();
        let blurred = scene.instants.len() > 2;
        let half = (scene.instants.len() - 2) / 2;
        let defects = if is_clean {
            Defects::none()
        } else {
            Defects::random(random, recipe.defects)
        };
        let [first, second] = [0, 1].map(|frame| {
            let instants: Vec<usize> = if blurred {
                (2 + frame * half..2 + (frame + 1) * half).collect()
            } else {
                vec![frame]
            };
            defects.record(scene.render(&instants), frame, size, random)
        });
        Pair {
            first,
            second,
            flow: Flow {
                width: size[0],
                height: size[1],
                vectors: truth.flow,
            },
            visible: Some(truth.visible),
            limb: Some(truth.limb),
        }
    }
}

/// What the seed of the held-out textures and scenes differs by.
const HELD_OUT: u64 = 0x005e_ed0f_7e57;

impl Source for Procedural {
    fn pair(&self, split: Split, index: u64, size: [usize; 2]) -> Result<Pair> {
        Ok(self.make(split, index, size, false))
    }

    fn about(&self) -> String {
        let photos = match self.photos {
            0 => "no photographs".to_owned(),
            n => format!("{n} photographs of the user's"),
        };
        format!("procedural pairs, made while training from synthetic textures and {photos}")
    }
}

/// Pairs from a folder, as [`folder::find`] finds them: all of them to learn from.
pub struct Folder {
    path: PathBuf,
    pairs: Vec<folder::Entry>,
    seed: u64,
    defects: f64,
}

impl Folder {
    /// The pairs of a folder.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(path: &Path, seed: u64, defects: f64) -> Result<Self> {
        Ok(Self {
            path: path.into(),
            pairs: folder::find(path)?,
            seed,
            defects,
        })
    }
}

impl Source for Folder {
    fn pair(&self, _: Split, index: u64, size: [usize; 2]) -> Result<Pair> {
        let random = &mut Random::new(self.seed, index);
        let entry = &self.pairs[random.index(self.pairs.len())];
        let pair = entry.load()?;
        let name = || entry.truth.display();
        ensure!(
            pair.flow
                .vectors
                .as_flattened()
                .iter()
                .all(|x| x.is_finite()),
            "{}: not every vector is known, and a pair to learn from needs them",
            name()
        );
        let pair = crop(&pair, random, size)
            .with_context(|| format!("{} is smaller than {size:?}", name()))?;
        let defects = Defects::random(random, self.defects);
        let mut record = |picture: &Picture, frame| {
            let pixels = picture.pixels.iter().map(|p| p.map(f32::from)).collect();
            defects.record(pixels, frame, size, random)
        };
        let (first, second) = (record(&pair.first, 0), record(&pair.second, 1));
        Ok(Pair {
            first,
            second,
            ..pair
        })
    }

    fn about(&self) -> String {
        format!("{} pairs of {}", self.pairs.len(), self.path.display())
    }
}

/// A part of a pair in one of the eight positions that turning and mirroring give; none where it is
/// too small.
fn crop(pair: &Pair, random: &mut Random, [width, height]: [usize; 2]) -> Option<Pair> {
    let flow = &pair.flow;
    let flips = [(); 2].map(|()| random.chance(0.5));
    let is_turned = random.chance(0.5);
    let across = |[x, y]: [usize; 2]| if is_turned { [y, x] } else { [x, y] };
    // Sides of the part as it lies in the whole.
    let sides = across([width, height]);
    let left = random.index(flow.width.checked_sub(sides[0])? + 1);
    let top = random.index(flow.height.checked_sub(sides[1])? + 1);
    let places: Vec<usize> = (0..width * height)
        .map(|at| {
            let [x, y] = across([at % width, at / width]);
            let x = if flips[0] { sides[0] - 1 - x } else { x };
            let y = if flips[1] { sides[1] - 1 - y } else { y };
            (top + y) * flow.width + left + x
        })
        .collect();
    let picture = |from: &Picture| Picture {
        width,
        height,
        pixels: places.iter().map(|&at| from.pixels[at]).collect(),
    };
    let mask = |from: &Option<Vec<bool>>| -> Option<Vec<bool>> {
        let from = from.as_ref()?;
        Some(places.iter().map(|&at| from[at]).collect())
    };
    let vector = |at: usize| {
        let [u, v] = flow.vectors[at];
        let [u, v] = [if flips[0] { -u } else { u }, if flips[1] { -v } else { v }];
        if is_turned { [v, u] } else { [u, v] }
    };
    Some(Pair {
        first: picture(&pair.first),
        second: picture(&pair.second),
        flow: Flow {
            width,
            height,
            vectors: places.iter().map(|&at| vector(at)).collect(),
        },
        visible: mask(&pair.visible),
        limb: mask(&pair.limb),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Procedural {
        let recipe = Recipe::default();
        Procedural::new(recipe.clone(), recipe, 3, 24, &[]).unwrap()
    }

    /// The colour of a picture between its pixels.
    fn sample(picture: &Picture, [x, y]: [f32; 2]) -> [f32; 3] {
        let (left, top) = (x.floor() as usize, y.floor() as usize);
        let (fx, fy) = (x - left as f32, y - top as f32);
        let at = |x: usize, y: usize| {
            let (x, y) = (x.min(picture.width - 1), y.min(picture.height - 1));
            picture.pixels[y * picture.width + x].map(f32::from)
        };
        let (a, b) = (at(left, top), at(left + 1, top));
        let (c, d) = (at(left, top + 1), at(left + 1, top + 1));
        [0, 1, 2].map(|i| {
            let (upper, lower) = (a[i] + (b[i] - a[i]) * fx, c[i] + (d[i] - c[i]) * fx);
            upper + (lower - upper) * fy
        })
    }

    #[test]
    fn the_second_frame_shows_the_first_where_the_flow_leads() {
        let source = source();
        let size = [96, 80];
        let (mut with, mut without, mut pixels) = (0.0f64, 0.0f64, 0usize);
        for index in 0..60 {
            let pair = source.clean(Split::Training, index, size);
            let visible = pair.visible.as_ref().unwrap();
            for at in 0..visible.len() {
                let (x, y) = (at % size[0], at / size[0]);
                // The border of a layer is mixed with what is behind, which moves differently.
                let around = [
                    at.wrapping_sub(1),
                    at + 1,
                    at.wrapping_sub(size[0]),
                    at + size[0],
                ];
                let inside = around.iter().all(|&n| {
                    visible.get(n).copied().unwrap_or(false) && {
                        let (a, b) = (pair.flow.vectors[n], pair.flow.vectors[at]);
                        (a[0] - b[0]).hypot(a[1] - b[1]) < 0.5
                    }
                });
                let v = pair.flow.vectors[at];
                let to = [x as f32 + v[0], y as f32 + v[1]];
                let within = to[0] >= 0.0
                    && to[1] >= 0.0
                    && to[0] <= size[0] as f32 - 1.0
                    && to[1] <= size[1] as f32 - 1.0;
                if !visible[at] || !inside || !within || v == [0.0; 2] {
                    continue;
                }
                let colour = pair.first.pixels[at].map(f32::from);
                let error = |place| {
                    let there = sample(&pair.second, place);
                    (0..3)
                        .map(|i| f64::from((there[i] - colour[i]).abs()))
                        .sum::<f64>()
                        / 3.0
                };
                with += error(to);
                without += error([x as f32, y as f32]);
                pixels += 1;
            }
        }
        let (with, without) = (with / pixels as f64, without / pixels as f64);
        assert!(pixels > 100_000, "{pixels}");
        // What is left is the interpolation of textures as fine as pixels.
        assert!(with < 4.0 && with < 0.25 * without, "{with} {without}");
    }

    #[test]
    fn pairs_are_the_same_again_and_splits_differ() {
        let source = source();
        let get = |split, index| source.pair(split, index, [64, 64]).unwrap();
        assert_eq!(
            get(Split::Training, 7).second,
            get(Split::Training, 7).second
        );
        let others = [
            get(Split::Training, 8),
            get(Split::Validation, 7),
            get(Split::Test, 7),
        ];
        for other in &others {
            assert_ne!(get(Split::Training, 7).first, other.first);
        }
        assert_ne!(others[1].first, others[2].first);
    }

    #[test]
    fn motion_is_still_slow_and_fast() {
        let source = source();
        let mut means: Vec<f64> = (0..200)
            .map(|index| {
                let pair = source.clean(Split::Training, index, [128, 128]);
                let lengths = pair
                    .flow
                    .vectors
                    .iter()
                    .map(|v| f64::from(v[0].hypot(v[1])));
                lengths.sum::<f64>() / pair.flow.vectors.len() as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        assert!(
            means[0] < 0.5 && means[20] < 1.0,
            "{} {}",
            means[0],
            means[20]
        );
        assert!(
            means[190] > 6.0 && means[199] > 12.0,
            "{} {}",
            means[190],
            means[199]
        );
        // A camera that stands still leaves a background that does exactly so.
        let still = (0..50).filter(|&index| {
            let pair = source.clean(Split::Training, index, [64, 64]);
            let still = pair.flow.vectors.iter().filter(|v| **v == [0.0; 2]).count();
            still > 64 * 64 / 8
        });
        assert!((8..40).contains(&still.count()));
    }

    #[test]
    fn a_part_in_any_position_moves_as_it_shows() {
        // A picture that moves by (2, 1), whose colours say where each pixel is.
        let pixel = |x: usize, y: usize| [(16 * x) as u8, (16 * y) as u8, 7];
        let size = |pixels, width, height| Picture {
            width,
            height,
            pixels,
        };
        let shown = |by: [usize; 2]| {
            let at = |n: usize| pixel(n % 12 + 2 - by[0], n / 12 + 1 - by[1]);
            size((0..12 * 8).map(at).collect(), 12, 8)
        };
        let pair = Pair {
            first: shown([0, 0]),
            second: shown([2, 1]),
            flow: Flow {
                width: 12,
                height: 8,
                vectors: vec![[2.0, 1.0]; 12 * 8],
            },
            visible: None,
            limb: Some((0..96).map(|n| n % 2 == 0).collect()),
        };
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..200 {
            let part = crop(&pair, &mut Random::new(1, n), [6, 5]).unwrap();
            let [u, v] = part.flow.vectors[0].map(|x| x as isize);
            seen.insert((u, v));
            let mut both = 0;
            for y in 0..5 {
                for x in 0..6 {
                    let (x2, y2) = (x + u, y + v);
                    if (0..6).contains(&x2) && (0..5).contains(&y2) {
                        both += 1;
                        let at = |x: isize, y: isize| (y * 6 + x) as usize;
                        let (from, to) = (at(x, y), at(x2, y2));
                        assert_eq!(part.first.pixels[from], part.second.pixels[to]);
                        let column = usize::from(part.first.pixels[from][0]) / 16 - 2;
                        assert_eq!(part.limb.as_ref().unwrap()[from], column % 2 == 0);
                    }
                }
            }
            assert!(both > 0);
        }
        assert_eq!(seen.len(), 8, "{seen:?}");
        assert!(crop(&pair, &mut Random::new(1, 0), [13, 13]).is_none());
    }
}
