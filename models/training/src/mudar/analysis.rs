// SPDX-License-Identifier: MPL-2.0
//! Motion of pictures as an element sees it: the region that moves, optical flow in it, and features of it.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dance_rhythm::motion::cut::{self, Change};
use dance_rhythm::motion::region::{Region, Rgb, Tracker, crop};
use ndarray::{Array4, ArrayD, ArrayView4, Axis, IxDyn};

use crate::runtime::Graph;
use dance_networks::network::Array;

/// Pairs that ONNX Runtime takes at once.
const BATCH: usize = 8;

/// What a frame could be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The frame before it.
    Flow,
    /// Nothing: it is the first.
    First,
    /// Another scene.
    Cut,
    /// The same picture again.
    Repeated,
}

impl Status {
    /// All, by their numbers in files.
    pub const ALL: [Self; 4] = [Self::Flow, Self::First, Self::Cut, Self::Repeated];
}

/// The motion of a sequence of T frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    /// Of each frame.
    pub status: Vec<Status>,
    /// The part of each frame that was analysed.
    pub regions: Vec<Region>,
    /// T×2×h×w: from the frame before, in pixels of the analysed picture to the right and down; 0 where there is none.
    pub flow: Array4<f32>,
    /// T×C×h×w: the coarsest features of each frame.
    pub map: Array4<f32>,
}

/// Analyses sequences of pictures.
pub struct Analysis {
    graph: Graph,
    size: usize,
}

impl Analysis {
    /// With a flow network whose pictures are square.
    ///
    /// # Errors
    /// When it cannot be loaded, or takes other pictures.
    pub fn new(model: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(model).with_context(|| format!("cannot read {}", model.display()))?;
        let graph = Graph::load(&bytes).with_context(|| model.display().to_string())?;
        let shape = graph.input_shape("frames").unwrap_or_default();
        let [_, 2, 3, height, width] = shape[..] else {
            bail!("{} takes {shape:?}, not pairs of frames", model.display());
        };
        ensure!(
            height == width && width > 0,
            "{} takes pictures of {width} x {height}, not square ones: dance-train flow resize makes one that does",
            model.display()
        );
        Ok(Self {
            graph,
            size: width as usize,
        })
    }

    /// The motion of `pictures` T×H×W×3, shown at `fps`. With `known`, the region is that of somebody who has watched
    /// the pictures once before, as in the middle of a video.
    ///
    /// # Errors
    /// As ONNX Runtime.
    pub fn run(&mut self, pictures: &ArrayView4<u8>, fps: f64, known: bool) -> Result<Motion> {
        let (count, height, width, _) = pictures.dim();
        ensure!(count > 0, "no pictures");
        let picture = |t: usize| -> Result<Rgb> {
            let all = pictures
                .as_slice()
                .context("pictures that are not in order")?;
            let bytes = 3 * width * height;
            Rgb::new([width, height], 3 * width, &all[t * bytes..][..bytes])
                .context("an empty picture")
        };
        let greys = (0..count)
            .map(|t| Ok(picture(t)?.grey()))
            .collect::<Result<Vec<_>>>()?;
        let mut tracker = Tracker::new([width, height]);
        if known {
            for (t, grey) in greys.iter().enumerate() {
                // Before the first frame.
                tracker.next(grey, (t as f64 - count as f64) / fps);
            }
        }
        let (mut status, mut regions) = (Vec::new(), Vec::new());
        let mut pairs: Vec<f32> = Vec::new();
        let (mut flow, mut map) = (Vec::new(), Vec::new());
        for (t, grey) in greys.iter().enumerate() {
            let mut region = tracker.next(grey, t as f64 / fps);
            let mut now = crop(&picture(t)?, &region, self.size);
            let mut before = match t {
                0 => now.clone(),
                _ => crop(&picture(t - 1)?, &region, self.size),
            };
            let found = match (t, cut::change(&before, &now, self.size)) {
                (0, _) => Status::First,
                (_, Change::Motion) => Status::Flow,
                (_, Change::Repeated) => Status::Repeated,
                (_, Change::Cut) => Status::Cut,
            };
            if found == Status::Cut {
                tracker.restart();
                region = tracker.next(grey, t as f64 / fps);
                now = crop(&picture(t)?, &region, self.size);
                before.clone_from(&now);
            }
            status.push(found);
            regions.push(region);
            pairs.append(&mut before);
            pairs.append(&mut now);
            if pairs.len() >= BATCH * 6 * self.size * self.size || t + 1 == count {
                let (flows, maps) = self.batch(std::mem::take(&mut pairs))?;
                flow.push(flows);
                map.push(maps);
            }
        }
        let joined = |parts: &[ArrayD<f32>]| -> Result<Array4<f32>> {
            let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
            Ok(ndarray::concatenate(Axis(0), &views)?.into_dimensionality()?)
        };
        let mut flow = joined(&flow)?;
        for (mut flow, status) in flow.outer_iter_mut().zip(&status) {
            if *status != Status::Flow {
                flow.fill(0.0);
            }
        }
        Ok(Motion {
            status,
            regions,
            flow,
            map: joined(&map)?,
        })
    }

    fn batch(&mut self, pairs: Vec<f32>) -> Result<(ArrayD<f32>, ArrayD<f32>)> {
        let n = pairs.len() / (6 * self.size * self.size);
        let frames = ArrayD::from_shape_vec(IxDyn(&[n, 2, 3, self.size, self.size]), pairs)?;
        let mut outputs = self
            .graph
            .run(&[("frames".to_owned(), Array::Float32(frames))].into())?;
        let mut take = |name: &str| {
            outputs
                .remove(name)
                .with_context(|| format!("the flow network gives no {name}"))
        };
        Ok((take("flow")?, take("map")?))
    }
}
