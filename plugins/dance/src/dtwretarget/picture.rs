//! Pictures between two frames.

use gst_video::prelude::*;
use gst_video::{VideoFormatFlags, VideoFrameRef, VideoInfo};

use crate::hoof::{self, Hoof, Status};

type Readable<'a> = VideoFrameRef<&'a gst::BufferRef>;
type Writable<'a> = VideoFrameRef<&'a mut gst::BufferRef>;

/// Whether pictures of that format can be blended byte by byte.
pub(super) fn can_blend(info: &VideoInfo) -> bool {
    let format = info.format_info();
    let odd = VideoFormatFlags::COMPLEX | VideoFormatFlags::PALETTE | VideoFormatFlags::TILED;
    !format.flags().intersects(odd) && format.depth().iter().all(|&depth| depth == 8)
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
    let field = if along { Field::of(from, to) } else { None };
    let mut out = gst::Buffer::with_size(info.size()).ok()?;
    {
        let from = VideoFrameRef::from_buffer_ref_readable(from, info).ok()?;
        let to = VideoFrameRef::from_buffer_ref_readable(to, info).ok()?;
        let mut out = VideoFrameRef::from_buffer_ref_writable(out.get_mut()?, info).ok()?;
        match field {
            Some(field) => warp(&from, &to, share as f32, &field, &mut out)?,
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

/// A flow from one frame to the next, in shares of the picture's width and height.
struct Field {
    size: [usize; 2],
    /// To the right, then down.
    shares: Vec<[f32; 2]>,
}

impl Field {
    /// The flow that `to` carries, if it leads there from `from`.
    fn of(from: &gst::BufferRef, to: &gst::BufferRef) -> Option<Self> {
        let (start, end) = (from.pts()?, to.pts()?);
        let fits = |hoof: &Hoof| {
            // Half a millisecond of rounding on the way.
            let near = |a: gst::ClockTime, b: gst::ClockTime| {
                a.max(b) - a.min(b) < 500 * gst::ClockTime::USECOND
            };
            let interval = hoof.interval.unwrap_or_default();
            let there = near(hoof.timestamp, end) && end >= start && near(interval, end - start);
            there && hoof.status == Status::Flow
        };
        let hoof = hoof::read(to).into_iter().find(fits)?;
        let flow = hoof.flow?;
        let map = flow.map_readable().ok()?;
        let size = hoof.flow_size.map(|side| side as usize);
        let count = size[0].checked_mul(size[1]).filter(|&count| count > 0)?;
        let [width, height] = hoof.size.map(|side| side as f32);
        let (chunks, rest) = map.as_chunks::<4>();
        if chunks.len() != 2 * count || !rest.is_empty() || width < 1.0 || height < 1.0 {
            return None;
        }
        let number = |chunk: &[u8; 4]| {
            let number = f32::from_ne_bytes(*chunk);
            if number.is_finite() { number } else { 0.0 }
        };
        let (right, down) = chunks.split_at(count);
        let shares = right.iter().zip(down);
        let shares = shares.map(|(x, y)| [number(x) / width, number(y) / height]);
        Some(Self {
            size,
            shares: shares.collect(),
        })
    }

    /// The vector at a place given in shares of the picture.
    fn at(&self, x: f32, y: f32) -> [f32; 2] {
        let [width, height] = self.size;
        let (x, y) = (x * width as f32 - 0.5, y * height as f32 - 0.5);
        let (x, y) = (
            x.clamp(0.0, (width - 1) as f32),
            y.clamp(0.0, (height - 1) as f32),
        );
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let (u, v) = (x - left as f32, y - top as f32);
        let vector = |x: usize, y: usize| self.shares[y * width + x];
        let corners = [
            vector(left, top),
            vector(right, top),
            vector(left, bottom),
            vector(right, bottom),
        ];
        let mix = |k: usize| {
            let upper = corners[0][k] * (1.0 - u) + corners[1][k] * u;
            let lower = corners[2][k] * (1.0 - u) + corners[3][k] * u;
            upper * (1.0 - v) + lower * v
        };
        [mix(0), mix(1)]
    }
}

/// One component of a frame.
struct Component<'a> {
    data: &'a [u8],
    offset: usize,
    step: usize,
    stride: usize,
    size: [usize; 2],
}

impl<'a> Component<'a> {
    fn of(frame: &'a Readable<'_>, number: usize) -> Option<Self> {
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

    /// Between its four neighbours; at the border, the border.
    fn at(&self, x: f32, y: f32) -> f32 {
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

/// Moves both frames to where things are at `share` of the way, and blends them there.
fn warp(
    from: &Readable<'_>,
    to: &Readable<'_>,
    share: f32,
    field: &Field,
    out: &mut Writable<'_>,
) -> Option<()> {
    let format = out.format_info();
    for number in 0..format.n_components() as usize {
        let (a, b) = (Component::of(from, number)?, Component::of(to, number)?);
        let [width, height] = a.size;
        let plane = *format.plane().get(number)?;
        let stride = usize::try_from(*out.plane_stride().get(plane as usize)?).ok()?;
        let data = out.plane_data_mut(plane).ok()?;
        for y in 0..height {
            for x in 0..width {
                let (px, py) = (x as f32, y as f32);
                let place = [(px + 0.5) / width as f32, (py + 0.5) / height as f32];
                let [dx, dy] = field.at(place[0], place[1]);
                let (dx, dy) = (dx * width as f32, dy * height as f32);
                let before = a.at(px - share * dx, py - share * dy);
                let after = b.at(px + (1.0 - share) * dx, py + (1.0 - share) * dy);
                let value = before + (after - before) * share;
                let at = y * stride + x * a.step + a.offset;
                if let Some(pixel) = data.get_mut(at) {
                    *pixel = (value + 0.5) as u8;
                }
            }
        }
    }
    Some(())
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
    fn formats_that_cannot_be_blended_are_known() {
        gst::init().unwrap();
        use gst_video::VideoFormat::{Bgrx, I420, I42010le, Nv12, Rgb16, Uyvy, V210};
        let can = |format| can_blend(&VideoInfo::builder(format, 32, 32).build().unwrap());
        assert!([I420, Nv12, Bgrx, Uyvy].into_iter().all(can));
        assert!(![I42010le, V210, Rgb16].into_iter().any(can));
    }
}
