// SPDX-License-Identifier: MPL-2.0
//! Pictures between two frames.

use gst_video::prelude::*;
use gst_video::{VideoFormatFlags, VideoFrameRef, VideoInfo};

use super::warp::{Field, Flows, warp};
use crate::hoof::{self, Hoof, Status};

pub(super) type Readable<'a> = VideoFrameRef<&'a gst::BufferRef>;
pub(super) type Writable<'a> = VideoFrameRef<&'a mut gst::BufferRef>;

/// Whether pictures of that format can be blended byte by byte.
pub(super) fn can_blend(info: &VideoInfo) -> bool {
    let format = info.format_info();
    let odd = VideoFormatFlags::COMPLEX | VideoFormatFlags::PALETTE | VideoFormatFlags::TILED;
    // The fields of a frame are of two instants, which are not to be mixed.
    let whole = info.interlace_mode() == gst_video::VideoInterlaceMode::Progressive;
    whole && !format.flags().intersects(odd) && format.depth().iter().all(|&depth| depth == 8)
}

/// What is known of the way from one frame to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// There is a flow from one to the other.
    Flow,
    /// There is none to be: another scene, or the same picture.
    Leap,
    /// Nothing is known.
    Unknown,
}

/// What frame `to` tells of the way from frame `from`.
pub(super) fn way(from: &gst::BufferRef, to: &gst::BufferRef) -> Way {
    let found = hoof::read(to);
    if found.iter().any(|hoof| leads(hoof, from, to)) {
        return Way::Flow;
    }
    let of_frame = |hoof: &&Hoof| (to.pts()).is_some_and(|pts| near(hoof.timestamp, pts));
    match found.iter().find(of_frame).map(|hoof| hoof.status) {
        Some(Status::Cut | Status::Repeated | Status::First) => Way::Leap,
        _ => Way::Unknown,
    }
}

/// Half a millisecond of rounding on the way.
fn near(a: gst::ClockTime, b: gst::ClockTime) -> bool {
    a.max(b) - a.min(b) < 500 * gst::ClockTime::USECOND
}

/// Whether a motion is that from one frame to the other.
fn leads(hoof: &Hoof, from: &gst::BufferRef, to: &gst::BufferRef) -> bool {
    let (Some(start), Some(end)) = (from.pts(), to.pts()) else {
        return false;
    };
    let interval = hoof.interval.unwrap_or_default();
    let there = near(hoof.timestamp, end) && end >= start && near(interval, end - start);
    there && hoof.status == Status::Flow && hoof.flow.is_some()
}

/// The picture that lies `share` (0 to 1) of the way from frame `from` to frame `to`; along the flow that `to` carries, if
/// `along` says so and there is one. `None` if the frames cannot be read.
pub(super) fn between(
    from: &gst::Buffer,
    to: &gst::Buffer,
    share: f64,
    along: bool,
    info: &VideoInfo,
) -> Option<gst::Buffer> {
    let picture = [info.width() as usize, info.height() as usize];
    let flows = along.then(|| flows(from, to, picture)).flatten();
    let mut out = gst::Buffer::with_size(info.size()).ok()?;
    {
        let from = VideoFrameRef::from_buffer_ref_readable(from, info).ok()?;
        let to = VideoFrameRef::from_buffer_ref_readable(to, info).ok()?;
        let mut out = VideoFrameRef::from_buffer_ref_writable(out.get_mut()?, info).ok()?;
        match flows {
            Some(flows) => warp(&from, &to, share as f32, &flows, &mut out)?,
            None => blend(&from, &to, share, &mut out)?,
        }
    }
    // What the frame carries besides its picture.
    let flags = gst::BufferCopyFlags::FLAGS;
    from.copy_into(out.get_mut()?, flags, ..).ok()?;
    Some(out)
}

fn blend(from: &Readable<'_>, to: &Readable<'_>, share: f64, out: &mut Writable<'_>) -> Option<()> {
    let weight = (share * 256.0).round().clamp(0.0, 256.0) as u32;
    for plane in 0..out.n_planes() {
        let stride = |stride: i32| usize::try_from(stride).ok().filter(|&stride| stride > 0);
        let strides = [
            stride(from.plane_stride()[plane as usize])?,
            stride(to.plane_stride()[plane as usize])?,
            stride(out.plane_stride()[plane as usize])?,
        ];
        let from = from.plane_data(plane).ok()?.chunks(strides[0]);
        let to = to.plane_data(plane).ok()?.chunks(strides[1]);
        let out = out.plane_data_mut(plane).ok()?.chunks_mut(strides[2]);
        for (out, (from, to)) in out.zip(from.zip(to)) {
            for (out, (&from, &to)) in out.iter_mut().zip(from.iter().zip(to)) {
                let sum = u32::from(from) * (256 - weight) + u32::from(to) * weight;
                *out = ((sum + 128) >> 8) as u8;
            }
        }
    }
    Some(())
}

