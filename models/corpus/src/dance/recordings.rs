// SPDX-License-Identifier: MPL-2.0
//! Real videos of dancing, with the same interface as synthetic ones: what is not known of them is
//! empty, and their beats are those that the rhythm analyser finds.

use super::clip::{Beat, Clip, Frames, Info, Lock};
use super::skeleton::JOINTS;
use super::splits::tenth;
use super::{media, music};
use crate::Error;
use crate::Split;
use crate::files;
use ndarray::{Array3, Array4};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How a set lies in its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// AIST and AIST++: names as `gBR_sBM_c01_d04_mBR0_ch01.mp4` (genre, situation, camera,
    /// dancer, music, choreography). Split by the lists `splits/crossmodal_*.txt` of AIST++ where
    /// they are beside the videos, else by music: the fifth song of each genre validates, the
    /// sixth tests.
    Aist,
    /// Let's Dance: a folder for each class; clips cut from one video, `ID_START.mp4`, stay
    /// together.
    LetsDance,
    /// Dance-50: a folder for each song, whose videos stay together.
    Dance50,
    /// Any videos.
    Folder,
}

impl FromStr for Layout {
    type Err = Error;

    /// Reads `aist`, `lets-dance`, `dance-50`, `folder`.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "aist" => Ok(Self::Aist),
            "lets-dance" => Ok(Self::LetsDance),
            "dance-50" => Ok(Self::Dance50),
            "folder" => Ok(Self::Folder),
            _ => Err(Error::Config(format!(
                "no layout is called {name}: aist, lets-dance, dance-50 or folder"
            ))),
        }
    }
}

/// What is cut out of a video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Its length in seconds; it is the video's middle.
    pub seconds: f64,
    /// Frames a second.
    pub fps: u32,
    /// Rows and columns; the picture is whole within black borders.
    pub side: usize,
    /// Samples a second.
    pub rate: u32,
}

/// MuDaR, section 4.1: the middle 8 s, 8 frames a second, 256².
pub const MUDAR: Cut = Cut {
    seconds: 8.0,
    fps: 8,
    side: 256,
    rate: 16_000,
};

/// DabFusion: 4 s, 10 frames a second, 128².
pub const DABFUSION: Cut = Cut {
    seconds: 4.0,
    fps: 10,
    side: 128,
    rate: 16_000,
};

/// A video of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Its file.
    pub path: PathBuf,
    /// What is danced; empty where it is not known.
    pub genre: String,
    /// The song; empty where it is not known.
    pub song: String,
    /// Camera view from 0, where it is known.
    pub view: usize,
    /// The split it belongs to.
    pub split: Split,
}

/// Endings of files that are videos.
const ENDINGS: [&str; 8] = ["mp4", "mkv", "webm", "avi", "mov", "m4v", "mpg", "ogv"];

/// AIST's genres as ours.
const AIST: [(&str, &str); 10] = [
    ("BR", "break"),
    ("PO", "pop"),
    ("LO", "lock"),
    ("WA", "waack"),
    ("MH", "hip-hop"),
    ("LH", "la-hip-hop"),
    ("HO", "house"),
    ("KR", "krump"),
    ("JS", "street-jazz"),
    ("JB", "ballet-jazz"),
];

/// The videos of a set, of one split.
#[derive(Clone, Debug)]
pub struct Recordings {
    list: Vec<Recording>,
    cut: Cut,
}

impl Recordings {
    /// Lists the videos of a split; they are decoded when they are asked for.
    ///
    /// # Errors
    /// When the folder is missing, holds no video, or a name is not as the layout has it.
    pub fn open(folder: &Path, layout: Layout, split: Split, cut: Cut) -> Result<Self, Error> {
        let found = files::list(folder, "folder of videos", &ENDINGS)?;
        let lists = match layout {
            Layout::Aist => lists(folder)?,
            _ => Vec::new(),
        };
        let mut list = Vec::new();
        for path in found {
            list.push(match layout {
                Layout::Aist => aist(path, &lists)?,
                _ => plain(path, folder, layout),
            });
        }
        list.retain(|r| r.split == split);
        if list.is_empty() {
            return Err(Error::broken(
                folder,
                format!("no video of the split {}", split.name()),
            ));
        }
        Ok(Self { list, cut })
    }

    /// The videos.
    pub fn list(&self) -> &[Recording] {
        &self.list
    }

