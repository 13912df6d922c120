// SPDX-License-Identifier: MPL-2.0
//! Pairs in a folder, as the usual data sets lay them out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::pair::Pair;
use super::picture::{Flow, Picture};

/// The files of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The earlier frame.
    pub first: PathBuf,
    /// The later frame.
    pub second: PathBuf,
    /// The flow: `.flo`, or KITTI's PNG.
    pub truth: PathBuf,
    /// A grey picture that is bright where limbs are, if there is one.
    pub mask: Option<PathBuf>,
}

impl Entry {
    /// Reads them.
    ///
    /// # Errors
    /// Naming the file that is missing, damaged or of another size than the first frame.
    pub fn load(&self) -> Result<Pair> {
        let (first, second) = (Picture::load(&self.first)?, Picture::load(&self.second)?);
        let flow = Flow::load(&self.truth)?;
        let check = |path: &Path, width, height| {
            ensure!(
                (width, height) == (first.width, first.height),
                "{} is {width} × {height}, {} {} × {}",
                path.display(),
                self.first.display(),
                first.width,
                first.height
            );
            Ok(())
        };
        check(&self.second, second.width, second.height)?;
        check(&self.truth, flow.width, flow.height)?;
        let limb = match &self.mask {
            Some(path) => {
                let mask = Picture::load(path)?;
                check(path, mask.width, mask.height)?;
                Some(mask.pixels.iter().map(|p| p[0] > 127).collect())
            }
            None => None,
        };
        Ok(Pair {
            first,
            second,
            flow,
            visible: None,
            limb,
        })
    }
}

/// All files below a folder, in order.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let path = entry.path();
        // A link to a folder may lead back here.
        if entry.file_type()?.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let own = path.extension().and_then(|e| e.to_str());
    own.is_some_and(|own| extensions.iter().any(|e| own.eq_ignore_ascii_case(e)))
}

/// The PNG and PPM pictures below a folder.
///
/// # Errors
/// When it cannot be read.
pub fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    files(folder, &mut found)?;
    found.retain(|path| has_extension(path, &["png", "ppm"]));
    Ok(found)
}

/// A name as what stands before its last number, the number's digits, and the number.
fn numbered(stem: &str) -> Option<(&str, usize, u64)> {
    let head = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &stem[head.len()..];
    Some((head, digits.len(), digits.parse().ok()?))
}

/// The pairs below a folder, in the order of their truths' names. For a truth `X_flow.flo` the
/// frames are `X_img1` and `X_img2` beside it (FlyingChairs; `X_mask.png` may mark limbs). For one
/// whose name ends in a number, they are the pictures with that number and with the next, whose
/// names begin alike or with `frame` for `flow`: beside it, or else in a folder of the same name
/// (MPI Sintel), or else anywhere (KITTI, Middlebury). PNGs are truths where they lie in a folder
/// whose name begins with `flow`.
///
/// # Errors
/// When there are none, or a truth has no frames.
pub fn find(folder: &Path) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    files(folder, &mut all)?;
    let parent_of = |path: &Path| path.parent().map(Path::to_path_buf).unwrap_or_default();
    let name_of = |path: &Path| {
        path.file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let is_truth = |path: &Path| {
        has_extension(path, &["flo"])
            || has_extension(path, &["png"]) && name_of(&parent_of(path)).starts_with("flow")
    };
    let stem_of = |path: &Path| {
        path.file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let mut pictures: BTreeMap<(PathBuf, String), &PathBuf> = BTreeMap::new();
    let mut folders = BTreeSet::new();
    for path in &all {
        if has_extension(path, &["png", "ppm"]) && !is_truth(path) {
            pictures.insert((parent_of(path), stem_of(path)), path);
            folders.insert(parent_of(path));
        }
    }
    let get = |folder: &Path, stem: String| pictures.get(&(folder.to_path_buf(), stem)).copied();
    let mut entries = Vec::new();
    for truth in all.iter().filter(|path| is_truth(path)) {
        let (stem, home) = (stem_of(truth), parent_of(truth));
        let mut frames = None;
        if let Some(name) = stem.strip_suffix("_flow") {
            let frame = |n| get(&home, format!("{name}_img{n}"));
            frames = frame(1).zip(frame(2));
        }
        if let (None, Some((head, digits, number))) = (frames, numbered(&stem)) {
            let heads = [head.to_owned(), head.replace("flow", "frame")];
            let mut near: Vec<&PathBuf> = folders.iter().collect();
            near.sort_by_key(|place| (**place != home, name_of(place) != name_of(&home)));
            frames = near.iter().find_map(|place| {
                heads.iter().find_map(|head| {
                    let frame = |n: u64| get(place, format!("{head}{n:0digits$}"));
                    frame(number).zip(frame(number + 1))
                })
            });
        }
        let (first, second) =
            frames.with_context(|| format!("there are no frames for {}", truth.display()))?;
        let mask = stem
            .strip_suffix("_flow")
            .and_then(|name| get(&home, format!("{name}_mask")));
        entries.push(Entry {
            first: first.clone(),
            second: second.clone(),
            truth: truth.clone(),
            mask: mask.cloned(),
        });
    }
    ensure!(
        !entries.is_empty(),
        "{} holds no flow: neither .flo nor PNG in a folder flow…",
        folder.display()
    );
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(dir: &Path, names: &[&str]) {
        for name in names {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
    }

    fn found(names: &[&str]) -> Vec<[String; 3]> {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path(), names);
        let name = |path: &Path| path.strip_prefix(dir.path()).unwrap().display().to_string();
        let entries = find(dir.path()).unwrap();
        entries
            .iter()
            .map(|e| [name(&e.first), name(&e.second), name(&e.truth)])
            .collect()
    }

    #[test]
    fn the_usual_layouts_are_understood() {
        assert_eq!(
            found(&["00001_img1.ppm", "00001_img2.ppm", "00001_flow.flo"]),
            [["00001_img1.ppm", "00001_img2.ppm", "00001_flow.flo"]]
        );
        assert_eq!(
            found(&[
                "clean/a/frame_0001.png",
                "clean/a/frame_0002.png",
                "clean/b/frame_0001.png",
                "clean/b/frame_0002.png",
                "flow/b/frame_0001.flo",
            ]),
            [[
                "clean/b/frame_0001.png",
                "clean/b/frame_0002.png",
                "flow/b/frame_0001.flo"
            ]]
        );
        assert_eq!(
            found(&[
                "image_2/000003_10.png",
                "image_2/000003_11.png",
                "flow_occ/000003_10.png"
            ]),
            [[
                "image_2/000003_10.png",
                "image_2/000003_11.png",
                "flow_occ/000003_10.png"
            ]]
        );
        assert_eq!(
            found(&["Dim/frame10.png", "Dim/frame11.png", "gt/Dim/flow10.flo"]),
            [["Dim/frame10.png", "Dim/frame11.png", "gt/Dim/flow10.flo"]]
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            find(dir.path())
                .unwrap_err()
                .to_string()
                .contains("holds no flow")
        );
        touch(dir.path(), &["7_flow.flo", "7_img1.png"]);
        let error = find(dir.path()).unwrap_err().to_string();
        assert!(error.contains("7_flow.flo"), "{error}");
        assert!(
            find(Path::new("/no/such"))
                .unwrap_err()
                .to_string()
                .contains("/no/such")
        );
    }
}