/// The flows between two frames that `to` carries, if they lead there from `from`.
fn flows(from: &gst::BufferRef, to: &gst::BufferRef, picture: [usize; 2]) -> Option<Flows> {
    let found = hoof::read(to);
    let hoof = found.into_iter().find(|hoof| leads(hoof, from, to))?;
    let there = field(&hoof, hoof.flow.as_ref()?, picture)?;
    let back = hoof
        .back
        .as_ref()
        .and_then(|back| field(&hoof, back, picture));
    let back = back.unwrap_or_else(|| there.turned());
    Some(Flows { there, back })
}

/// The flow in a buffer of a meta, in pixels of the picture.
fn field(hoof: &Hoof, flow: &gst::Buffer, picture: [usize; 2]) -> Option<Field> {
    let map = flow.map_readable().ok()?;
    let size = hoof.flow_size.map(|side| side as usize);
    let count = size[0].checked_mul(size[1])?;
    let [width, height] = hoof.size.map(|side| side as f32);
    let (chunks, rest) = map.as_chunks::<4>();
    if chunks.len() != count.checked_mul(2)? || !rest.is_empty() || width < 1.0 || height < 1.0 {
        return None;
    }
    let number = |chunk: &[u8; 4]| {
        let number = f32::from_ne_bytes(*chunk);
        if number.is_finite() { number } else { 0.0 }
    };
    let scale = [picture[0] as f32 / width, picture[1] as f32 / height];
    let (right, down) = chunks.split_at(count);
    let vectors = right.iter().zip(down);
    let vectors = vectors.map(|(x, y)| [number(x) * scale[0], number(y) * scale[1]]);
    Field::new(size, picture, vectors.collect())
}

/// One component of a frame.
pub(super) struct Component<'a> {
    data: &'a [u8],
    offset: usize,
    step: usize,
    stride: usize,
    size: [usize; 2],
}

impl<'a> Component<'a> {
    pub(super) fn of(frame: &'a Readable<'_>, number: usize) -> Option<Self> {
        let format = frame.format_info();
        let plane = *format.plane().get(number)?;
        Some(Self {
            data: frame.plane_data(plane).ok()?,
            offset: *format.poffset().get(number)? as usize,
            step: usize::try_from(*format.pixel_stride().get(number)?).ok()?,
            stride: usize::try_from(*frame.plane_stride().get(plane as usize)?).ok()?,
            size: [
                frame.comp_width(number as u32) as usize,
                frame.comp_height(number as u32) as usize,
            ],
        })
    }

    /// Its width and height.
    pub(super) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Where a pixel of a row is.
    pub(super) fn offset_of(&self, x: usize) -> usize {
        x * self.step + self.offset
    }

    /// Between its four neighbours; at the border, the border.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let x = x.clamp(0.0, (self.size[0] - 1) as f32);
        let y = y.clamp(0.0, (self.size[1] - 1) as f32);
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = (
            (left + 1).min(self.size[0] - 1),
            (top + 1).min(self.size[1] - 1),
        );
        let (u, v) = (x - left as f32, y - top as f32);
        let pixel = |x: usize, y: usize| {
            let at = y * self.stride + x * self.step + self.offset;
            f32::from(self.data.get(at).copied().unwrap_or(0))
        };
        let upper = pixel(left, top) * (1.0 - u) + pixel(right, top) * u;
        let lower = pixel(left, bottom) * (1.0 - u) + pixel(right, bottom) * u;
        upper * (1.0 - v) + lower * v
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: u32 = 32;

    /// A bright bar of four columns on grey.
    fn bar(at: usize, pts: u64) -> gst::Buffer {
        let mut data = vec![16u8; (SIDE * SIDE) as usize];
        for row in data.chunks_mut(SIDE as usize) {
            row[at..at + 4].fill(240);
        }
        let mut buffer = gst::Buffer::from_slice(data);
        buffer
            .get_mut()
            .unwrap()
            .set_pts(gst::ClockTime::from_mseconds(pts));
        buffer
    }

    fn info() -> VideoInfo {
        gst::init().unwrap();
        VideoInfo::builder(gst_video::VideoFormat::Gray8, SIDE, SIDE)
            .build()
            .unwrap()
    }

