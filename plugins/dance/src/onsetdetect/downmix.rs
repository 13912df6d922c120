//! Any raw audio buffer to one channel of f32, on a copy.

use byte_slice_cast::{AsByteSlice as _, AsMutByteSlice as _};

/// Mixes buffers down to the mean of their channels; keeps its scratch memory from call to call.
#[derive(Debug, Default)]
pub struct Downmix {
    integers: Vec<i32>,
    floats: Vec<f64>,
    mono: Vec<f32>,
}

impl Downmix {
    /// The mean of the channels of `buffer`, full scale ±1; NaN and infinities are let through.
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
        let planes = audio.n_planes() as usize;
        let channels_in_plane = (info.channels() as usize / planes.max(1)).max(1);
        self.mono.resize(audio.n_samples(), 0.0);
        let gain = 1.0 / f64::from(info.channels());
        for plane in 0..planes {
            let data = audio
                .plane_data(plane as u32)
                .map_err(|err| err.to_string())?;
            self.add_plane(data, info, channels_in_plane, gain);
        }
        Ok(&self.mono)
    }

    /// Adds the interleaved channels of one plane to the mix.
    fn add_plane(&mut self, data: &[u8], info: &gst_audio::AudioInfo, channels: usize, gain: f64) {
        let format = info.format_info();
        // The library unpacks every format to one of these two.
        if format.is_integer() {
            self.integers.resize(self.mono.len() * channels, 0);
            format.unpack(
                gst_audio::AudioPackFlags::TRUNCATE_RANGE,
                self.integers.as_mut_byte_slice(),
                whole_samples(data, info, self.mono.len() * channels),
            );
            let gain = (gain / -f64::from(i32::MIN)) as f32;
            add_frames(&mut self.mono, &self.integers, channels, gain, |v| v as f32);
        } else {
            self.floats.resize(self.mono.len() * channels, 0.0);
            format.unpack(
                gst_audio::AudioPackFlags::TRUNCATE_RANGE,
                self.floats.as_mut_byte_slice(),
                whole_samples(data, info, self.mono.len() * channels),
            );
            add_frames(&mut self.mono, &self.floats, channels, gain as f32, |v| {
                v as f32
            });
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
