//! What a frame of the onset function says about where in the bar it is.

use super::Model;
use crate::onset::Frame;

/// Strong places of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place { Down = 0, Middle = 1, Back = 2, Half = 3 }

/// log P(frame | place) − log P(frame | elsewhere).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observation(pub [f32; 4]);

const FULL: [[f32; 8]; 4] = [
    [-0.84,  1.62,  1.81,  1.07,  1.68, -0.67,  0.49, -0.09],
    [-0.64,  1.7 ,  1.29,  1.25,  1.79, -0.67, -0.11, -0.5 ],
    [-0.72,  1.91,  0.18,  0.76,  2.05,  0.09,  0.33,  0.43],
    [-0.38,  1.12,  0.59,  0.91,  1.7 ,  0.65, -0.87, -0.15],
];

impl Observation {
    pub fn new(f: &Frame, m: &Model) -> Self {
        let r = |x: f32| x.clamp(0.0, 1.0).sqrt();
        let (a, l, mi, h) = (r(f.flux), r(f.low), r(f.mid), r(f.high));
        let phi = [1.0, a, l, mi, h, l * mi, l * h, mi * h];
        let mut out = [0.0; 4];
        for (o, w) in out.iter_mut().zip(&FULL) { *o = w.iter().zip(&phi).map(|(a, b)| a * b).sum::<f32>(); }
        let on = (out[0] + out[1] + 2.0 * out[2]) / 4.0;
        let acc = m.accent as f32;
        for o in &mut out[..3] { *o = (on + (*o - on) * acc) * m.gain as f32; }
        out[3] *= m.half as f32 * m.gain as f32;
        Self(out)
    }
}

pub(crate) fn place(beat: u8, metre: u8) -> Place {
    if beat == 0 { Place::Down } else if metre % 2 == 0 && metre > 2 && beat == metre / 2 { Place::Middle } else { Place::Back }
}
