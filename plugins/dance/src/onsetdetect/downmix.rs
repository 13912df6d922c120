// SPDX-License-Identifier: MPL-2.0
//! Any raw audio buffer to one channel of f32, on a copy.

use byte_slice_cast::{AsByteSlice as _, AsMutByteSlice as _};

/// A mix this many times weaker than the loudest channel says little about it, as where left is the negative of right;
/// then that channel takes its place …
const CANCELLED: f64 = 100.0;
/// … until the mix is this strong again.
const RESTORED: f64 = 25.0;
/// Seconds over which powers are compared.
const MEMORY: f64 = 1.0;

/// Mixes buffers down to the mean of their channels; keeps its scratch memory from call to call.
#[derive(Debug, Default)]
pub struct Downmix {
    integers: Vec<i32>,
    floats: Vec<f64>,
    mono: Vec<f32>,
    /// Energies of late: of the mix, and of each channel.
    mix: f64,
    channels: Vec<f64>,
    /// The channel that is taken instead of the mix.
    solo: Option<usize>,
}

impl Downmix {
    /// The mean of the channels of `buffer`, or its loudest channel where they cancel each other; full scale ±1, NaN and
    /// infinities are let through.
    ///
    /// # Errors
    /// Says why the buffer does not hold whole frames of the format `info`.
    pub fn mix(
        &mut self,
        buffer: &gst::BufferRef,
        info: &gst_audio::AudioInfo,
    ) -> Result<&[f32], String> {
        self.mono.clear();
        if buffer.size() == 0 {
            return Ok(&self.mono);
        }
        // Planar buffers may carry padding, which their meta accounts for.
        if info.layout() == gst_audio::AudioLayout::Interleaved
            && !buffer.size().is_multiple_of(info.bpf() as usize)
        {
            return Err(format!(
                "{} bytes are not a whole number of frames of {} bytes",
                buffer.size(),
                info.bpf()
            ));
        }
        let audio = gst_audio::AudioBufferRef::from_buffer_ref_readable(buffer, info)
            .map_err(|err| err.to_string())?;
        let channels = info.channels() as usize;
        let frames = audio.n_samples();
        let memory = (-(frames as f64) / f64::from(info.rate()) / MEMORY).exp();
        self.channels.resize(channels, 0.0);
        self.channels
            .iter_mut()
            .for_each(|energy| *energy *= memory);
        self.add_planes(&audio, info, None)?;
        self.mix = self.mix * memory + energy(&self.mono);
        if channels > 1 && self.is_cancelled() {
            self.add_planes(&audio, info, self.solo)?;
        }
        Ok(&self.mono)
    }

    /// Decides whether a channel is to be taken instead of the mix.
    fn is_cancelled(&mut self) -> bool {
        let loudest = (self.channels.iter().enumerate()).max_by(|a, b| a.1.total_cmp(b.1));
        let Some((channel, &most)) = loudest else {
            return false;
        };
        let ratio = if self.solo.is_some() {
            RESTORED
        } else {
            CANCELLED
        };
        if most.is_finite() && self.mix * ratio < most {
            // The one that was taken before stays, however loud the others.
            self.solo.get_or_insert(channel);
        } else {
            self.solo = None;
        }
        self.solo.is_some()
    }

    /// Fills the scratch memory from all planes: with the mix, or with the channel `solo`.
    fn add_planes(
        &mut self,
        audio: &gst_audio::AudioBufferRef<&gst::BufferRef>,
        info: &gst_audio::AudioInfo,
        solo: Option<usize>,
    ) -> Result<(), String> {
        let planes = audio.n_planes() as usize;
        let width = (info.channels() as usize / planes.max(1)).max(1);
        self.mono.clear();
        self.mono.resize(audio.n_samples(), 0.0);
        for plane in 0..planes {
            let data = audio
                .plane_data(plane as u32)
                .map_err(|err| err.to_string())?;
            self.add_plane(data, info, plane * width, width, solo);
        }
        Ok(())
    }