    #[test]
    fn a_blend_is_the_weighted_mean() {
        let info = info();
        let out = between(&bar(4, 0), &bar(16, 40), 0.25, true, &info).unwrap();
        let row = &out.map_readable().unwrap()[..SIDE as usize];
        assert_eq!((row[0], row[5], row[17]), (16, 184, 72));
    }

    #[test]
    fn flow_moves_instead() {
        let info = info();
        hoof::register();
        let mut to = bar(12, 40);
        // Eight pixels to the right, of a picture analysed at half the size.
        let mut flow = vec![4f32; 16];
        flow.extend([0f32; 16]);
        let bytes: Vec<u8> = flow
            .iter()
            .flat_map(|number| number.to_ne_bytes())
            .collect();
        let moved = Hoof {
            interval: Some(gst::ClockTime::from_mseconds(40)),
            size: [16, 16],
            flow_size: [4, 4],
            flow: Some(gst::Buffer::from_slice(bytes)),
            ..Hoof::without_flow(Status::Flow, gst::ClockTime::from_mseconds(40), 8)
        };
        hoof::attach(to.get_mut().unwrap(), &moved);
        let out = between(&bar(4, 0), &to, 0.5, true, &info).unwrap();
        let row = out.map_readable().unwrap()[..SIDE as usize].to_vec();
        for (x, &value) in row.iter().enumerate() {
            let expected = if (8..12).contains(&x) { 240 } else { 16 };
            assert_eq!(value, expected, "column {x}");
        }
        // The flow of another pair of frames is none.
        let other = bar(4, 10);
        let out = between(&other, &to, 0.5, true, &info).unwrap();
        assert_eq!(out.map_readable().unwrap()[4], 128);
    }

    #[test]
    fn what_is_hidden_in_one_frame_comes_from_the_other() {
        // The bar moves eight columns over a wall with a pattern, which stands still.
        let side = SIDE as usize;
        let wall = |x: usize, y: usize| 40 + ((x * 37 + y * 53) % 90) as u8;
        let picture = |at: usize| -> Vec<u8> {
            let pixels = (0..side * side).map(|n| (n % side, n / side));
            let pixel = |(x, y)| {
                if (at..at + 4).contains(&x) {
                    240
                } else {
                    wall(x, y)
                }
            };
            pixels.map(pixel).collect()
        };
        let info = info();
        hoof::register();
        let frame = |at, pts| {
            let mut buffer = gst::Buffer::from_slice(picture(at));
            buffer
                .get_mut()
                .unwrap()
                .set_pts(gst::ClockTime::from_mseconds(pts));
            buffer
        };
        let flow = |from: usize, speed: f32| {
            let right = (0..side * side).map(|n| {
                let moves = (from..from + 4).contains(&(n % side));
                if moves { speed } else { 0.0 }
            });
            let numbers = right.chain(std::iter::repeat_n(0.0, side * side));
            let bytes: Vec<u8> = numbers.flat_map(f32::to_ne_bytes).collect();
            gst::Buffer::from_slice(bytes)
        };
        let mut to = frame(12, 40);
        let moved = Hoof {
            interval: Some(gst::ClockTime::from_mseconds(40)),
            size: [SIDE; 2],
            flow_size: [SIDE; 2],
            flow: Some(flow(4, 8.0)),
            back: Some(flow(12, -8.0)),
            ..Hoof::without_flow(Status::Flow, gst::ClockTime::from_mseconds(40), 8)
        };
        hoof::attach(to.get_mut().unwrap(), &moved);
        let out = between(&frame(4, 0), &to, 0.5, true, &info).unwrap();
        let out = out.map_readable().unwrap();
        let wrong = out
            .iter()
            .zip(picture(8))
            .filter(|(a, b)| a.abs_diff(*b) > 4)
            .count();
        // Where it was and where it will be stands the wall, which one frame alone shows.
        assert!(wrong * 50 < side * side, "{wrong} pixels");
        let blend = between(&frame(4, 0), &to, 0.5, false, &info).unwrap();
        let blend = blend.map_readable().unwrap();
        let ghosts = blend
            .iter()
            .zip(picture(8))
            .filter(|(a, b)| a.abs_diff(*b) > 4)
            .count();
        assert!(ghosts * 4 > side * side, "{ghosts} pixels");
    }

    #[test]
    fn formats_that_cannot_be_blended_are_known() {
        gst::init().unwrap();
        use gst_video::VideoFormat::{Bgrx, I420, I42010le, Nv12, Rgb16, Uyvy, V210};
        let can = |format| can_blend(&VideoInfo::builder(format, 32, 32).build().unwrap());
        assert!([I420, Nv12, Bgrx, Uyvy].into_iter().all(can));
        assert!(![I42010le, V210, Rgb16].into_iter().any(can));
    }
}
