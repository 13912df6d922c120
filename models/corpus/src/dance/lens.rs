// SPDX-License-Identifier: MPL-2.0
//! What a camera, a codec and a broadcaster do to a picture.

use crate::random::Random;
use glam::Vec3;

/// What happens to the pictures of a clip; the truth is of the clean ones.
#[derive(Clone, Debug)]
pub struct Lens {
    /// Gain of each colour.
    pub balance: Vec3,
    /// How far the exposure drifts, and how fast, in radians a second from a phase.
    pub drift: [f32; 3],
    /// Deviation of noise, 0 … 1.
    pub noise: f32,
    /// Quality of JPEG; 0 for none.
    pub quality: u8,
}

/// Steps of the way from linear light to the picture's values.
const STEPS: usize = 4096;

impl Lens {
    /// None at all.
    pub fn clean() -> Self {
        Self {
            balance: Vec3::ONE,
            drift: [0.0; 3],
            noise: 0.0,
            quality: 0,
        }
    }

    /// Any.
    pub fn any(random: &mut Random) -> Self {
        let gain = random.range(0.75, 1.2) as f32;
        let tint = [(); 3].map(|()| random.range(0.93, 1.07) as f32);
        Self {
            balance: Vec3::from(tint) * gain,
            drift: if random.chance(0.25) {
                [
                    random.range(0.03, 0.2),
                    random.range(0.3, 3.0),
                    random.range(0.0, 6.3),
                ]
                .map(|v| v as f32)
            } else {
                [0.0; 3]
            },
            noise: if random.chance(0.5) {
                random.range(0.003, 0.03) as f32
            } else {
                0.0
            },
            quality: if random.chance(0.4) {
                random.range(25.0, 90.0) as u8
            } else {
                0
            },
        }
    }

    /// Eight-bit values of a linear picture. `time` is the frame's, `seed` that of its noise.
    pub fn develop(
        &self,
        picture: &[Vec3],
        size: [usize; 2],
        time: f32,
        seed: u64,
        out: &mut [u8],
    ) {
        let [depth, speed, phase] = self.drift;
        let gain = self.balance * (1.0 + depth * (speed * time + phase).sin());
        let table = table();
        let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for (linear, pixel) in picture.iter().zip(out.chunks_exact_mut(3)) {
            let lit = (*linear * gain).clamp(Vec3::ZERO, Vec3::ONE) * (STEPS - 1) as f32;
            for (value, x) in pixel.iter_mut().zip(lit.to_array()) {
                let mut shown = table[x as usize];
                if self.noise > 0.0 {
                    shown += 255.0 * self.noise * noise.next();
                }
                *value = (shown + 0.5) as u8;
            }
        }
        if self.quality > 0 {
            compress(out, size, self.quality);
        }
    }
}

/// 0 … 255 by linear light, gamma 2.2.
fn table() -> &'static [f32; STEPS] {
    static TABLE: std::sync::OnceLock<[f32; STEPS]> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| {
        std::array::from_fn(|n| 255.0 * (n as f32 / (STEPS - 1) as f32).powf(1.0 / 2.2))
    })
}

/// About normal, fast (G. Marsaglia's xorshift64, 2003).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The sum of four uniform bytes' pairs: deviation 1.
        let parts = (0..4).map(|k| ((self.0 >> (16 * k)) & 0xffff) as f32);
        (parts.sum::<f32>() / 65_536.0 - 2.0) * 1.732
    }
}

/// Through JPEG and back, as the frames of a compressed video look.
fn compress(pixels: &mut [u8], [height, width]: [usize; 2], quality: u8) {
    let mut file = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, quality);
    let colour = image::ExtendedColorType::Rgb8;
    // Into memory neither fails; if it did, the frame would stay as it is.
    if encoder
        .encode(pixels, width as u32, height as u32, colour)
        .is_ok()
        && let Ok(decoded) = image::load_from_memory_with_format(&file, image::ImageFormat::Jpeg)
    {
        pixels.copy_from_slice(decoded.to_rgb8().as_raw());
    }
}