    /// Adds the interleaved channels of one plane to the mix, the first of which is `first`; or the one channel `solo`.
    fn add_plane(
        &mut self,
        data: &[u8],
        info: &gst_audio::AudioInfo,
        first: usize,
        width: usize,
        solo: Option<usize>,
    ) {
        let format = info.format_info();
        let data = whole_samples(data, info, self.mono.len() * width);
        let flags = gst_audio::AudioPackFlags::TRUNCATE_RANGE;
        let gain = match solo {
            Some(_) => 1.0,
            None => 1.0 / f64::from(info.channels()),
        };
        let solo = solo.map(|channel| channel.wrapping_sub(first));
        let energies = &mut self.channels[first..first + width];
        // The library unpacks every format to one of these two.
        if format.is_integer() {
            let scale = -1.0 / f64::from(i32::MIN);
            self.integers.resize(self.mono.len() * width, 0);
            format.unpack(flags, self.integers.as_mut_byte_slice(), data);
            let gain = (gain * scale) as f32;
            let to_f32 = |v: i32| v as f32;
            match solo {
                Some(channel) => {
                    add_channel(&mut self.mono, &self.integers, width, channel, gain, to_f32)
                }
                None => {
                    add_energies(energies, &self.integers, scale as f32, to_f32);
                    add_frames(&mut self.mono, &self.integers, width, gain, to_f32);
                }
            }
        } else {
            self.floats.resize(self.mono.len() * width, 0.0);
            format.unpack(flags, self.floats.as_mut_byte_slice(), data);
            let gain = gain as f32;
            let to_f32 = |v: f64| v as f32;
            match solo {
                Some(channel) => {
                    add_channel(&mut self.mono, &self.floats, width, channel, gain, to_f32)
                }
                None => {
                    add_energies(energies, &self.floats, 1.0, to_f32);
                    add_frames(&mut self.mono, &self.floats, width, gain, to_f32);
                }
            }
        }
    }

    /// `n` samples of silence.
    pub fn silence(&mut self, n: usize) -> &[f32] {
        self.mono.clear();
        self.mono.resize(n, 0.0);
        &self.mono
    }
}

/// The bytes of `n` samples, without any padding that follows them.
fn whole_samples<'a>(data: &'a [u8], info: &gst_audio::AudioInfo, n: usize) -> &'a [u8] {
    &data.as_byte_slice()[..n * (info.width() / 8) as usize]
}

fn energy(mono: &[f32]) -> f64 {
    let squares = mono.iter().map(|v| f64::from(v * v));
    squares.filter(|square| square.is_finite()).sum()
}

/// Adds to the energy of each channel.
fn add_energies<T: Copy>(
    energies: &mut [f64],
    samples: &[T],
    scale: f32,
    to_f32: impl Fn(T) -> f32,
) {
    for frame in samples.chunks_exact(energies.len()) {
        for (energy, v) in energies.iter_mut().zip(frame) {
            let square = f64::from((scale * to_f32(*v)).powi(2));
            *energy += if square.is_finite() { square } else { 0.0 };
        }
    }
}

/// Takes one of the interleaved channels, if it is one of them.
fn add_channel<T: Copy>(
    mono: &mut [f32],
    samples: &[T],
    width: usize,
    channel: usize,
    gain: f32,
    to_f32: impl Fn(T) -> f32,
) {
    if channel < width {
        for (out, frame) in mono.iter_mut().zip(samples.chunks_exact(width)) {
            *out += gain * to_f32(frame[channel]);
        }
    }
}

fn add_frames<T: Copy>(
    mono: &mut [f32],
    samples: &[T],
    channels: usize,
    gain: f32,
    to_f32: impl Fn(T) -> f32,
) {
    // Mono and stereo, nearly everything there is, without a loop inside the loop.
    match channels {
        1 => {
            for (out, v) in mono.iter_mut().zip(samples) {
                *out += gain * to_f32(*v);
            }
        }
        2 => {
            for (out, frame) in mono.iter_mut().zip(samples.chunks_exact(2)) {
                *out += gain * (to_f32(frame[0]) + to_f32(frame[1]));
            }
        }
        _ => {
            for (out, frame) in mono.iter_mut().zip(samples.chunks_exact(channels)) {
                *out += gain * frame.iter().map(|v| to_f32(*v)).sum::<f32>();
            }
        }
    }
}
