// SPDX-License-Identifier: MPL-2.0
//! Shapes and text on a transparent bitmap, in units of the layout.

use std::sync::LazyLock;

use tiny_skia::{
    Color, FillRule, GradientStop, Paint, Path, PathBuilder, Pixmap, Point, RadialGradient, Shader,
    SpreadMode, Transform,
};
use ttf_parser::{Face, OutlineBuilder};

/// Inter semibold, cut down to ASCII with tabular digits: see `assets/README.md`.
static FONT: &[u8] = include_bytes!("../../assets/Inter-SemiBold-subset.otf");
/// `None` could only be a broken asset, which a test rules out.
static FACE: LazyLock<Option<Face<'static>>> = LazyLock::new(|| Face::parse(FONT, 0).ok());

/// Pixels to a unit of the layout, across and down: they differ where pixels are not square.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub x: f32,
    pub y: f32,
}

/// A rectangle in pixels of the video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// A rectangle in units of the layout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

impl Rect {
    pub fn new(x: f32, y: f32, width: f32, height: f32) -> Self {
        Rect {
            x,
            y,
            width,
            height,
        }
    }

    /// The rectangle grown by `by` on all sides.
    pub fn grown(self, by: f32) -> Self {
        Rect::new(
            self.x - by,
            self.y - by,
            self.width + 2.0 * by,
            self.height + 2.0 * by,
        )
    }
}

/// A color of 0xAARRGGBB.
pub(super) fn argb(color: u32) -> Color {
    let [a, r, g, b] = color.to_be_bytes();
    Color::from_rgba8(r, g, b, a)
}

/// The color with its opacity multiplied by `by`, 0 to 1.
pub(super) fn faded(mut color: Color, by: f32) -> Color {
    color.apply_opacity(by);
    color
}

/// A bitmap that is drawn in units of the layout; what straight edges it has are on whole pixels.
pub(super) struct Canvas {
    pixmap: Pixmap,
    scale: Scale,
}

impl Canvas {
    /// An empty canvas. `None` for one without pixels.
    pub fn new(width: u32, height: u32, scale: Scale) -> Option<Self> {
        let pixmap = Pixmap::new(width, height)?;
        Some(Canvas { pixmap, scale })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.pixmap.width()
    }

    /// Fills an empty canvas with a color, each pixel as much as `f` of its column and row says, 0 to 1.
    pub fn gradient(&mut self, color: Color, f: impl Fn(u32, u32) -> f32) {
        self.pixmap.fill(color);
        self.fade(f);
    }

    /// Puts a color below what is there, each pixel as much as `f` of its column and row says, 0 to 1.
    pub fn under(&mut self, color: Color, f: impl Fn(u32, u32) -> f32) {
        let Some(mut ground) = Pixmap::new(self.pixmap.width(), self.pixmap.height()) else {
            return;
        };
        std::mem::swap(&mut ground, &mut self.pixmap);
        self.gradient(color, f);
        self.pixmap.draw_pixmap(
            0,
            0,
            ground.as_ref(),
            &tiny_skia::PixmapPaint::default(),
            Transform::identity(),
            None,
        );
    }

    fn fill(&mut self, path: Option<Path>, shader: Shader<'_>, rule: FillRule) {
        // Shapes that vanish at this size have no path.
        if let Some(path) = path {
            let paint = Paint {
                shader,
                anti_alias: true,
                ..Default::default()
            };
            self.pixmap
                .fill_path(&path, &paint, rule, Transform::identity(), None);
        }
    }

    /// Fills a rectangle with corners of radius `radius`, at least a pixel wide and high.
    pub fn round_rect(&mut self, rect: Rect, radius: f32, color: Color) {
        let mut path = PathBuilder::new();
        self.push_round_rect(&mut path, rect, radius, 0.0);
        self.fill(path.finish(), Shader::SolidColor(color), FillRule::Winding);
    }

    /// Draws the rim of such a rectangle, on its inside.
    pub fn rim(&mut self, rect: Rect, radius: f32, color: Color) {
        let line = self.scale.y.round().max(1.0);
        let mut path = PathBuilder::new();
        self.push_round_rect(&mut path, rect, radius, 0.0);
        self.push_round_rect(&mut path, rect, radius, line);
        self.fill(path.finish(), Shader::SolidColor(color), FillRule::EvenOdd);
    }

