// SPDX-License-Identifier: MPL-2.0
//! The frames of a dance that goes round, kept on the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use gst_video::{VideoFrame, VideoFrameRef, VideoInfo};

use super::branches::Frame;
use crate::hoof::{self, Hoof};

/// Columns and rows of the small pictures by which frames are compared.
const SMALL: usize = 16;
/// A leap from one frame to another is not seen where they differ by no more than this many times what frames differ by
/// from one to the next.
const UNSEEN: f32 = 2.0;

/// One frame of those that are kept.
struct Kept {
    at: f64,
    end: f64,
    pts: Option<gst::ClockTime>,
    motion: Vec<Hoof>,
    small: [u8; SMALL * SMALL],
}

/// Frames in a file that has no name, which is gone with the last of it. Their motion is kept in memory.
pub(super) struct Frames {
    file: File,
    info: VideoInfo,
    kept: Vec<Kept>,
    /// The last two that were read.
    read: [Option<(usize, gst::Buffer)>; 2],
}

impl Frames {
    /// For frames of that format.
    ///
    /// # Errors
    /// If no file can be made in the folder for temporary files.
    pub(super) fn new(info: VideoInfo) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            info,
            kept: Vec::new(),
            read: [None, None],
        })
    }

    /// Whether frames of that format can be added.
    pub(super) fn takes(&self, info: &VideoInfo) -> bool {
        self.info == *info
    }

    /// Whether everything up to an instant is there.
    pub(super) fn reaches(&self, at: f64) -> bool {
        self.kept.last().is_some_and(|last| last.at >= at)
    }

    /// Whether the frame after an instant is there, too.
    pub(super) fn goes_beyond(&self, at: f64) -> bool {
        self.kept.last().is_some_and(|last| last.at > at + 1e-9)
    }

    /// The end of the last one.
    pub(super) fn end(&self) -> f64 {
        self.kept.last().map_or(0.0, |last| last.end)
    }

    /// Keeps a frame, unless it, or one after it, is kept already.
    ///
    /// # Errors
    /// If it cannot be read, or the disk is full.
    pub(super) fn add(&mut self, frame: &Frame) -> io::Result<()> {
        if self.reaches(frame.at) {
            return Ok(());
        }
        let unreadable = |_| io::Error::other("a frame that cannot be read");
        let source = VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &self.info)
            .map_err(unreadable)?;
        // Without the padding that it may have.
        let plain = gst::Buffer::with_size(self.info.size()).map_err(unreadable)?;
        let mut plain = VideoFrame::from_buffer_writable(plain, &self.info)
            .map_err(|_| io::Error::other("no memory for a frame"))?;
        source
            .copy(&mut plain.as_mut_video_frame_ref())
            .map_err(unreadable)?;
        let small = small(&source);
        let buffer = plain.into_buffer();
        let map = buffer.map_readable().map_err(unreadable)?;
        let place = self.kept.len() as u64 * self.info.size() as u64;
        self.file.write_all_at(&map, place)?;
        let strip = |hoof: Hoof| Hoof {
            cells: Vec::new(),
            feature: Vec::new(),
            ..hoof
        };
        self.kept.push(Kept {
            at: frame.at,
            end: frame.end,
            pts: frame.buffer.pts(),
            motion: hoof::read(&frame.buffer).into_iter().map(strip).collect(),
            small,
        });
        Ok(())
    }

    /// The frame at an instant and the one after it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn at(&mut self, at: f64) -> io::Result<Option<(Frame, Option<Frame>)>> {
        let next = self.kept.partition_point(|kept| kept.at <= at + 1e-9);
        let number = next.saturating_sub(1);
        let Some(first) = self.frame(number)? else {
            return Ok(None);
        };
        Ok(Some((first, self.frame(number + 1)?)))
    }

    fn frame(&mut self, number: usize) -> io::Result<Option<Frame>> {
        let Some(kept) = self.kept.get(number) else {
            return Ok(None);
        };
        let known = self.read.iter().flatten();
        let known = known
            .filter(|(other, _)| *other == number)
            .map(|(_, buffer)| buffer.clone())
            .next();
        let buffer = if let Some(buffer) = known {
            buffer
        } else {
            let mut bytes = vec![0; self.info.size()];
            self.file
                .read_exact_at(&mut bytes, number as u64 * self.info.size() as u64)?;
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let writable = buffer.make_mut();
            writable.set_pts(kept.pts);
            for motion in &kept.motion {
                hoof::attach(writable, motion);
            }
            self.read[number % 2] = Some((number, buffer.clone()));
            buffer
        };
        Ok(Some(Frame {
            buffer,
            at: kept.at,
            end: kept.end,
        }))
    }

    /// Of some instants the one from which the dance can go on as if it came from `turn`, if one of them looks so much like
    /// it that the leap is not seen.
    pub(super) fn alike(&self, turn: f64, instants: &[f64]) -> Option<f64> {
        let frame = |at: f64| {
            let next = self.kept.partition_point(|kept| kept.at <= at + 1e-9);
            self.kept.get(next.saturating_sub(1)..next + 1)
        };
        let there = frame(turn)?;
        let steps = self
            .kept
            .windows(2)
            .map(|pair| difference(&pair[0], &pair[1]));
        let steps: Vec<f32> = steps.filter(|step| *step > 0.0).collect();
        let usual = steps.iter().sum::<f32>() / steps.len().max(1) as f32;
        let rated = instants.iter().filter_map(|&at| {
            let here = frame(at)?;
            // Where it goes on matters as much as where it is.
            let apart = there.iter().zip(here).map(|(a, b)| difference(a, b));
            Some((apart.fold(0.0, f32::max), at))
        });
        let best = rated.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 <= UNSEEN * usual).then_some(best.1)
    }
}

/// The mean difference of two small pictures.
fn difference(a: &Kept, b: &Kept) -> f32 {
    let sum: u32 = (a.small.iter().zip(&b.small))
        .map(|(a, b)| u32::from(a.abs_diff(*b)))
        .sum();
    sum as f32 / (SMALL * SMALL) as f32
}

/// The first component of a frame, brightness as a rule, made small.
fn small(frame: &VideoFrameRef<&gst::BufferRef>) -> [u8; SMALL * SMALL] {
    let mut small = [0; SMALL * SMALL];
    let Some(component) = super::picture::Component::of(frame, 0) else {
        return small;
    };
    let [width, height] = component.size();
    // Some pixels of each cell are enough.
    const TAPS: usize = 4;
    for (n, out) in small.iter_mut().enumerate() {
        let (column, row) = (n % SMALL, n / SMALL);
        let mut sum = 0.0;
        for tap in 0..TAPS * TAPS {
            let place = |cell: usize, tap: usize, side: usize| {
                ((cell * TAPS + tap) as f32 + 0.5) / (SMALL * TAPS) as f32 * side as f32 - 0.5
            };
            sum += component.at(
                place(column, tap % TAPS, width),
                place(row, tap / TAPS, height),
            );
        }
        *out = (sum / (TAPS * TAPS) as f32) as u8;
    }
    small
}
