// SPDX-License-Identifier: MPL-2.0
//! Pictures and flows, and the files they come in.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::files;

/// An 8-bit RGB picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row.
    pub pixels: Vec<[u8; 3]>,
}

/// A dense flow from a first frame to a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Vectors a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row: pixels to the right and down. NaN where it is not known.
    pub vectors: Vec<[f32; 2]>,
}

/// No picture is larger, so that a damaged header cannot ask for all memory.
const LARGEST: usize = 1 << 28;
/// Middlebury's mark of an unknown vector is anything beyond this.
const UNKNOWN: f32 = 1e9;

fn check(width: usize, height: usize) -> Result<usize> {
    let n = width.saturating_mul(height);
    ensure!(
        n > 0 && n <= LARGEST,
        "{width} × {height} is no size of a picture"
    );
    Ok(n)
}

fn load<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes).with_context(|| path.display().to_string())
}

impl Picture {
    /// Reads a PNG or a binary PPM.
    ///
    /// # Errors
    /// Naming the file that is missing or is neither.
    pub fn load(path: &Path) -> Result<Self> {
        load(path, |bytes| match bytes {
            [b'P', b'6', ..] => Self::ppm(bytes),
            _ => Self::png(bytes),
        })
    }

    fn ppm(bytes: &[u8]) -> Result<Self> {
        let mut rest = &bytes[2..];
        let mut numbers = [0usize; 3];
        for number in &mut numbers {
            while let [first, tail @ ..] = rest {
                match first {
                    b'#' => {
                        let end = rest.iter().position(|&b| b == b'\n');
                        rest = &rest[end.unwrap_or(rest.len())..];
                    }
                    b if b.is_ascii_whitespace() => rest = tail,
                    _ => break,
                }
            }
            let end = rest.iter().position(|b| !b.is_ascii_digit());
            let (digits, tail) = rest.split_at(end.unwrap_or(rest.len()));
            *number = std::str::from_utf8(digits)?
                .parse()
                .context("a PPM without width, height and largest value")?;
            rest = tail;
        }
        let [width, height, largest] = numbers;
        ensure!(largest == 255, "a PPM of other than 8 bits");
        let n = check(width, height)?;
        let data = rest.get(1..1 + 3 * n).context("the PPM is cut off")?;
        let (pixels, _) = data.as_chunks();
        Ok(Self {
            width,
            height,
            pixels: pixels.to_vec(),
        })
    }

    fn png(bytes: &[u8]) -> Result<Self> {
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let (info, data) = decode(decoder)?;
        let per = info.color_type.samples();
        let pixels = data.chunks_exact(per).map(|p| match per {
            1 | 2 => [p[0]; 3],
            _ => [p[0], p[1], p[2]],
        });
        Ok(Self {
            width: info.width as usize,
            height: info.height as usize,
            pixels: pixels.collect(),
        })
    }

    /// Writes a PNG.
    ///
    /// # Errors
    /// As [`files::write_png`].
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write_png(path, self.width, self.height, self.pixels.as_flattened())
    }

    /// At another size: each pixel the mean of what it covers, or, enlarging, linear between the
    /// nearest.
    pub fn scaled(&self, width: usize, height: usize) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let floats: Vec<[f32; 3]> = self.pixels.iter().map(|p| p.map(f32::from)).collect();
        let floats = scale(&floats, [self.width, self.height], [width, height]);
        Self {
            width,
            height,
            pixels: floats
                .iter()
                .map(|p| p.map(|x| x.round().clamp(0.0, 255.0) as u8))
                .collect(),
        }
    }
}

fn decode(decoder: png::Decoder<Cursor<&[u8]>>) -> Result<(png::OutputInfo, Vec<u8>)> {
    let mut reader = decoder.read_info().context("neither PNG nor PPM")?;
    let (width, height) = (reader.info().width, reader.info().height);
    check(width as usize, height as usize)?;
    let size = reader
        .output_buffer_size()
        .context("the picture is too large")?;
    let mut data = vec![0; size];
    let info = reader.next_frame(&mut data)?;
    data.truncate(info.buffer_size());
    Ok((info, data))
}