    /// Adds a rounded rectangle, made smaller by `inset` pixels on each side.
    fn push_round_rect(&self, path: &mut PathBuilder, rect: Rect, radius: f32, inset: f32) {
        let Scale { x: sx, y: sy } = self.scale;
        let left = (rect.x * sx).round() + inset;
        let top = (rect.y * sy).round() + inset;
        let right = (((rect.x + rect.width) * sx).round() - inset).max(left + 1.0);
        let bottom = (((rect.y + rect.height) * sy).round() - inset).max(top + 1.0);
        let rx = (radius * sx - inset).min((right - left) / 2.0).max(0.0);
        let ry = (radius * sy - inset).min((bottom - top) / 2.0).max(0.0);
        // Control points of the cubic curve nearest to a quarter of a circle.
        const K: f32 = 1.0 - 0.552_284_8;
        path.move_to(left + rx, top);
        path.line_to(right - rx, top);
        path.cubic_to(right - rx * K, top, right, top + ry * K, right, top + ry);
        path.line_to(right, bottom - ry);
        path.cubic_to(
            right,
            bottom - ry * K,
            right - rx * K,
            bottom,
            right - rx,
            bottom,
        );
        path.line_to(left + rx, bottom);
        path.cubic_to(
            left + rx * K,
            bottom,
            left,
            bottom - ry * K,
            left,
            bottom - ry,
        );
        path.line_to(left, top + ry);
        path.cubic_to(left, top + ry * K, left + rx * K, top, left + rx, top);
        path.close();
    }

    /// Fills pixels `x..x + width` of the canvas from `y` down by `height` units.
    pub fn column(&mut self, x: i32, width: u32, y: f32, height: f32, color: Color) {
        let top = (y * self.scale.y).round();
        let bottom = ((y + height) * self.scale.y).round().max(top + 1.0);
        if let Some(rect) =
            tiny_skia::Rect::from_ltrb(x as f32, top, x as f32 + width as f32, bottom)
        {
            let paint = Paint {
                shader: Shader::SolidColor(color),
                anti_alias: false,
                ..Default::default()
            };
            self.pixmap
                .fill_rect(rect, &paint, Transform::identity(), None);
        }
    }

    /// Fills a circle.
    pub fn circle(&mut self, x: f32, y: f32, radius: f32, color: Color) {
        let path = self.oval(x, y, radius);
        self.fill(path, Shader::SolidColor(color), FillRule::Winding);
    }

    /// Fills a circle that fades to nothing towards its rim.
    pub fn glow(&mut self, x: f32, y: f32, radius: f32, color: Color) {
        let stops = [(0.0, 1.0), (0.35, 0.55), (0.65, 0.18), (1.0, 0.0)]
            .map(|(at, alpha)| GradientStop::new(at, faded(color, alpha)));
        let shader = RadialGradient::new(
            Point::from_xy(x, y),
            0.0,
            Point::from_xy(x, y),
            radius,
            stops.to_vec(),
            SpreadMode::Pad,
            Transform::from_scale(self.scale.x, self.scale.y),
        );
        if let Some(shader) = shader {
            let path = self.oval(x, y, radius);
            self.fill(path, shader, FillRule::Winding);
        }
    }

    /// Fills a sector of a circle, from the angle `from` to `to`, in turns from the right by down.
    pub fn sector(&mut self, x: f32, y: f32, radius: f32, [from, to]: [f32; 2], color: Color) {
        let Scale { x: sx, y: sy } = self.scale;
        let mut path = PathBuilder::new();
        path.move_to(x * sx, y * sy);
        // Steps so short that nobody sees corners.
        let steps = ((to - from).abs() * 90.0).ceil().clamp(1.0, 90.0) as u32;
        for step in 0..=steps {
            let turn = from + (to - from) * step as f32 / steps as f32;
            let (sin, cos) = (turn * std::f32::consts::TAU).sin_cos();
            path.line_to((x + radius * cos) * sx, (y + radius * sin) * sy);
        }
        path.close();
        self.fill(path.finish(), Shader::SolidColor(color), FillRule::Winding);
    }

    fn oval(&self, x: f32, y: f32, radius: f32) -> Option<Path> {
        let Scale { x: sx, y: sy } = self.scale;
        let rect = tiny_skia::Rect::from_xywh(
            (x - radius) * sx,
            (y - radius) * sy,
            2.0 * radius * sx,
            2.0 * radius * sy,
        )?;
        PathBuilder::from_oval(rect)
    }

    /// Writes `text` from `x` on the base line `y`, digits all of one width; units of `size` to an em.
    pub fn text(&mut self, text: &str, x: f32, y: f32, size: f32, color: Color) {
        let Some(face) = FACE.as_ref() else { return };
        let em = size / f32::from(face.units_per_em());
        // The base line is a straight edge, too.
        let base = (y * self.scale.y).round();
        let mut outline = Outline {
            path: PathBuilder::new(),
            x: x * self.scale.x,
            y: base,
            sx: em * self.scale.x,
            sy: em * self.scale.y,
        };
        for c in text.chars() {
            let Some(glyph) = face.glyph_index(c) else {
                continue;
            };
            face.outline_glyph(glyph, &mut outline);
            outline.x += advance(face, c) * outline.sx;
        }
        self.fill(
            outline.path.finish(),
            Shader::SolidColor(color),
            FillRule::Winding,
        );
    }

