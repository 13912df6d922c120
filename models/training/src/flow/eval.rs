// SPDX-License-Identifier: MPL-2.0
//! `flow eval` and `flow list`: how well a network estimates the flow of a folder of pairs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::runtime::Graph;
use dance_corpus::flow::folder;
use dance_corpus::flow::pair::Pair;
use dance_corpus::flow::picture::Flow;

/// `flow list`: the pairs of a folder, as tab-separated lines of first frame, second frame, truth
/// and mask. What the script `flow-classics.py` reads.
#[derive(clap::Args, Debug)]
pub struct List {
    /// The folder.
    pub folder: PathBuf,
}

impl List {
    /// The lines.
    ///
    /// # Errors
    /// As [`folder::find`].
    pub fn run(&self) -> Result<String> {
        let mut text = String::new();
        for entry in folder::find(&self.folder)? {
            let mask = entry.mask.as_deref().unwrap_or(Path::new(""));
            let (first, second) = (entry.first.display(), entry.second.display());
            writeln!(
                text,
                "{first}\t{second}\t{}\t{}",
                entry.truth.display(),
                mask.display()
            )?;
        }
        Ok(text)
    }
}

/// `flow eval`: end-point errors over a folder of pairs, beside those of zero flow.
#[derive(clap::Args, Debug)]
pub struct Eval {
    /// The folder, laid out as FlyingChairs, MPI Sintel, KITTI or Middlebury; truth as .flo or as
    /// KITTI's PNG.
    pub folder: PathBuf,
    /// An exported network; needs ONNX Runtime. Frames of another size than its own are scaled to
    /// it, and its flow back.
    #[arg(long, value_name = "ONNX")]
    pub model: Option<PathBuf>,
}

/// An exported network.
pub struct Model {
    graph: Graph,
    size: [usize; 2],
}

impl Model {
    /// Loads one.
    ///
    /// # Errors
    /// When the file is missing or no network of optical flow, or ONNX Runtime is not there.
    pub fn load(path: &Path) -> Result<Self> {
        let read = || -> Result<Self> {
            let graph = Graph::load(&std::fs::read(path)?)?;
            let shape = graph.input_shape("frames").context("no input frames")?;
            let &[_, 2, 3, height, width] = shape.as_slice() else {
                bail!("its frames are {shape:?}");
            };
            let size = [usize::try_from(width)?, usize::try_from(height)?];
            Ok(Self { graph, size })
        };
        read().with_context(|| format!("{} is no network of optical flow", path.display()))
    }

    /// The flow of a pair, at its size.
    ///
    /// # Errors
    /// When the run fails.
    pub fn flow(&mut self, pair: &Pair) -> Result<Flow> {
        let [width, height] = self.size;
        let [first, second] = [&pair.first, &pair.second].map(|p| p.scaled(width, height));
        let frames = super::frames(&first, &second).insert_axis(ndarray::Axis(0));
        let outputs = self
            .graph
            .run(&BTreeMap::from([("frames".into(), frames.into())]))?;
        let flow = outputs.get("flow").context("no output flow")?;
        let flow = super::flow(flow, 0, width, height)?;
        Ok(flow.scaled(pair.first.width, pair.first.height))
    }
}

/// Errors in pixels over the known vectors of pairs.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    sum: f64,
    pixels: u64,
    wrong: u64,
    limb: (f64, u64),
    /// By the length of the truth: under 10, to 40, beyond.
    speeds: [(f64, u64); 3],
}