    /// Clip number `index`, modulo their number. The frames have no flow, parts and joints: these
    /// arrays' first axis is 0.
    ///
    /// # Errors
    /// When the video is too short, has no audio, or cannot be decoded.
    pub fn clip(&self, index: u64) -> Result<Clip, Error> {
        let recording = &self.list[(index % self.list.len() as u64) as usize];
        let path = &recording.path;
        let Cut {
            seconds,
            fps,
            side,
            rate,
        } = self.cut;
        let about = media::about(path)?;
        if about.seconds + 0.5 / f64::from(fps) < seconds {
            return Err(Error::broken(
                path,
                format!("{:.2} s are shorter than {seconds} s", about.seconds),
            ));
        }
        let count = (seconds * f64::from(fps)).round() as usize;
        // On a frame, so that sound and pictures begin together.
        let start =
            ((about.seconds - seconds).max(0.0) / 2.0 * f64::from(fps)).floor() / f64::from(fps);
        let bytes = media::video(path, side, fps, start, count)?;
        let there = bytes.len() / (3 * side * side);
        if there + 1 < count {
            return Err(Error::broken(
                path,
                format!("{there} frames of {count} could be decoded"),
            ));
        }
        let mut pixels = Array4::zeros((count, side, side, 3));
        pixels
            .iter_mut()
            .zip(&bytes)
            .for_each(|(to, from)| *to = *from);
        if there < count {
            // A video that ends within its last frame shows that one on.
            let last = pixels.index_axis(ndarray::Axis(0), count - 2).to_owned();
            pixels
                .index_axis_mut(ndarray::Axis(0), count - 1)
                .assign(&last);
        }
        let mut samples = media::audio(path, rate, start, seconds)?;
        samples.resize((seconds * f64::from(rate)).round() as usize, 0.0);
        let (onsets, beats) = music::analyse(&samples, rate).map_err(|e| Error::broken(path, e))?;
        let mut gaps: Vec<f64> = beats.windows(2).map(|w| w[1].time - w[0].time).collect();
        gaps.sort_by(f64::total_cmp);
        let beat = |b: &crate::audio::Beat| Beat {
            time: b.time,
            bar_position: b.bar_position,
        };
        Ok(Clip {
            info: Info {
                index,
                seed: 0,
                split: recording.split.name().to_owned(),
                genre: recording.genre.clone(),
                lock: Lock::Matched,
                moves: Vec::new(),
                sections: Vec::new(),
                visual_beats: Vec::new(),
                onsets,
                meter: beats
                    .iter()
                    .map(|b| b.bar_position)
                    .max()
                    .unwrap_or_default(),
                tempo: gaps.get(gaps.len() / 2).map_or(0.0, |gap| 60.0 / gap),
                beats: beats.iter().map(beat).collect(),
                song: recording.song.clone(),
                style: String::new(),
                offset: start,
                person: 0,
                view: recording.view,
                camera: String::new(),
                backdrop: path.display().to_string(),
                captured: true,
                shape: [count, side, side],
                fps: fps as f32,
                rate,
            },
            music: samples,
            frames: Frames {
                pixels,
                forward: Array4::zeros((0, 2, side, side)),
                backward: Array4::zeros((0, 2, side, side)),
                occluded: Array3::from_elem((0, side, side), false),
                uncovered: Array3::from_elem((0, side, side), false),
                parts: Array3::zeros((0, side, side)),
                joints: Array3::zeros((0, JOINTS, 2)),
            },
        })
    }
}

/// The names that AIST++'s lists give to the splits, cameras left open as `cAll`.
fn lists(folder: &Path) -> Result<Vec<(String, Split)>, Error> {
    let mut out = Vec::new();
    for (name, split) in [
        ("crossmodal_train.txt", Split::Training),
        ("crossmodal_val.txt", Split::Validation),
        ("crossmodal_test.txt", Split::Test),
    ] {
        let path = folder.join("splits").join(name);
        if path.is_file() {
            let text = std::fs::read_to_string(&path).map_err(|e| Error::broken(&path, e))?;
            out.extend(text.split_whitespace().map(|n| (n.to_owned(), split)));
        }
    }
    Ok(out)
}

fn aist(path: PathBuf, lists: &[(String, Split)]) -> Result<Recording, Error> {
    let stem = path
        .file_stem()
        .and_then(|s| s.to_str())
        .unwrap_or_default();
    let parts: Vec<&str> = stem.split('_').collect();
    let wrong = |what: &str| Err(Error::broken(&path, format!("no name of AIST: {what}")));
    let &[genre, _, camera, _, song, _] = &parts[..] else {
        return wrong("six parts are expected, as in gBR_sBM_c01_d04_mBR0_ch01");
    };
    let known = AIST
        .iter()
        .find(|(code, _)| genre.strip_prefix('g') == Some(code));
    let Some((_, genre)) = known else {
        return wrong("the first part is no genre");
    };
    let number = song.chars().last().and_then(|c| c.to_digit(10));
    let (Some(number), Some(camera)) = (number, camera.strip_prefix('c')) else {
        return wrong("the third part is no camera or the fifth no song");
    };
    let view = camera.parse::<usize>().unwrap_or(1).saturating_sub(1);
    let listed = {
        let open = format!("_c{camera}_");
        let name = stem.replace(&open, "_cAll_");
        lists.iter().find(|l| l.0 == name).map(|l| l.1)
    };
    let by_song = match number {
        4 => Split::Validation,
        5 => Split::Test,
        _ => Split::Training,
    };
    Ok(Recording {
        genre: (*genre).to_owned(),
        song: song.to_owned(),
        view,
        split: listed.unwrap_or(by_song),
        path,
    })
}

fn plain(path: PathBuf, folder: &Path, layout: Layout) -> Recording {
    let inner = path.strip_prefix(folder).unwrap_or(&path);
    let mut parts = inner.iter().map(|p| p.to_string_lossy().into_owned());
    let class = match inner.iter().count() {
        0 | 1 => String::new(),
        _ => parts.next().unwrap_or_default(),
    };
    let stem = inner.file_stem().unwrap_or_default().to_string_lossy();
    // What stays together in one split.
    let group = match layout {
        Layout::Dance50 if !class.is_empty() => class.clone(),
        Layout::LetsDance => {
            let id = stem.trim_end_matches(|c: char| c.is_ascii_digit());
            let cut = id.strip_suffix('_').filter(|id| !id.is_empty());
            cut.unwrap_or(&stem).to_owned()
        }
        _ => inner.to_string_lossy().into_owned(),
    };
    // FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo), whose low bits want mixing.
    let hash = group.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let (genre, song) = match layout {
        Layout::Dance50 => (String::new(), class),
        _ => (class, String::new()),
    };
    Recording {
        genre,
        song,
        view: 0,
        split: tenth((hash ^ hash >> 32) % 1_000_003),
        path,
    }
}

#[cfg(test)]
#[path = "recordings_tests.rs"]
mod tests;