impl Flow {
    /// Reads a `.flo` of Middlebury, or a 16-bit PNG of KITTI.
    ///
    /// # Errors
    /// Naming the file that is missing or is neither.
    pub fn load(path: &Path) -> Result<Self> {
        load(path, |bytes| match bytes {
            [b'P', b'I', b'E', b'H', ..] => Self::flo(bytes),
            [0x89, b'P', b'N', b'G', ..] => Self::kitti(bytes),
            _ => bail!("neither .flo nor PNG"),
        })
    }

    fn flo(bytes: &[u8]) -> Result<Self> {
        let (words, _) = bytes.as_chunks();
        let extent = |at: usize| -> Result<usize> {
            let word = words.get(at).context("the .flo is cut off")?;
            Ok(usize::try_from(i32::from_le_bytes(*word))?)
        };
        let (width, height) = (extent(1)?, extent(2)?);
        let n = check(width, height)?;
        let words = words.get(3..3 + 2 * n).context("the .flo is cut off")?;
        let floats: Vec<f32> = words.iter().map(|&w| f32::from_le_bytes(w)).collect();
        let (vectors, _) = floats.as_chunks();
        let known = |v: &[f32; 2]| v.iter().all(|x| x.abs() < UNKNOWN);
        let vectors = vectors.iter();
        Ok(Self {
            width,
            height,
            vectors: vectors
                .map(|v| if known(v) { *v } else { [f32::NAN; 2] })
                .collect(),
        })
    }

    fn kitti(bytes: &[u8]) -> Result<Self> {
        let (info, data) = decode(png::Decoder::new(Cursor::new(bytes)))?;
        ensure!(
            info.color_type == png::ColorType::Rgb && info.bit_depth == png::BitDepth::Sixteen,
            "a PNG of flow has 16 bits and three channels"
        );
        let word = |p: &[u8], at: usize| f32::from(u16::from_be_bytes([p[2 * at], p[2 * at + 1]]));
        let vectors = data.chunks_exact(6).map(|p| {
            if word(p, 2) > 0.0 {
                [0, 1].map(|axis| (word(p, axis) - 32768.0) / 64.0)
            } else {
                [f32::NAN; 2]
            }
        });
        Ok(Self {
            width: info.width as usize,
            height: info.height as usize,
            vectors: vectors.collect(),
        })
    }

    /// Writes a `.flo`.
    ///
    /// # Errors
    /// As [`files::write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut bytes = b"PIEH".to_vec();
        for extent in [self.width, self.height] {
            bytes.extend(i32::try_from(extent)?.to_le_bytes());
        }
        for x in self.vectors.as_flattened() {
            let x = if x.is_nan() { 2.0 * UNKNOWN } else { *x };
            bytes.extend(x.to_le_bytes());
        }
        files::write(path, &bytes)
    }

    /// For pictures of another size: other vectors, and as many times longer.
    pub fn scaled(&self, width: usize, height: usize) -> Self {
        let by = [
            width as f32 / self.width as f32,
            height as f32 / self.height as f32,
        ];
        let vectors = scale(&self.vectors, [self.width, self.height], [width, height]);
        Self {
            width,
            height,
            vectors: vectors
                .iter()
                .map(|v| [v[0] * by[0], v[1] * by[1]])
                .collect(),
        }
    }

    /// The lengths of the known vectors' differences from those of `other`, of the same size, NaN
    /// where not known.
    pub fn errors(&self, other: &Self) -> Vec<f32> {
        let pairs = self.vectors.iter().zip(&other.vectors);
        pairs
            .map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]))
            .collect()
    }

    /// The same with all vectors zero.
    pub fn still(&self) -> Self {
        Self {
            vectors: vec![[0.0; 2]; self.vectors.len()],
            ..self.clone()
        }
    }

    /// Its picture: the hue is the direction (right is red, down yellow-green), the saturation the length as a
    /// share of `longest`; white is still, black unknown.
    pub fn colours(&self, longest: f32) -> Picture {
        let colour = |v: &[f32; 2]| {
            let length = v[0].hypot(v[1]);
            if !length.is_finite() {
                return [0; 3];
            }
            let saturation = (length / longest.max(f32::MIN_POSITIVE)).min(1.0);
            let hue =
                v[1].atan2(v[0]).rem_euclid(std::f32::consts::TAU) * 3.0 / std::f32::consts::PI;
            [0.0, 4.0, 2.0].map(|offset: f32| {
                let ramp = ((hue + offset).rem_euclid(6.0) - 3.0).abs() - 1.0;
                let value = 1.0 - saturation * (1.0 - ramp.clamp(0.0, 1.0));
                (255.0 * value) as u8
            })
        };
        Picture {
            width: self.width,
            height: self.height,
            pixels: self.vectors.iter().map(colour).collect(),
        }
    }
}