impl Errors {
    /// Counts a pair.
    pub fn add(&mut self, found: &Flow, pair: &Pair) {
        let lengths = pair.flow.errors(&pair.flow.still());
        for (at, (error, length)) in found
            .errors(&pair.flow)
            .into_iter()
            .zip(lengths)
            .enumerate()
        {
            if length.is_nan() {
                continue;
            }
            let value = f64::from(error);
            self.sum += value;
            self.pixels += 1;
            // As KITTI counts outliers; what is no number is one, too.
            self.wrong += u64::from(!(error <= 3.0 || error <= 0.05 * length));
            let speed = &mut self.speeds[usize::from(length >= 10.0) + usize::from(length >= 40.0)];
            *speed = (speed.0 + value, speed.1 + 1);
            if pair.limb.as_ref().is_some_and(|limb| limb[at]) {
                self.limb = (self.limb.0 + value, self.limb.1 + 1);
            }
        }
    }

    /// The mean over all known pixels.
    pub fn mean(&self) -> f64 {
        self.sum / self.pixels as f64
    }

    fn line(&self, name: &str) -> String {
        let mean = |(sum, n): (f64, u64)| match n {
            0 => format!("{:>9}", "–"),
            _ => format!("{:>9.3}", sum / n as f64),
        };
        let mut text = format!("{name:<24}{}", mean((self.sum, self.pixels)));
        for part in [self.speeds[0], self.speeds[1], self.speeds[2], self.limb] {
            text += &mean(part);
        }
        let share = 100.0 * self.wrong as f64 / self.pixels as f64;
        text + &format!("{share:>9.2}")
    }
}

impl Eval {
    /// A table.
    ///
    /// # Errors
    /// Naming the file that is missing or damaged.
    pub fn run(&self) -> Result<String> {
        let entries = folder::find(&self.folder)?;
        let mut model = self.model.as_deref().map(Model::load).transpose()?;
        let (mut still, mut found) = (Errors::default(), Errors::default());
        for entry in &entries {
            let pair = entry.load()?;
            still.add(&pair.flow.still(), &pair);
            if let Some(model) = &mut model {
                found.add(&model.flow(&pair)?, &pair);
            }
        }
        ensure!(
            still.pixels > 0,
            "{}: no vector is known",
            self.folder.display()
        );
        let mut text = format!(
            "{} pairs, {} vectors, mean length {:.2} px\n{:<24}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}\n{}",
            entries.len(),
            still.pixels,
            still.mean(),
            "EPE in px",
            "all",
            "< 10",
            "10–40",
            "> 40",
            "limbs",
            "wrong %",
            still.line("zero flow")
        );
        if let Some(path) = &self.model {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            write!(text, "\n{}", found.line(&name))?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dance_corpus::flow::picture::Picture;

    #[test]
    fn a_folder_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let black = Picture {
            width: 2,
            height: 2,
            pixels: vec![[0; 3]; 4],
        };
        for n in 1..=2 {
            black
                .save(&dir.path().join(format!("a_img{n}.png")))
                .unwrap();
        }
        let mut mask = black.clone();
        mask.pixels[0] = [255; 3];
        mask.save(&dir.path().join("a_mask.png")).unwrap();
        let vectors = vec![[3.0, 4.0], [0.0, 0.0], [f32::NAN; 2], [0.0, 50.0]];
        let flow = Flow {
            width: 2,
            height: 2,
            vectors,
        };
        flow.save(&dir.path().join("a_flow.flo")).unwrap();
        let eval = Eval {
            folder: dir.path().into(),
            model: None,
        };
        let text = eval.run().unwrap();
        let zero: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        // (5 + 0 + 50) / 3; 5 and 0; none; 50; 5; two of three wrong.
        assert_eq!(
            zero[2..],
            ["18.333", "2.500", "–", "50.000", "5.000", "66.67"],
            "{text}"
        );
        let list = List {
            folder: dir.path().into(),
        }
        .run()
        .unwrap();
        assert!(list.contains("a_img1.png\t") && list.trim_end().ends_with("a_mask.png"));
        flow.scaled(3, 2)
            .save(&dir.path().join("a_flow.flo"))
            .unwrap();
        let error = eval.run().unwrap_err().to_string();
        assert!(error.contains("a_flow.flo is 3 × 2"), "{error}");
    }
}
