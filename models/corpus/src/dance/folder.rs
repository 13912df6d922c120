// SPDX-License-Identifier: MPL-2.0
//! Clips as folders: `clip.json`, `music.wav`, `frames/*.png`, and the truth of every frame in
//! `truth.safetensors` (little-endian; shapes as in [`Frames`]; booleans as bytes 0 and 1).

use super::clip::{Clip, Frames, Info};
use crate::{Error, files};
use anyhow::{Context, Result, ensure};
use ndarray::{Array, Array4, Axis, Dimension, IntoDimension};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::path::Path;

fn bytes<T: Copy, const N: usize>(
    values: impl IntoIterator<Item = T>,
    to: impl Fn(T) -> [u8; N],
) -> Vec<u8> {
    values.into_iter().flat_map(to).collect()
}

/// Writes a clip into a folder, which is made.
///
/// # Errors
/// When a file cannot be written.
pub fn write(clip: &Clip, folder: &Path) -> Result<()> {
    let frames = folder.join("frames");
    std::fs::create_dir_all(&frames)
        .with_context(|| format!("cannot make {}", frames.display()))?;
    for (t, frame) in clip.frames.pixels.axis_iter(Axis(0)).enumerate() {
        let pixels: Vec<u8> = frame.iter().copied().collect();
        files::write_png(
            &frames.join(format!("{t:04}.png")),
            frame.dim().1,
            frame.dim().0,
            &pixels,
        )?;
    }
    let f = &clip.frames;
    let float = |a: &Array4<f32>| bytes(a.iter().copied(), f32::to_le_bytes);
    let flag = |a: &ndarray::Array3<bool>| bytes(a.iter().copied(), |b| [u8::from(b)]);
    let parts = [
        ("forward", Dtype::F32, f.forward.shape(), float(&f.forward)),
        (
            "backward",
            Dtype::F32,
            f.backward.shape(),
            float(&f.backward),
        ),
        ("occluded", Dtype::U8, f.occluded.shape(), flag(&f.occluded)),
        (
            "uncovered",
            Dtype::U8,
            f.uncovered.shape(),
            flag(&f.uncovered),
        ),
        (
            "parts",
            Dtype::U8,
            f.parts.shape(),
            bytes(f.parts.iter().copied(), |p| [p]),
        ),
        (
            "joints",
            Dtype::F32,
            f.joints.shape(),
            bytes(f.joints.iter().copied(), f32::to_le_bytes),
        ),
    ];
    let mut views = Vec::new();
    for (name, kind, shape, data) in &parts {
        views.push((*name, TensorView::new(*kind, shape.to_vec(), data)?));
    }
    files::write(
        &folder.join("truth.safetensors"),
        &safetensors::serialize(views, None)?,
    )?;
    sound(clip, &folder.join("music.wav"))?;
    let text = serde_json::to_vec_pretty(&clip.info)?;
    // Last: a folder with it is complete.
    files::write(&folder.join("clip.json"), &text)
}

fn sound(clip: &Clip, path: &Path) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: clip.info.rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let failed = |e: hound::Error| Error::broken(path, e);
    let mut wav = hound::WavWriter::create(path, spec).map_err(failed)?;
    for &x in &clip.music {
        wav.write_sample(x).map_err(failed)?;
    }
    Ok(wav.finalize().map_err(failed)?)
}

fn array<T: Clone, D: Dimension>(
    tensors: &SafeTensors,
    name: &str,
    shape: impl IntoDimension<Dim = D>,
    size: usize,
    from: impl Fn(&[u8]) -> T,
) -> Result<Array<T, D>> {
    let tensor = tensors.tensor(name)?;
    let shape = shape.into_dimension();
    ensure!(
        tensor.shape() == shape.slice() && tensor.data().len() == shape.size() * size,
        "{name} has the shape {:?}, not {:?}",
        tensor.shape(),
        shape.slice()
    );
    let values = tensor.data().chunks_exact(size).map(from).collect();
    Ok(Array::from_shape_vec(shape, values)?)
}

/// Reads a clip that [`write`] wrote.
///
/// # Errors
/// Names the file that is missing or damaged.
pub fn read(folder: &Path) -> Result<Clip> {
    let open = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let damaged = |name: &str| format!("{} is damaged", folder.join(name).display());
    let info: Info =
        serde_json::from_slice(&open("clip.json")?).with_context(|| damaged("clip.json"))?;
    let path = folder.join("music.wav");
    let failed = |e: hound::Error| Error::broken(&path, e);
    let wav = hound::WavReader::open(&path).map_err(failed)?;
    let music = wav
        .into_samples::<f32>()
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let data = open("truth.safetensors")?;
    let frames =
        truth(&data, folder, info.shape[0]).with_context(|| damaged("truth.safetensors"))?;
    Ok(Clip {
        info,
        music,
        frames,
    })
}

fn truth(data: &[u8], folder: &Path, count: usize) -> Result<Frames> {
    let tensors = SafeTensors::deserialize(data)?;
    let shape = |name: &str| -> Result<[usize; 3]> {
        let shape = tensors.tensor(name)?.shape().to_vec();
        <[usize; 3]>::try_from(shape)
            .map_err(|shape| anyhow::anyhow!("{name} has the shape {shape:?}"))
    };
    let [pairs, height, width] = shape("occluded")?;
    let [labelled, joints, _] = shape("joints")?;
    let flow = (pairs, 2, height, width);
    let still = (pairs, height, width);
    let float = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let flag = |b: &[u8]| b[0] != 0;
    let mut pixels = Array4::zeros((count, height, width, 3));
    for (t, mut frame) in pixels.axis_iter_mut(Axis(0)).enumerate() {
        let path = folder.join(format!("frames/{t:04}.png"));
        let picture = image::open(&path)
            .map_err(|e| Error::broken(&path, e))?
            .to_rgb8();
        let there = (picture.height() as usize, picture.width() as usize);
        ensure!(
            there == (height, width),
            "{} is {there:?} pixels, not {:?}",
            path.display(),
            (height, width)
        );
        frame
            .iter_mut()
            .zip(picture.as_raw())
            .for_each(|(to, from)| *to = *from);
    }
    Ok(Frames {
        pixels,
        forward: array(&tensors, "forward", flow, 4, float)?,
        backward: array(&tensors, "backward", flow, 4, float)?,
        occluded: array(&tensors, "occluded", still, 1, flag)?,
        uncovered: array(&tensors, "uncovered", still, 1, flag)?,
        parts: array(&tensors, "parts", (labelled, height, width), 1, |b| b[0])?,
        joints: array(&tensors, "joints", (labelled, joints, 2), 4, float)?,
    })
}