/// Values at another size, the centres of the corner areas apart from each other by what they
/// cover: linear between the nearest when enlarging, means when making smaller.
pub fn scale<const N: usize>(from: &[[f32; N]], size: [usize; 2], to: [usize; 2]) -> Vec<[f32; N]> {
    let columns = taps(size[0], to[0]);
    let rows = taps(size[1], to[1]);
    let mut narrow = Vec::with_capacity(to[0] * size[1]);
    for row in from.chunks_exact(size[0].max(1)) {
        narrow.extend(columns.iter().map(|taps| blend(taps, |at| row[at])));
    }
    let mut out = Vec::with_capacity(to[0] * to[1]);
    for taps in &rows {
        out.extend((0..to[0]).map(|x| blend(taps, |at| narrow[at * to[0] + x])));
    }
    out
}

fn blend<const N: usize>(taps: &[(usize, f32)], at: impl Fn(usize) -> [f32; N]) -> [f32; N] {
    let mut sum = [0.0; N];
    for &(index, weight) in taps {
        for (sum, value) in sum.iter_mut().zip(at(index)) {
            *sum += weight * value;
        }
    }
    sum
}

/// For each of `to` samples, what it takes of `from` samples over the same length.
fn taps(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let ratio = from as f32 / to as f32;
    // A triangle as wide as the coarser of the two samplings.
    let reach = ratio.max(1.0);
    (0..to)
        .map(|n| {
            let centre = (n as f32 + 0.5) * ratio - 0.5;
            let first = (centre - reach).ceil() as i64;
            let last = (centre + reach).floor() as i64;
            let mut taps: Vec<(usize, f32)> = (first..=last)
                .map(|at| {
                    let weight = 1.0 - (at as f32 - centre).abs() / reach;
                    (at.clamp(0, from as i64 - 1) as usize, weight)
                })
                .filter(|tap| tap.1 > 0.0)
                .collect();
            let sum: f32 = taps.iter().map(|tap| tap.1).sum();
            for tap in &mut taps {
                tap.1 /= sum;
            }
            taps
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        Flow {
            width: 3,
            height: 2,
            vectors: vec![
                [1.5, -2.0],
                [0.0, 0.0],
                [f32::NAN, f32::NAN],
                [100.25, 3.0],
                [-7.0, 7.0],
                [1e-3, 0.0],
            ],
        }
    }

    #[test]
    fn a_flow_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.flo");
        flow().save(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        // As the format is published: 202021.25 as float32, then the extents.
        assert_eq!(
            f32::from_le_bytes(bytes[..4].try_into().unwrap()),
            202_021.25
        );
        let found = Flow::load(&path).unwrap();
        assert_eq!((found.width, found.height), (3, 2));
        for (a, b) in found.vectors.iter().zip(&flow().vectors) {
            assert!(a == b || a[0].is_nan() && b[0].is_nan(), "{a:?} {b:?}");
        }
        for cut in [3, 11, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            let error = format!("{:#}", Flow::load(&path).unwrap_err());
            assert!(error.contains("a.flo"), "{error}");
        }
        let mut vast = bytes.clone();
        vast[4..12].fill(0x7f);
        fs::write(&path, vast).unwrap();
        assert!(Flow::load(&path).is_err());
    }

    #[test]
    fn kittis_pictures_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("000000_10.png");
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Sixteen);
        let mut writer = encoder.write_header().unwrap();
        let words: [u16; 6] = [32768 + 64, 32768 - 32, 1, 40000, 40000, 0];
        let data: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        writer.write_image_data(&data).unwrap();
        writer.finish().unwrap();
        fs::write(&path, bytes).unwrap();
        let found = Flow::load(&path).unwrap();
        assert_eq!(found.vectors[0], [1.0, -0.5]);
        assert!(found.vectors[1][0].is_nan());
        let error = Flow::load(&dir.path().join("none.flo")).unwrap_err();
        assert!(error.to_string().contains("none.flo"));
    }

    #[test]
    fn pictures_are_read_and_scaled() {
        let dir = tempfile::tempdir().unwrap();
        let picture = Picture {
            width: 4,
            height: 2,
            pixels: (0..8).map(|n| [n * 20, 7, 255 - n]).collect(),
        };
        let path = dir.path().join("a.png");
        picture.save(&path).unwrap();
        assert_eq!(Picture::load(&path).unwrap(), picture);
        let ppm = dir.path().join("a.ppm");
        let mut bytes = b"P6 # by hand\n4 2\n255\n".to_vec();
        bytes.extend(picture.pixels.as_flattened());
        fs::write(&ppm, &bytes).unwrap();
        assert_eq!(Picture::load(&ppm).unwrap(), picture);
        fs::write(&ppm, &bytes[..20]).unwrap();
        assert!(format!("{:#}", Picture::load(&ppm).unwrap_err()).contains("a.ppm"));

        let grey = Picture {
            width: 5,
            height: 5,
            pixels: vec![[90; 3]; 25],
        };
        for (width, height) in [(1, 1), (2, 3), (16, 9)] {
            let scaled = grey.scaled(width, height);
            assert_eq!(scaled.pixels, vec![[90; 3]; width * height]);
        }
        // A ramp stays where it is, whichever way it is sampled.
        let ramp: Vec<[f32; 1]> = (0..32).map(|x| [x as f32 + 0.5]).collect();
        for n in [8, 64, 128] {
            let scaled = scale(&ramp, [32, 1], [n, 1]);
            for (x, [value]) in scaled.iter().enumerate().skip(n / 8).take(3 * n / 4) {
                let there = (x as f32 + 0.5) * 32.0 / n as f32;
                assert!((value - there).abs() < 1e-4, "{n} {x}: {value} {there}");
            }
        }
    }

    #[test]
    fn a_flow_scales_with_its_picture() {
        let flow = Flow {
            width: 4,
            height: 4,
            vectors: vec![[2.0, -3.0]; 16],
        };
        let scaled = flow.scaled(8, 2);
        assert_eq!(scaled.vectors, vec![[4.0, -1.5]; 16]);
        assert!(
            flow.errors(&flow.still())
                .iter()
                .all(|e| (e - 13f32.sqrt()).abs() < 1e-6)
        );
    }

    #[test]
    fn directions_have_colours() {
        let vectors = vec![[0.0, 0.0], [8.0, 0.0], [-8.0, 0.0], [f32::NAN, 0.0]];
        let flow = Flow {
            width: 4,
            height: 1,
            vectors,
        };
        let pixels = flow.colours(8.0).pixels;
        assert_eq!(pixels[0], [255; 3]);
        assert_eq!(pixels[1], [255, 0, 0]);
        assert_eq!(pixels[2], [0, 255, 255]);
        assert_eq!(pixels[3], [0; 3]);
    }
}
