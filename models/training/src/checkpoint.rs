// SPDX-License-Identifier: MPL-2.0
//! The whole state of a training, in one safetensors file.

use anyhow::{Context, Result, bail, ensure};
use dance_corpus::files;
use dance_networks::weights::Stored;
use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What a checkpoint says beside its tensors. Random numbers need no state of their own: those of
/// a step are drawn from the seed and the step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// The task.
    pub task: String,
    /// The seed.
    pub seed: u64,
    /// The number of steps taken.
    pub step: u64,
    /// The smallest validation loss so far.
    pub best: Option<f64>,
    /// The validations since then.
    pub since_best: u64,
    /// The sums of the losses and of the gradients' norms since the last validation, and their
    /// number.
    pub since_validation: (f64, f64, u64),
    /// The seconds spent.
    pub seconds: f64,
    /// The configuration, as it stood in its file.
    pub config: String,
}

/// A checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// What it says about itself.
    pub meta: Meta,
    /// The weights.
    pub weights: Stored,
    /// The first moments of their gradients.
    pub first: Stored,
    /// The second moments.
    pub second: Stored,
    /// The averages of the weights, which are what is exported.
    pub average: Stored,
}

const KEY: &str = "dance-training";

impl Checkpoint {
    fn groups(&self) -> [(&'static str, &Stored); 4] {
        [
            ("weight", &self.weights),
            ("first", &self.first),
            ("second", &self.second),
            ("average", &self.average),
        ]
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// As [`files::write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut bytes: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for (group, tensors) in self.groups() {
            for (name, tensor) in tensors {
                let data = tensor.iter().flat_map(|x| x.to_le_bytes()).collect();
                bytes.push((format!("{group}/{name}"), tensor.shape().to_vec(), data));
            }
        }
        let views = bytes
            .iter()
            .map(|(name, shape, data)| {
                Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?))
            })
            .collect::<Result<Vec<_>>>()?;
        let meta = HashMap::from([(KEY.to_owned(), serde_json::to_string(&self.meta)?)]);
        files::write(path, &serialize(views, Some(meta))?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there, is damaged, or is not one of ours.
    pub fn load(path: &Path) -> Result<Self> {
        let file = path.display();
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read checkpoint {file}"))?;
        let (_, header) = SafeTensors::read_metadata(&bytes)
            .with_context(|| format!("{file} is no checkpoint, or a damaged one"))?;
        let meta = header
            .metadata()
            .as_ref()
            .and_then(|meta| meta.get(KEY))
            .with_context(|| format!("{file} was not written by dance-train"))?;
        let mut checkpoint = Self {
            meta: serde_json::from_str(meta)
                .with_context(|| format!("{file} is of another version of dance-train"))?,
            ..Self::default()
        };
        let tensors = SafeTensors::deserialize(&bytes)
            .with_context(|| format!("{file} is a damaged checkpoint"))?;
        for (name, view) in tensors.iter() {
            ensure!(
                view.dtype() == Dtype::F32,
                "{name} in {file} is {:?}",
                view.dtype()
            );
            let data: Vec<f32> = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            let tensor = ArrayD::from_shape_vec(IxDyn(view.shape()), data)?;
            let group = match name.split_once('/') {
                Some(("weight", path)) => (&mut checkpoint.weights, path),
                Some(("first", path)) => (&mut checkpoint.first, path),
                Some(("second", path)) => (&mut checkpoint.second, path),
                Some(("average", path)) => (&mut checkpoint.average, path),
                _ => bail!("{name} in {file} is of another version of dance-train"),
            };
            group.0.insert(group.1.to_owned(), tensor);
        }
        Ok(checkpoint)
    }
}

/// Figures by name, as validations and cards hold them.
pub type Figures = BTreeMap<String, f64>;

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Checkpoint {
        let tensor = |x: f32| Stored::from([("a.b".into(), ArrayD::from_elem(IxDyn(&[2, 3]), x))]);
        Checkpoint {
            meta: Meta {
                task: "selftest".into(),
                seed: u64::MAX,
                step: 7,
                best: Some(0.1),
                ..Meta::default()
            },
            weights: tensor(1.0),
            first: tensor(f32::MIN_POSITIVE),
            second: tensor(3.0),
            average: tensor(4.0),
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        example().save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), example());
    }

    #[test]
    fn damaged_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        example().save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for n in [0, 4, 8, 100, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..n]).unwrap();
            let error = Checkpoint::load(&path).unwrap_err().to_string();
            assert!(error.contains("damaged"), "{n} bytes: {error}");
        }
        assert!(Checkpoint::load(&dir.path().join("none")).is_err());
    }
}
