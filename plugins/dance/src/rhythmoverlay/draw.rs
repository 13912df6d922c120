// SPDX-License-Identifier: MPL-2.0
//! The overlay's widgets, where they stand in a frame, and what of them has to be redrawn.
//!
//! Lengths are in units of the layout, of which a picture has 1080 across its shorter side. Each
//! widget is a rectangle of its own, and is drawn when its [`Look`] changes, so that a sink that
//! composes on a GPU uploads no more than what moved.

use gst::ClockTime;
use tiny_skia::Color;

use super::canvas::{Area, Canvas, Rect, Scale, argb, faded, text_width};
use super::timeline::{Flash, Timeline};
use super::{FlashStyle, Position, Show};
use crate::marks::Kind;

/// Shorter side of a picture in units of the layout.
const UNITS: f32 = 1080.0;
/// Pictures of fewer lines are drawn as if they had these, for text of a few pixels cannot be read.
const MIN_LINES: f32 = 360.0;
/// From the plate's rim to its content.
const PAD: f32 = 22.0;
/// How far the shadow reaches beyond the plate.
const SHADOW: f32 = 12.0;
const RADIUS: f32 = 16.0;
/// Height of the row of lamp, tempo and bar counter.
const ROW: f32 = 44.0;
/// From one thing of the row to the next.
const SPACING: f32 = 26.0;
/// From the row to the onset strip.
const GAP: f32 = 16.0;
const STRIP_HEIGHT: f32 = 36.0;
const STRIP_MIN_WIDTH: f32 = 300.0;
/// The key below the strip: its height, the size of its letters, and from the strip to it.
const KEY_HEIGHT: f32 = 20.0;
const KEY_SIZE: f32 = 16.0;
const KEY_GAP: f32 = 8.0;
/// What the marks of the strip are called, by how they look.
const KEY: [(Kind, &str); 4] = [
    (Kind::Downbeat, "bar"),
    (Kind::Beat, "beat"),
    (Kind::Onset, "onset"),
    (Kind::VisualBeat, "dance"),
];
/// Of a picture that is higher than wide, so much of its height is kept free below and above: players put their own
/// controls and captions there.
const PORTRAIT_MARGIN: f64 = 0.15;
const LAMP_RADIUS: f32 = 12.0;
/// The lamp's light falls over its neighbours.
const GLOW_RADIUS: f32 = 33.0;
const DIGITS: f32 = 52.0;
const LABEL: f32 = 19.0;
/// Height of capitals and digits of the font, in ems.
const CAP_HEIGHT: f32 = 0.727;
const BAR_WIDTH: f32 = 208.0;
/// The flow rose is at least so wide and high, and as high as what stands beside it.
const ROSE: f32 = 96.0;
/// How far the light of a flashing border reaches into the picture.
const BORDER: f32 = 30.0;
/// The inner share of it that is shadow.
const SHADED: f32 = 0.5;
/// Steps in which a flash fades: more cannot be seen, fewer drawings can be kept.
const LEVELS: f32 = 64.0;
/// A bitmap beyond this is not drawn: no frame that anybody can see has such a widget.
const MAX_PIXELS: u64 = 1 << 26;

/// What the overlay looks like and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Style {
    pub show: Show,
    pub show_idle: bool,
    pub flash_style: FlashStyle,
    pub position: Position,
    pub scale: f64,
    pub opacity: f64,
    /// Colors are 0xAARRGGBB.
    pub color: u32,
    pub accent_color: u32,
    pub plate_color: u32,
    /// Shares of the frame's width and height that are kept free on each side.
    pub margin_x: f64,
    pub margin_y: f64,
    /// How much time the onset strip shows.
    pub onset_window: ClockTime,
}

/// The facts about a frame that its layout depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub width: u32,
    pub height: u32,
    /// Pixel aspect ratio, width to height.
    pub par: (u32, u32),
}

