// SPDX-License-Identifier: MPL-2.0
//! Songs and dances to them, kept in a folder.
//!
//! Playing a song takes longer than to learn from it, so it is done once: each file has a song's
//! frames of sound and beats, and the joints of some dances to it, as float16. Cameras, references,
//! windows and mirrors are chosen anew for each window that is learned from.

use super::genres;
use super::performance::Performance;
use super::pulse::Pulse;
use super::skeleton::JOINTS;
use super::window::{Pose, Song};
use crate::files;
use anyhow::{Context, Result, bail, ensure};
use dance_rhythm::motion_diffusion::music::{FEATURES, Listener, SOUND};
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Frames a second of the joints.
pub const FPS: f64 = 30.0;

/// Numbers of a dance beside its joints: genre, person, 1 where it was captured, height in metres.
const FACTS: usize = 4;
/// Key under which the name of the features stands.
const KEY: &str = "music";

fn halves(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values
        .flat_map(|x| f16::from_f32(x).to_le_bytes())
        .collect()
}

/// Writes a song and its dances, whole or not at all.
///
/// # Errors
/// What the file system says.
pub fn save(path: &Path, dances: &[Performance]) -> Result<()> {
    let first = dances.first().context("no dances")?;
    let song = &first.song;
    let mut frames = Vec::new();
    Listener::new(song.rate).push(&song.samples, &mut frames);
    let (times, bar) = song.pulse.parts();
    let length = first.joints.len();
    ensure!(
        dances.iter().all(|d| d.joints.len() == length),
        "dances to one song are of one length"
    );
    let sound = halves(frames.iter().copied());
    let beats: Vec<u8> = times.iter().flat_map(|t| t.to_le_bytes()).collect();
    let bar: Vec<u8> = bar.iter().flat_map(|n| n.to_le_bytes()).collect();
    let flat = |pose: &Pose| pose.map(|p| p.to_array()).into_iter().flatten();
    let joints = halves(dances.iter().flat_map(|d| d.joints.iter().flat_map(flat)));
    let standing = halves(dances.iter().flat_map(|d| flat(&d.standing)));
    let facts: Vec<u8> = dances
        .iter()
        .flat_map(|d| {
            let captured = f32::from(u8::from(d.captured));
            [d.genre as f32, d.person as f32, captured, d.height]
        })
        .flat_map(f32::to_le_bytes)
        .collect();
    let count = dances.len();
    let tensors = [
        (
            "sound",
            Dtype::F16,
            vec![frames.len() / SOUND, SOUND],
            &sound,
        ),
        ("beats", Dtype::F64, vec![times.len()], &beats),
        ("bar", Dtype::I64, vec![2], &bar),
        (
            "joints",
            Dtype::F16,
            vec![count, length, JOINTS, 3],
            &joints,
        ),
        ("standing", Dtype::F16, vec![count, JOINTS, 3], &standing),
        ("facts", Dtype::F32, vec![count, FACTS], &facts),
    ];
    let views = tensors
        .into_iter()
        .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(dtype, shape, data)?)))
        .collect::<Result<Vec<_>>>()?;
    let about = HashMap::from([(KEY.to_owned(), FEATURES.to_owned())]);
    files::write(path, &serialize(views, Some(about))?)
}