    /// Multiplies the opacity of each pixel by `f` of its column and row, 0 to 1.
    pub fn fade(&mut self, f: impl Fn(u32, u32) -> f32) {
        let row = self.pixmap.width() as usize * 4;
        for (y, row) in (0..).zip(self.pixmap.data_mut().chunks_exact_mut(row)) {
            for (x, pixel) in (0..).zip(row.chunks_exact_mut(4)) {
                // In whole numbers: rounding floats is a call to the C library.
                let by = (f(x, y).clamp(0.0, 1.0) * 256.0) as u16;
                for channel in pixel {
                    *channel = ((u16::from(*channel) * by + 128) >> 8) as u8;
                }
            }
        }
    }

    /// The canvas as a rectangle of the overlay, at `area`, with all of it faded by `opacity`.
    pub fn into_rectangle(
        mut self,
        area: Area,
        opacity: f32,
    ) -> Option<gst_video::VideoOverlayRectangle> {
        if opacity < 1.0 {
            self.fade(|_, _| opacity);
        }
        let (width, height) = (self.pixmap.width(), self.pixmap.height());
        let mut bytes = self.pixmap.take();
        // GStreamer wants BGRA on little-endian machines and ARGB on the others.
        let format = if cfg!(target_endian = "little") {
            bytes.chunks_exact_mut(4).for_each(|p| p.swap(0, 2));
            gst_video::VideoFormat::Bgra
        } else {
            bytes.chunks_exact_mut(4).for_each(|p| p.rotate_right(1));
            gst_video::VideoFormat::Argb
        };
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        gst_video::VideoMeta::add(
            buffer.get_mut()?,
            gst_video::VideoFrameFlags::empty(),
            format,
            width,
            height,
        )
        .ok()?;
        Some(gst_video::VideoOverlayRectangle::new_raw(
            &buffer,
            i32::try_from(area.x).ok()?,
            i32::try_from(area.y).ok()?,
            width,
            height,
            gst_video::VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA,
        ))
    }
}

/// Width of a text in units of its size.
pub(super) fn text_width(text: &str, size: f32) -> f32 {
    let Some(face) = FACE.as_ref() else {
        return 0.0;
    };
    let em = size / f32::from(face.units_per_em());
    text.chars().map(|c| advance(face, c) * em).sum()
}

/// How far a character moves the pen, in the font's units.
fn advance(face: &Face<'_>, c: char) -> f32 {
    // The 4 of this font is a hair narrower than its other tabular digits.
    let c = if c.is_ascii_digit() { '0' } else { c };
    face.glyph_index(c)
        .and_then(|glyph| face.glyph_hor_advance(glyph))
        .map_or(0.0, f32::from)
}

/// Glyphs on their way to a path, from the font's units with y up to pixels with y down.
struct Outline {
    path: PathBuilder,
    x: f32,
    y: f32,
    sx: f32,
    sy: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.sx, self.y - y * self.sy)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_has_every_character_that_is_written() {
        let face = FACE.as_ref().unwrap();
        for c in "0123456789BPM–barbeatonsetdance".chars() {
            let glyph = face.glyph_index(c).unwrap();
            assert!(face.glyph_bounding_box(glyph).is_some(), "{c}");
        }
    }

    #[test]
    fn numbers_of_as_many_digits_are_equally_wide() {
        assert_eq!(text_width("111", 50.0), text_width("848", 50.0));
        assert!(text_width("1", 50.0) > 20.0);
    }

    #[test]
    fn shapes_too_small_or_off_the_canvas_do_no_harm() {
        let scale = Scale { x: 1e-4, y: 1e-4 };
        assert!(Canvas::new(0, 1, scale).is_none());
        let mut canvas = Canvas::new(1, 1, scale).unwrap();
        canvas.text("120", 0.0, 0.0, 10.0, Color::WHITE);
        canvas.circle(0.0, 0.0, 0.0, Color::WHITE);
        canvas.glow(0.0, 0.0, 0.0, Color::WHITE);
        canvas.round_rect(Rect::new(-1e9, 5.0, 3.0, -7.0), 9.0, Color::WHITE);
        canvas.column(i32::MAX, 3, 0.0, 1.0, Color::WHITE);
    }
}
