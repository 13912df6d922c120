// SPDX-License-Identifier: MPL-2.0
//! Blending into the picture, for downstream that takes no overlay compositions.

use gst::glib;
use gst_video::prelude::*;
use gst_video::{VideoFrame, VideoFrameRef, VideoInfo, VideoOverlayComposition};

type Frame<'a> = VideoFrameRef<&'a mut gst::BufferRef>;

/// Sides of regions are multiples of this, as far as the frame goes: the coarsest chroma there is.
const GRID: u32 = 4;

/// Blends the rectangles of an overlay into a frame that holds them.
///
/// `gst_video_overlay_composition_blend()` unpacks and packs lines of the whole frame, though our
/// rectangles take up but a part of their length. It is therefore given a copy of that part.
pub(super) fn blend(
    frame: &mut Frame<'_>,
    composition: &VideoOverlayComposition,
) -> Result<(), glib::BoolError> {
    fill_padding(frame, composition);
    for rectangle in composition.iter() {
        let (x, y, width, height) = rectangle.render_rectangle();
        let region = (u32::try_from(x).ok().zip(u32::try_from(y).ok()))
            .and_then(|(x, y)| Region::new(frame, x, y, width, height));
        match region {
            Some(region) => {
                let info =
                    VideoInfo::builder(frame.format(), region.width, region.height).build()?;
                let buffer = gst::Buffer::with_size(info.size())?;
                let mut part = VideoFrame::from_buffer_writable(buffer, &info)
                    .map_err(|_| glib::bool_error!("cannot map a part of the frame"))?;
                region.copy(frame, &mut part.as_mut_video_frame_ref(), true)?;
                let mut there = rectangle.copy();
                let (x, y) = (x - region.x as i32, y - region.y as i32);
                there.make_mut().set_render_rectangle(x, y, width, height);
                VideoOverlayComposition::new([&there])?
                    .blend(&mut part.as_mut_video_frame_ref())?;
                region.copy(frame, &mut part.as_mut_video_frame_ref(), false)?;
            }
            None => VideoOverlayComposition::new([&rectangle])?.blend(frame)?,
        }
    }
    Ok(())
}

/// A part of a frame whose chroma is its own.
#[derive(Debug, Clone, Copy)]
struct Region {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Region {
    /// The least region that holds a rectangle. `None` if the frame does not hold it, or its format
    /// packs pixels into groups.
    fn new(frame: &Frame<'_>, x: u32, y: u32, width: u32, height: u32) -> Option<Self> {
        let grouped = frame.format_info().pixel_stride().contains(&0);
        let right = x.checked_add(width)?;
        let bottom = y.checked_add(height)?;
        if grouped || right > frame.width() || bottom > frame.height() {
            return None;
        }
        let (x, y) = (x / GRID * GRID, y / GRID * GRID);
        Some(Region {
            x,
            y,
            width: right.next_multiple_of(GRID).min(frame.width()) - x,
            height: bottom.next_multiple_of(GRID).min(frame.height()) - y,
        })
    }

    /// Copies the region out of the whole, or the part back into it.
    fn copy(
        self,
        whole: &mut Frame<'_>,
        part: &mut Frame<'_>,
        out: bool,
    ) -> Result<(), glib::BoolError> {
        let format = whole.format_info();
        for plane in 0..whole.n_planes() {
            let component = (0..format.n_components() as usize)
                .find(|c| format.plane()[*c] == plane)
                .ok_or_else(|| glib::bool_error!("plane {plane} has no component"))?;
            let (sub_x, sub_y) = (format.w_sub()[component], format.h_sub()[component]);
            let step = format.pixel_stride()[component] as usize;
            let start = (self.x >> sub_x) as usize * step;
            let length = self.width.div_ceil(1 << sub_x) as usize * step;
            let rows = self.height.div_ceil(1 << sub_y) as usize;
            let stride = |frame: &Frame<'_>| {
                usize::try_from(frame.plane_stride()[plane as usize])
                    .map_err(|_| glib::bool_error!("frame stands on its head"))
            };
            let (long, short) = (stride(whole)?, stride(part)?);
            let whole = whole.plane_data_mut(plane)?.chunks_mut(long);
            let part = part.plane_data_mut(plane)?.chunks_mut(short);
            for (whole, part) in whole.skip((self.y >> sub_y) as usize).zip(part).take(rows) {
                let whole = whole.get_mut(start..start + length);
                let (Some(whole), Some(part)) = (whole, part.get_mut(..length)) else {
                    return Err(glib::bool_error!("line of plane {plane} is too short"));
                };
                if out {
                    part.copy_from_slice(whole);
                } else {
                    whole.copy_from_slice(part);
                }
            }
        }
        Ok(())
    }
}

