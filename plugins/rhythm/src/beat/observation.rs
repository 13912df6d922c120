//! What a frame of the onset function says about being on a beat.

use super::Model;
use crate::onset::Frame;

/// log P(frame | beat) − log P(frame | no beat), and the same of the downbeat's and the backbeat's
/// colour.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observation {
    pub beat: f32,
    pub low: f32,
    pub back: f32,
}

impl Observation {
    pub fn new(f: &Frame, m: &Model) -> Self {
        let x = f.flux.clamp(0.0, 1.0);
        let e = (m.rest as f32 + m.slope as f32 * x.sqrt()) * m.gain as f32;
        let low = f.low.clamp(0.0, 1.0).sqrt();
        let high = (0.5 * (f.mid + f.high)).clamp(0.0, 1.0).sqrt();
        let b = m.bands as f32 * (low - 0.25);
        let presence = x.sqrt();
        Self { beat: e + b, low: (low - 0.45) * presence, back: (high - low) * presence }
    }
}
