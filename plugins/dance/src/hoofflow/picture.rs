// SPDX-License-Identifier: MPL-2.0
//! Frames of any format as the small pictures that are analysed.

use gst::glib;
use gst_video::prelude::*;
use gst_video::{VideoConverter, VideoConverterConfig, VideoFormat, VideoFrame, VideoInfo};

/// A small picture.
pub(super) struct Picture {
    /// Its frame's timestamp.
    pub(super) pts: gst::ClockTime,
    /// Three planes, red, green, blue, row by row, 0 to 1.
    pub(super) planes: Vec<f32>,
}

/// Scales frames of one format.
pub(super) struct Scaler {
    info: VideoInfo,
    /// The same, with both fields of an interlaced frame taken for one picture: at a fraction of its height nobody can
    /// tell.
    progressive: VideoInfo,
    converter: VideoConverter,
    small: VideoFrame<gst_video::video_frame::Writable>,
}

impl Scaler {
    /// From frames of `info` to pictures of `size`.
    ///
    /// # Errors
    /// When GStreamer cannot convert such frames.
    pub(super) fn new(
        info: &VideoInfo,
        [width, height]: [u32; 2],
    ) -> Result<Self, glib::BoolError> {
        let progressive = VideoInfo::builder(info.format(), info.width(), info.height())
            .par(info.par())
            .colorimetry(&info.colorimetry())
            .build()?;
        let small = VideoInfo::builder(VideoFormat::Rgb, width, height).build()?;
        let mut config = VideoConverterConfig::new();
        // Averages what falls together when it makes smaller.
        config.set_resampler_method(gst_video::VideoResamplerMethod::Linear);
        config.set_dither_method(gst_video::VideoDitherMethod::None);
        let converter = VideoConverter::new(&progressive, &small, Some(config))?;
        let buffer = gst::Buffer::with_size(small.size())?;
        let small = VideoFrame::from_buffer_writable(buffer, &small)
            .map_err(|_| glib::bool_error!("cannot map a picture"))?;
        Ok(Self {
            info: info.clone(),
            progressive,
            converter,
            small,
        })
    }

    /// The format of its frames.
    pub(super) fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The picture of a frame.
    ///
    /// # Errors
    /// When the frame cannot be mapped, as one that is too short for its caps.
    pub(super) fn picture(
        &mut self,
        buffer: &gst::BufferRef,
        pts: gst::ClockTime,
    ) -> Result<Picture, glib::BoolError> {
        // A frame whose meta calls it interlaced would be scaled field by field, which the converter was not made for.
        let plain = without_fields(buffer)?;
        let buffer = plain.as_deref().unwrap_or(buffer);
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &self.progressive)
            .map_err(|_| {
            glib::bool_error!("a frame cannot be mapped as {}", self.info.format())
        })?;
        let mut small = self.small.as_mut_video_frame_ref();
        self.converter.frame_ref(&frame, &mut small);
        let (width, height) = (small.width() as usize, small.height() as usize);
        let stride = usize::try_from(small.plane_stride()[0])
            .map_err(|_| glib::bool_error!("the picture stands on its head"))?;
        let data = small.plane_data(0)?;
        let mut planes = vec![0.0; 3 * width * height];
        for (channel, plane) in planes.chunks_exact_mut(width * height).enumerate() {
            for (to, from) in plane.chunks_exact_mut(width).zip(data.chunks(stride)) {
                for (to, from) in to.iter_mut().zip(from.chunks_exact(3)) {
                    *to = f32::from(from[channel]) / 255.0;
                }
            }
        }
        Ok(Picture { pts, planes })
    }
}

/// The same memory with a meta that speaks of no fields, where the buffer's own does.
fn without_fields(buffer: &gst::BufferRef) -> Result<Option<gst::Buffer>, glib::BoolError> {
    let Some(meta) = buffer.meta::<gst_video::VideoMeta>() else {
        return Ok(None);
    };
    if meta.video_frame_flags().is_empty() {
        return Ok(None);
    }
    let mut plain = buffer.copy_region(gst::BufferCopyFlags::MEMORY, ..)?;
    let writable = plain
        .get_mut()
        .ok_or_else(|| glib::bool_error!("a copy that is not writable"))?;
    gst_video::VideoMeta::add_full(
        writable,
        gst_video::VideoFrameFlags::empty(),
        meta.format(),
        meta.width(),
        meta.height(),
        meta.offset(),
        meta.stride(),
    )?;
    Ok(Some(plain))
}