/// Reads a file that [`save`] wrote.
///
/// # Errors
/// Naming the file that is missing or is not such a one.
pub fn load(path: &Path) -> Result<Song> {
    let read = || -> Result<Song> {
        let bytes = std::fs::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes)?;
        let named = header.metadata().as_ref().and_then(|m| m.get(KEY));
        ensure!(
            named.is_some_and(|name| name == FEATURES),
            "its features are not {FEATURES}: make the folder again"
        );
        let file = SafeTensors::deserialize(&bytes)?;
        let part = |name: &str, dtype: Dtype| -> Result<TensorView<'_>> {
            let tensor = file.tensor(name)?;
            ensure!(tensor.dtype() == dtype, "{name} is {:?}", tensor.dtype());
            Ok(tensor)
        };
        let halves = |tensor: &TensorView<'_>| -> Vec<f16> {
            let (values, _) = tensor.data().as_chunks();
            values.iter().map(|&b| f16::from_le_bytes(b)).collect()
        };
        let sound = part("sound", Dtype::F16)?;
        ensure!(
            sound.shape().last() == Some(&SOUND),
            "sound is not {SOUND} wide"
        );
        let beats = part("beats", Dtype::F64)?;
        let (beats, _) = beats.data().as_chunks();
        let times = beats.iter().map(|&b| f64::from_le_bytes(b)).collect();
        let bar = part("bar", Dtype::I64)?;
        let (bar, _) = bar.data().as_chunks();
        let [first, meter] = bar[..] else {
            bail!("bar has {} numbers", bar.len())
        };
        let bar = [first, meter].map(i64::from_le_bytes);
        let joints = part("joints", Dtype::F16)?;
        let [dances, length, JOINTS, 3] = joints.shape()[..] else {
            bail!("joints are {:?}", joints.shape())
        };
        let facts = part("facts", Dtype::F32)?;
        ensure!(
            facts.shape() == [dances, FACTS],
            "facts are {:?}",
            facts.shape()
        );
        let (values, _) = facts.data().as_chunks();
        let facts: Vec<f32> = values.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let standing = part("standing", Dtype::F16)?;
        ensure!(
            standing.shape() == [dances, JOINTS, 3],
            "standing is {:?}",
            standing.shape()
        );
        let known = genres::shipped()?.len();
        ensure!(
            facts
                .chunks_exact(FACTS)
                .all(|f| (f[0] as usize) < known && f[3] > 0.1),
            "a genre or a height is wrong"
        );
        Ok(Song {
            sound: halves(&sound),
            pulse: Pulse::restored(times, bar).context("its beats do not ascend")?,
            joints: halves(&joints),
            standing: halves(&standing),
            length,
            genres: facts.chunks_exact(FACTS).map(|f| f[0] as usize).collect(),
            heights: facts.chunks_exact(FACTS).map(|f| f[3]).collect(),
        })
    };
    read().with_context(|| path.display().to_string())
}

/// The songs in a folder, in the order of their names.
///
/// # Errors
/// When there is none, saying how they are made.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "safetensors") {
                found.push(path);
            }
        }
    }
    found.sort();
    ensure!(
        !found.is_empty(),
        "{} holds no dances: make some with dance-train dabgen data",
        folder.display()
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::performance::Figures;
    use super::super::splits::Share;
    use super::super::tests::{config, small};
    use super::*;
    use crate::Split;

    #[test]
    fn a_song_and_its_dances_come_back_as_they_were_but_for_half_precision() {
        let mut config = config();
        config.off = 0.0;
        let small = small(config, Share::all(Split::Training));
        let figures = Figures::default();
        let dances: Vec<Performance> = (0..2)
            .map(|n| small.corpus.performance(n, FPS, &figures).unwrap())
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("000000.safetensors");
        save(&path, &dances).unwrap();
        let song = load(&path).unwrap();
        assert_eq!(song.dances(), 2);
        assert_eq!(song.length, dances[0].joints.len());
        assert_eq!(song.pulse.parts(), dances[0].song.pulse.parts());
        for (n, dance) in dances.iter().enumerate() {
            assert_eq!(song.genres[n], dance.genre);
            for t in [0, 17, song.length - 1] {
                let pose = song.pose(n, t as f64 / FPS);
                for (a, b) in pose.iter().zip(&dance.joints[t]) {
                    assert!(a.distance(*b) < 2e-3, "{a} {b}");
                }
            }
            for (a, b) in song.standing(n).iter().zip(&dance.standing) {
                assert!(a.distance(*b) < 2e-3);
            }
        }
        assert_eq!(list(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn what_is_no_song_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let none = list(folder.path()).unwrap_err().to_string();
        assert!(none.contains("dabgen data"), "{none}");
        let path = folder.path().join("x.safetensors");
        std::fs::write(&path, b"nothing").unwrap();
        let broken = load(&path).err().map(|e| format!("{e:#}")).unwrap();
        assert!(broken.contains("x.safetensors"), "{broken}");
    }
}