/// `gst_video_blend()` takes the padding of RGBx and its like for opacity, of which there is none in
/// the frames of those who clear it: makes it opaque where the overlay comes to lie.
fn fill_padding(frame: &mut Frame<'_>, composition: &VideoOverlayComposition) {
    use gst_video::VideoFormat::{Bgrx, Rgbx, Xbgr, Xrgb};
    let padding = match frame.format() {
        Rgbx | Bgrx => 3,
        Xrgb | Xbgr => 0,
        _ => return,
    };
    let Ok(stride @ 1..) = usize::try_from(frame.plane_stride()[0]) else {
        return;
    };
    let Ok(plane) = frame.plane_data_mut(0) else {
        return;
    };
    for rectangle in composition.iter() {
        let (x, y, width, height) = rectangle.render_rectangle();
        let (x, y) = (x.max(0) as usize, y.max(0) as usize);
        for row in plane.chunks_mut(stride).skip(y).take(height as usize) {
            for pixel in row.chunks_exact_mut(4).skip(x).take(width as usize) {
                pixel[padding] = u8::MAX;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst_video::VideoFormat;

    #[test]
    fn parts_are_blended_like_the_whole() {
        gst::init().unwrap();
        let mut pixels = gst::Buffer::from_mut_slice(
            (0..19 * 9 * 4_u32)
                .map(|i| if i % 4 == 3 { 200 } else { (i % 199) as u8 })
                .collect::<Vec<_>>(),
        );
        gst_video::VideoMeta::add(
            pixels.get_mut().unwrap(),
            gst_video::VideoFrameFlags::empty(),
            VideoFormat::Bgra,
            19,
            9,
        )
        .unwrap();
        let at = |x: i32, y| {
            let flags = gst_video::VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA;
            gst_video::VideoOverlayRectangle::new_raw(&pixels, x, y, 19, 9, flags)
        };
        let mut tried = 0;
        let formats = || VideoFormat::iter_raw().filter(|f| super::super::caps::can_blend(*f));
        for (format, width) in (64..68).flat_map(|width| formats().map(move |f| (f, width))) {
            // In the middle, and where the frame ends, be it in the middle of a group of pixels.
            let overlay = VideoOverlayComposition::new([&at(7, 5), &at(width - 19, 28)]).unwrap();
            let info = VideoInfo::builder(format, width as u32, 37)
                .build()
                .unwrap();
            let drawn = [true, false].map(|in_parts| {
                let buffer = gst::Buffer::from_mut_slice(vec![0x5a_u8; info.size()]);
                let mut frame = VideoFrame::from_buffer_writable(buffer, &info).unwrap();
                let mut frame = frame.as_mut_video_frame_ref();
                if in_parts {
                    blend(&mut frame, &overlay).unwrap();
                } else {
                    fill_padding(&mut frame, &overlay);
                    overlay.blend(&mut frame).unwrap();
                }
                (0..info.n_planes())
                    .flat_map(|plane| frame.plane_data(plane).unwrap().to_vec())
                    .collect::<Vec<_>>()
            });
            // Outside, the whole lines suffer from being unpacked and packed, the parts do not.
            let same = (drawn[0].iter().zip(&drawn[1])).all(|(a, b)| a == b || *a == 0x5a);
            assert!(same, "{format} of width {width}");
            assert!(drawn[0].iter().any(|b| *b != 0x5a), "{format}");
            tried += 1;
        }
        assert!(tried > 400, "{tried} cases");
    }
}
