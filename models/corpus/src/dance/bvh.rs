// SPDX-License-Identifier: MPL-2.0
//! Motion capture files of the Biovision hierarchy (BVH).

use crate::Error;
use glam::{EulerRot, Quat, Vec3};
use std::path::Path;

/// A joint of a file.
#[derive(Clone, Debug)]
pub struct Joint {
    /// Its name.
    pub name: String,
    /// The number of the joint it hangs on; its own for the root.
    pub parent: usize,
    /// From there, in the file's unit.
    pub offset: Vec3,
    channels: Vec<Channel>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Channel {
    Position(usize),
    Rotation(usize),
}

/// A file.
#[derive(Clone, Debug)]
pub struct Bvh {
    /// Its joints, parents first; end sites are joints without a name.
    pub joints: Vec<Joint>,
    /// Seconds between frames, as the file says.
    pub interval: f64,
    channels: usize,
    numbers: Vec<f32>,
}

/// More joints than any rig has.
const MOST_JOINTS: usize = 1_000;

impl Bvh {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Broken`], with the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::Missing {
                what: "motion capture file",
                path: path.to_owned(),
            });
        }
        let bytes = std::fs::read(path).map_err(|e| Error::broken(path, e))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::broken(path, "not a text"))?;
        Self::parse(text).map_err(|reason| Error::broken(path, reason))
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate();
        let mut joints: Vec<Joint> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut begun = false;
        loop {
            let Some((number, line)) = lines.next() else {
                return Err("ends before MOTION".into());
            };
            let wrong = |what: &str| format!("line {}: {what}", number + 1);
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] | ["{"] => {}
                ["HIERARCHY"] => begun = true,
                _ if !begun => return Err(wrong("HIERARCHY expected")),
                ["ROOT" | "JOINT" | "End", ref name @ ..] => {
                    if words[0] == "ROOT" && !joints.is_empty() {
                        return Err(wrong("a second root"));
                    }
                    if joints.len() >= MOST_JOINTS {
                        return Err(wrong("too many joints"));
                    }
                    let here = joints.len();
                    if here > 0 && open.is_empty() {
                        return Err(wrong("a joint that hangs on none"));
                    }
                    joints.push(Joint {
                        name: if words[0] == "End" {
                            String::new()
                        } else {
                            name.join(" ")
                        },
                        parent: open.last().copied().unwrap_or(here),
                        offset: Vec3::ZERO,
                        channels: Vec::new(),
                    });
                    open.push(here);
                }
                ["OFFSET", x, y, z] => {
                    let p = [x, y, z].map(|w| w.parse::<f32>().ok().filter(|v| v.is_finite()));
                    let (&[Some(x), Some(y), Some(z)], Some(&joint)) = (&p, open.last()) else {
                        return Err(wrong("not an offset"));
                    };
                    joints[joint].offset = Vec3::new(x, y, z);
                }
                ["CHANNELS", count, ref names @ ..] => {
                    let channels: Option<Vec<Channel>> = names.iter().map(|n| channel(n)).collect();
                    let (Some(channels), Some(&joint)) = (channels, open.last()) else {
                        return Err(wrong("not channels"));
                    };
                    if count.parse() != Ok(channels.len()) {
                        return Err(wrong("says another number of channels than it names"));
                    }
                    joints[joint].channels = channels;
                }
                ["}"] => {
                    open.pop()
                        .ok_or_else(|| wrong("closes what was not opened"))?;
                }
                ["MOTION"] => break,
                _ => return Err(wrong("neither joint nor channels")),
            }
        }
        if joints.is_empty() || !open.is_empty() {
            return Err("the hierarchy is not closed".into());
        }
        let mut header = |key: &str| -> Result<f64, String> {
            let found = lines
                .next()
                .and_then(|(_, line)| line.trim().strip_prefix(key));
            let value = found.and_then(|v| v.trim().parse::<f64>().ok());
            value
                .filter(|v| *v > 0.0 && v.is_finite())
                .ok_or(format!("no {key} after MOTION"))
        };
        let frames = header("Frames:")? as usize;
        let interval = header("Frame Time:")?;
        let channels: usize = joints.iter().map(|j| j.channels.len()).sum();
        let mut numbers = Vec::new();
        for (number, line) in lines {
            if line.trim().is_empty() {
                continue;
            }
            let before = numbers.len();
            for word in line.split_ascii_whitespace() {
                let value = word.parse::<f32>().ok().filter(|v| v.is_finite());
                numbers.push(
                    value.ok_or_else(|| format!("line {}: {word} is no number", number + 1))?,
                );
            }
            if numbers.len() - before != channels {
                return Err(format!(
                    "line {}: {} numbers for {channels} channels",
                    number + 1,
                    numbers.len() - before
                ));
            }
        }
        let there = numbers.len() / channels.max(1);
        if there != frames || there == 0 {
            return Err(format!("says {frames} frames and has {there}"));
        }
        Ok(Self {
            joints,
            interval,
            channels,
            numbers,
        })
    }

    /// How many frames.
    pub fn frames(&self) -> usize {
        self.numbers.len() / self.channels
    }

    /// World position and rotation of each joint in a frame.
    pub fn frame(&self, number: usize) -> Vec<(Vec3, Quat)> {
        let mut numbers = self.numbers[number * self.channels..].iter();
        let mut out: Vec<(Vec3, Quat)> = Vec::with_capacity(self.joints.len());
        for (n, joint) in self.joints.iter().enumerate() {
            let (mut offset, mut turn) = (joint.offset, Quat::IDENTITY);
            for channel in &joint.channels {
                let value = numbers.next().copied().unwrap_or_default();
                match *channel {
                    Channel::Position(axis) => offset[axis] = value,
                    Channel::Rotation(axis) => {
                        let mut angles = [0.0; 3];
                        angles[axis] = value.to_radians();
                        turn *= Quat::from_euler(EulerRot::XYZ, angles[0], angles[1], angles[2]);
                    }
                }
            }
            let placed = if joint.parent == n {
                (offset, turn)
            } else {
                let (at, of) = out[joint.parent];
                (at + of * offset, of * turn)
            };
            out.push(placed);
        }
        out
    }

    /// The number of the joint that has one of these names, whatever its case.
    pub fn find(&self, names: &[&str]) -> Option<usize> {
        let is = |joint: &Joint| names.iter().any(|n| joint.name.eq_ignore_ascii_case(n));
        self.joints.iter().position(is)
    }
}

fn channel(name: &str) -> Option<Channel> {
    let axis = match name.as_bytes().first()?.to_ascii_uppercase() {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        _ => return None,
    };
    if name[1..].eq_ignore_ascii_case("position") {
        Some(Channel::Position(axis))
    } else if name[1..].eq_ignore_ascii_case("rotation") {
        Some(Channel::Rotation(axis))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "HIERARCHY\nROOT hip\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition \
        Zposition Zrotation Yrotation Xrotation\nJOINT knee\n{\nOFFSET 0 -4 0\nCHANNELS 3 \
        Zrotation Xrotation Yrotation\nEnd Site\n{\nOFFSET 0 -3 0\n}\n}\n}\nMOTION\nFrames: 2\n\
        Frame Time: 0.01\n0 9 0 0 0 0 0 0 0\n1 9 0 90 0 0 -90 0 0\n";

    #[test]
    fn joints_are_where_the_channels_put_them() {
        let bvh = Bvh::parse(SMALL).unwrap();
        assert_eq!((bvh.frames(), bvh.joints.len()), (2, 3));
        let first = bvh.frame(0);
        assert_eq!(first[2].0, Vec3::new(0.0, 2.0, 0.0));
        // The root turned by 90° about z: what hung down points to +x; the knee turns it back.
        let second = bvh.frame(1);
        assert!(second[1].0.distance(Vec3::new(5.0, 9.0, 0.0)) < 1e-5);
        assert!(second[2].0.distance(Vec3::new(5.0, 6.0, 0.0)) < 1e-5);
        assert_eq!(bvh.find(&["Knee"]), Some(1));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let error = |from: &str, to: &str| Bvh::parse(&SMALL.replace(from, to)).unwrap_err();
        assert!(error("0 9 0 0", "0 9 x 0").contains("line 19: x"));
        assert!(error("Frames: 2", "Frames: 3").contains("says 3 frames and has 2"));
        assert!(error("CHANNELS 3", "CHANNELS 4").contains("line 9"));
        assert!(error("-90 0 0", "-90 0").contains("8 numbers for 9 channels"));
        assert!(error("MOTION", "MOTIO").contains("neither"));
        assert!(error("HIERARCHY\n", "").contains("HIERARCHY expected"));
        assert!(error("}\n}\nMOTION", "}\nMOTION").contains("not closed"));
        assert!(error("Frame Time: 0.01", "Frame Time: 0").contains("Frame Time"));
        assert!(error("0 9 0 0", "nan 9 0 0").contains("nan"));
        assert!(Bvh::parse("").unwrap_err().contains("ends before"));
    }
}