impl From<&gst_video::VideoInfo> for Frame {
    fn from(info: &gst_video::VideoInfo) -> Self {
        let par = info.par();
        Frame {
            width: info.width(),
            height: info.height(),
            par: match (u32::try_from(par.numer()), u32::try_from(par.denom())) {
                (Ok(n @ 1..), Ok(d @ 1..)) => (n, d),
                _ => (1, 1),
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

/// One thing on the overlay, with the size that it is drawn to in units of the layout.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Widget {
    Plate {
        plate: Rect,
        strip: Option<Rect>,
        /// Over busy pictures, as those of phones are, less of which shines through.
        dense: bool,
    },
    Lamp,
    Tempo,
    Bar,
    Strip,
    /// With its side in units of the layout.
    Rose(f32),
    Border(Side),
}

/// Everything that a widget's drawing depends on, besides the style and the layout.
#[derive(Debug, Clone, PartialEq)]
enum Look {
    Hidden,
    Static,
    Flash {
        level: u32,
        downbeat: bool,
    },
    Tempo {
        bpm: Option<u32>,
        live: bool,
    },
    Bar {
        beats: u32,
        place: Option<u32>,
    },
    /// Pixel columns, from the left, of the marks.
    Strip(Vec<(i32, Kind)>),
    /// Lengths of the petals in [`LEVELS`].
    Rose(Vec<u8>),
}

/// A widget at its place, with its last drawing.
#[derive(Debug)]
struct Layer {
    widget: Widget,
    area: Area,
    look: Look,
    drawn: Option<gst_video::VideoOverlayRectangle>,
}

/// Draws the overlay, and keeps what it has drawn.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    setup: Option<(Style, Frame)>,
    scale: Option<Scale>,
    layers: Vec<Layer>,
    composition: Option<gst_video::VideoOverlayComposition>,
}

impl Renderer {
    /// The overlay for the frame that `timeline` is at. `None` where there is nothing to draw.
    ///
    /// It is the same object as for the frame before if nothing has changed.
    pub fn draw(
        &mut self,
        style: &Style,
        frame: Frame,
        timeline: &Timeline,
    ) -> Option<gst_video::VideoOverlayComposition> {
        if timeline.is_idle() && !style.show_idle {
            return None;
        }
        if self.setup != Some((*style, frame)) {
            self.setup = Some((*style, frame));
            self.composition = None;
            (self.scale, self.layers) = layout(style, frame);
        }
        let scale = self.scale?;
        let mut changed = self.composition.is_none();
        for layer in &mut self.layers {
            let look = layer.widget.look(style, timeline, layer.area.width);
            if look != layer.look {
                layer.drawn = (look != Look::Hidden)
                    .then(|| draw(layer.widget, &look, style, layer.area, scale))
                    .flatten();
                layer.look = look;
                changed = true;
            }
        }
        if changed {
            let drawn = self.layers.iter().filter_map(|layer| layer.drawn.as_ref());
            self.composition = gst_video::VideoOverlayComposition::new(drawn).ok();
        }
        (self.composition.clone()).filter(|composition| composition.n_rectangles() > 0)
    }
}

/// Where everything stands: the plate in its corner of the safe area, the rest upon it.
fn layout(style: &Style, frame: Frame) -> (Option<Scale>, Vec<Layer>) {
    let par = frame.par.0 as f32 / frame.par.1 as f32;
    let lines = (frame.width as f32 * par).min(frame.height as f32);
    let wanted = lines.max(MIN_LINES) / UNITS * style.scale as f32;
    let mut layers = Vec::new();
    let mut add = |widget, area| {
        layers.push(Layer {
            widget,
            area,
            look: Look::Hidden,
            drawn: None,
        });
    };

    if style.show.contains(Show::FLASH) && style.flash_style == FlashStyle::Border {
        let Frame { width, height, .. } = frame;
        let across = pixels(BORDER * wanted / par).clamp(1, width.div_ceil(2).max(1));
        let down = pixels(BORDER * wanted).clamp(1, height.div_ceil(2).max(1));
        for (side, x, y, width, height) in [
            (Side::Top, 0, 0, width, down),
            (Side::Bottom, 0, height - down.min(height), width, down),
            (Side::Left, 0, 0, across, height),
            (Side::Right, width - across.min(width), 0, across, height),
        ] {
            let area = Area {
                x,
                y,
                width,
                height,
            };
            add(Widget::Border(side), area);
        }
    }

    let tempo_width = text_width("000", DIGITS) + 8.0 + text_width("BPM", LABEL);
    let row: Vec<(Widget, f32)> = [
        (
            style.show.contains(Show::FLASH) && style.flash_style == FlashStyle::Pip,
            Widget::Lamp,
            2.0 * LAMP_RADIUS,
        ),
        (style.show.contains(Show::BPM), Widget::Tempo, tempo_width),
        (style.show.contains(Show::BAR), Widget::Bar, BAR_WIDTH),
    ]
    .into_iter()
    .filter_map(|(shown, widget, width)| shown.then_some((widget, width)))
    .collect();
    let has_strip = style.show.contains(Show::ONSETS);
    let scale = |unit: f32| Scale {
        x: unit / par,
        y: unit,
    };
    let has_rose = style.show.contains(Show::ROSE);
    if row.is_empty() && !has_strip && !has_rose {
        return (Some(scale(wanted)), layers);
    }

    let row_width = (row.iter().map(|(_, width)| width + SPACING).sum::<f32>() - SPACING).max(0.0);
    let content = row_width.max(if has_strip { STRIP_MIN_WIDTH } else { 0.0 });
    let row_height = if row.is_empty() { 0.0 } else { ROW };
    let gap = if row.is_empty() || !has_strip {
        0.0
    } else {
        GAP
    };
    let strip_height = if has_strip {
        STRIP_HEIGHT + KEY_GAP + KEY_HEIGHT
    } else {
        0.0
    };
    let origin = SHADOW + PAD;
    let beside = row_height + gap + strip_height;
    let rose = has_rose.then(|| {
        let left = if content > 0.0 {
            content + SPACING
        } else {
            0.0
        };
        let side = beside.max(ROSE);
        Rect::new(origin + left, origin, side, side)
    });
    let plate = Rect::new(
        SHADOW,
        SHADOW,
        rose.map_or(content, |rose| rose.x + rose.width - origin) + 2.0 * PAD,
        rose.map_or(beside, |rose| rose.height) + 2.0 * PAD,
    );
    let whole = plate.grown(SHADOW);

    // The safe area in whole pixels, and the largest unit with which the plate fits into it.
    let (left, right) = safe(frame.width, style.margin_x);
    let margin_y = if is_portrait(frame) {
        style.margin_y.max(PORTRAIT_MARGIN)
    } else {
        style.margin_y
    };
    let (top, bottom) = safe(frame.height, margin_y);
    if left >= right || top >= bottom {
        return (Some(scale(wanted)), layers);
    }
    let (room_x, room_y) = (right - left, bottom - top);
    let unit = wanted
        .min(room_x as f32 * par / whole.width)
        .min(room_y as f32 / whole.height);
    let scale = scale(unit);
    let width = pixels(whole.width * scale.x).clamp(1, room_x);
    let height = pixels(whole.height * scale.y).clamp(1, room_y);
    let (across, down) = style.position.alignment();
    let x = even(
        left + (across * (room_x - width) as f32) as u32,
        left,
        right - width,
    );
    let y = even(
        top + (down * (room_y - height) as f32) as u32,
        top,
        bottom - height,
    );

    let area = |rect: Rect| {
        let dx = ((rect.x * scale.x).round().max(0.0) as u32).min(width - 1);
        let dy = ((rect.y * scale.y).round().max(0.0) as u32).min(height - 1);
        Area {
            x: x + dx,
            y: y + dy,
            width: pixels(rect.width * scale.x).clamp(1, width - dx),
            height: pixels(rect.height * scale.y).clamp(1, height - dy),
        }
    };
    let strip =
        has_strip.then(|| Rect::new(origin, origin + row_height + gap, content, STRIP_HEIGHT));
    let dense = is_portrait(frame);
    add(
        Widget::Plate {
            plate,
            strip,
            dense,
        },
        area(whole),
    );
    let mut pen = origin;
    for (widget, width) in row {
        let rect = match widget {
            Widget::Lamp => {
                let center = (pen + LAMP_RADIUS, origin + ROW / 2.0);
                Rect::new(center.0, center.1, 0.0, 0.0).grown(GLOW_RADIUS)
            }
            // The bar counter closes the row, flush with the strip below.
            Widget::Bar => Rect::new(origin + content - width, origin, width, ROW),
            _ => Rect::new(pen, origin, width, ROW),
        };
        add(widget, area(rect));
        pen += width + SPACING;
    }
    if let Some(strip) = strip {
        add(Widget::Strip, area(strip));
    }
    if let Some(rose) = rose {
        add(Widget::Rose(rose.width), area(rose));
    }
    (Some(scale), layers)
}

/// Whether a picture is seen higher than wide.
fn is_portrait(frame: Frame) -> bool {
    let (n, d) = frame.par;
    u64::from(frame.width) * u64::from(n) < u64::from(frame.height) * u64::from(d)
}

/// Whole pixels that hold a length.
fn pixels(length: f32) -> u32 {
    length.ceil().max(0.0) as u32
}

/// First and last but one pixel of a side with a margin at both ends.
fn safe(length: u32, margin: f64) -> (u32, u32) {
    let length = f64::from(length);
    (
        (length * margin).ceil() as u32,
        (length * (1.0 - margin)).floor() as u32,
    )
}

/// An even pixel next to `x` and within the bounds, if there is one: there chroma is sampled.
fn even(x: u32, min: u32, max: u32) -> u32 {
    match x {
        x if x % 2 == 0 => x,
        x if x < max => x + 1,
        x if x > min => x - 1,
        x => x,
    }
}

impl Widget {
    fn look(&self, style: &Style, timeline: &Timeline, width: u32) -> Look {
        match self {
            Widget::Plate { .. } => Look::Static,
            Widget::Lamp => flash_look(timeline.flash()).unwrap_or(Look::Static),
            Widget::Border(_) => flash_look(timeline.flash()).unwrap_or(Look::Hidden),
            Widget::Tempo => Look::Tempo {
                bpm: timeline.bpm(),
                live: timeline.is_live(),
            },
            Widget::Bar => Look::Bar {
                beats: timeline.beats(),
                place: timeline.place(),
            },
            Widget::Rose(_) => {
                let petal = |length: &f32| (length * LEVELS).round() as u8;
                Look::Rose(timeline.rose().iter().map(petal).collect())
            }
            Widget::Strip => {
                // Marks are put on whole pixels of an endless strip, and the strip moved by whole
                // pixels, so that they keep their distances while they move.
                let rate = f64::from(width) / style.onset_window.nseconds().max(1) as f64;
                let column = |t: ClockTime| (t.nseconds() as f64 * rate).round();
                let now = column(timeline.now().unwrap_or(ClockTime::ZERO));
                let columns: Vec<_> = timeline
                    .ticks()
                    .map(|tick| {
                        let x = f64::from(width) - 1.0 - (now - column(tick.time));
                        (x as i32, tick.kind)
                    })
                    .filter(|(x, _)| (-8..=width as i32).contains(x))
                    .collect();
                if columns.is_empty() {
                    Look::Hidden
                } else {
                    Look::Strip(columns)
                }
            }
        }
    }
}

fn flash_look(flash: Option<Flash>) -> Option<Look> {
    let Flash {
        intensity,
        downbeat,
    } = flash?;
    let level = (intensity * LEVELS).round() as u32;
    (level > 0).then_some(Look::Flash { level, downbeat })
}

fn draw(
    widget: Widget,
    look: &Look,
    style: &Style,
    area: Area,
    scale: Scale,
) -> Option<gst_video::VideoOverlayRectangle> {
    if u64::from(area.width) * u64::from(area.height) > MAX_PIXELS {
        return None;
    }
    let mut canvas = Canvas::new(area.width, area.height, scale)?;
    let color = argb(style.color);
    let accent = argb(style.accent_color);
    match (widget, look) {
        (
            Widget::Plate {
                plate,
                strip,
                dense,
            },
            _,
        ) => {
            draw_plate(&mut canvas, plate, dense, style);
            if let Some(strip) = strip {
                draw_track(&mut canvas, strip, color, accent);
            }
        }
        (Widget::Lamp, look) => draw_lamp(&mut canvas, look, color, accent),
        (Widget::Border(side), Look::Flash { level, downbeat }) => {
            draw_border(
                &mut canvas,
                side,
                area,
                *level as f32 / LEVELS,
                if *downbeat { accent } else { color },
            );
        }
        (_, Look::Tempo { bpm, live }) => draw_tempo(&mut canvas, *bpm, *live, color),
        (_, Look::Bar { beats, place }) => draw_bar(&mut canvas, *beats, *place, color, accent),
        (Widget::Rose(side), Look::Rose(petals)) => draw_rose(&mut canvas, petals, side, color),
        (_, Look::Strip(columns)) => draw_strip(&mut canvas, columns, scale, color, accent),
        _ => return None,
    }
    canvas.into_rectangle(area, style.opacity as f32)
}

/// A rounded plate with a hairline rim and a soft shadow.
fn draw_plate(canvas: &mut Canvas, plate: Rect, dense: bool, style: &Style) {
    let mut ground = argb(style.plate_color);
    if dense {
        ground.set_alpha(0.5 + 0.5 * ground.alpha());
    }
    let shadow = faded(Color::BLACK, ground.alpha());
    // Plates one within the other, each a little denser, add up to a penumbra without an edge.
    const RINGS: u32 = 12;
    for ring in 0..RINGS {
        let depth = ring as f32 / RINGS as f32;
        let grown = SHADOW * (1.0 - depth);
        let density = faded(shadow, 0.008 + 0.032 * depth);
        canvas.round_rect(plate.grown(grown), RADIUS + grown, density);
    }
    let light = argb(style.color);
    canvas.round_rect(plate, RADIUS, ground);
    canvas.rim(plate, RADIUS, faded(light, 0.16));
}

/// The track of the onset strip, and below it what its marks mean: each as it looks, with its name.
fn draw_track(canvas: &mut Canvas, strip: Rect, color: Color, accent: Color) {
    canvas.round_rect(strip, 5.0, faded(color, 0.07));
    let top = strip.y + STRIP_HEIGHT + KEY_GAP;
    let cell = strip.width / KEY.len() as f32;
    for (n, (kind, name)) in KEY.into_iter().enumerate() {
        let left = strip.x + n as f32 * cell;
        let Stroke {
            width,
            height,
            hangs,
            color: stroke,
        } = stroke(kind, color, accent);
        let height = height * KEY_HEIGHT;
        let y = if hangs {
            top
        } else {
            top + KEY_HEIGHT - height
        };
        canvas.round_rect(Rect::new(left, y, width, height), 0.0, stroke);
        let base = top + (KEY_HEIGHT + CAP_HEIGHT * KEY_SIZE) / 2.0;
        canvas.text(name, left + 10.0, base, KEY_SIZE, faded(color, 0.75));
    }
}

/// How a mark looks on the strip.
struct Stroke {
    width: f32,
    /// Share of the strip's height.
    height: f32,
    /// From above rather than standing on the ground.
    hangs: bool,
    color: Color,
}

fn stroke(kind: Kind, color: Color, accent: Color) -> Stroke {
    let (width, height, hangs, color) = match kind {
        Kind::Onset => (2.0, 0.34, false, faded(color, 0.55)),
        Kind::VisualBeat => (3.0, 0.34, true, faded(color, 0.8)),
        Kind::Beat => (3.0, 0.66, false, faded(color, 0.95)),
        Kind::Downbeat => (4.0, 1.0, false, accent),
    };
    Stroke {
        width,
        height,
        hangs,
        color,
    }
}

fn draw_lamp(canvas: &mut Canvas, look: &Look, color: Color, accent: Color) {
    let center = GLOW_RADIUS;
    canvas.circle(center, center, LAMP_RADIUS, faded(color, 0.17));
    if let Look::Flash { level, downbeat } = look {
        let light = *level as f32 / LEVELS;
        let color = if *downbeat { accent } else { color };
        canvas.glow(center, center, GLOW_RADIUS, faded(color, 0.8 * light));
        canvas.circle(center, center, LAMP_RADIUS, faded(color, light.sqrt()));
    }
}

/// Light that falls from one side into the picture.
fn draw_border(canvas: &mut Canvas, side: Side, area: Area, light: f32, color: Color) {
    let Area { width, height, .. } = area;
    // How near the rim a pixel is: from 1 there to 0 where the light ends.
    let near = |x: u32, y: u32| {
        let (depth, reach) = match side {
            Side::Left => (x, width),
            Side::Right => (width - 1 - x, width),
            Side::Top => (y, height),
            Side::Bottom => (height - 1 - y, height),
        };
        1.0 - depth as f32 / reach as f32
    };
    // Light is not seen on a picture as bright as it is, so that a shadow lies on its inside.
    canvas.gradient(faded(color, 0.9 * light), |x, y| {
        let near = ((near(x, y) - SHADED) / (1.0 - SHADED)).max(0.0);
        near * (2.0 - near)
    });
    canvas.under(faded(Color::BLACK, 0.6 * light), |x, y| {
        let near = (near(x, y) / SHADED).min(1.0);
        near * near
    });
}

fn draw_tempo(canvas: &mut Canvas, bpm: Option<u32>, live: bool, color: Color) {
    let base = (ROW + CAP_HEIGHT * DIGITS) / 2.0;
    let field = text_width("000", DIGITS);
    let (text, strength) = match bpm {
        Some(bpm) => (bpm.to_string(), if live { 1.0 } else { 0.5 }),
        None => ("–".to_owned(), 0.35),
    };
    // Flush right, so that the label stays where it is at 99 and at 100.
    let x = field - text_width(&text, DIGITS);
    canvas.text(&text, x, base, DIGITS, faded(color, strength));
    canvas.text("BPM", field + 8.0, base, LABEL, faded(color, 0.6));
}

fn draw_bar(canvas: &mut Canvas, beats: u32, place: Option<u32>, color: Color, accent: Color) {
    let gap = if beats > 8 { 4.0 } else { 8.0 };
    let width = (BAR_WIDTH + gap) / beats as f32 - gap;
    for n in 1..=beats {
        let height = if n == 1 { 30.0 } else { 20.0 };
        let x = (n - 1) as f32 * (width + gap);
        let rect = Rect::new(x, (ROW - height) / 2.0, width, height);
        let color = match place {
            Some(place) if n == place && n == 1 => accent,
            Some(place) if n == place => color,
            Some(place) if n < place => faded(color, 0.42),
            _ => faded(color, 0.17),
        };
        canvas.round_rect(rect, 5.0, color);
    }
}

/// A petal for each direction, longer the more goes there, in a ring of the longest.
fn draw_rose(canvas: &mut Canvas, petals: &[u8], side: f32, color: Color) {
    let center = side / 2.0;
    canvas.circle(center, center, center, faded(color, 0.07));
    let width = 1.0 / petals.len().max(1) as f32;
    let most = petals.iter().max().copied().unwrap_or_default();
    for (n, &petal) in petals.iter().enumerate() {
        let turn = n as f32 * width;
        // A little room between neighbours; the longest stand out.
        let sides = [turn - 0.42 * width, turn + 0.42 * width];
        let strength = if petal == most { 0.95 } else { 0.6 };
        let radius = center * f32::from(petal) / LEVELS;
        canvas.sector(center, center, radius, sides, faded(color, strength));
    }
    canvas.circle(center, center, 2.5, color);
}

/// Music stands on the ground, higher the more it weighs; what is visible hangs from above.
fn draw_strip(
    canvas: &mut Canvas,
    columns: &[(i32, Kind)],
    scale: Scale,
    color: Color,
    accent: Color,
) {
    for kind in [Kind::Onset, Kind::VisualBeat, Kind::Beat, Kind::Downbeat] {
        let Stroke {
            width,
            height,
            hangs,
            color,
        } = stroke(kind, color, accent);
        let width = (width * scale.x).round().max(1.0) as u32;
        let height = height * STRIP_HEIGHT;
        let y = if hangs { 0.0 } else { STRIP_HEIGHT - height };
        for (x, _) in columns.iter().filter(|(_, k)| *k == kind) {
            canvas.column(x.saturating_sub(width as i32 - 1), width, y, height, color);
        }
    }
    // They leave on the left without a jerk.
    let soft = canvas.width() as f32 / 5.0;
    canvas.fade(|x, _| (x as f32 + 1.0) / soft);
}
