// SPDX-License-Identifier: MPL-2.0
//! `audio preview` shows what a generator makes: sound files, labels, pictures, and how SuperFlux does
//! on it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use dance_rhythm::onset::{self, Detector, Event, Method};
use realfft::RealFftPlanner;

use dance_corpus::audio::effects::{peak, rms};
use dance_corpus::audio::truth::{BANDS, OctaveBands};
use dance_corpus::audio::{Clip, Config, Generator};
use dance_corpus::{Error, Split, files};

/// Which clips a command makes, from what.
#[derive(clap::Args, Debug)]
pub struct Choice {
    /// Configuration of the audio (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Folder laid out as the Groove MIDI Dataset, instead of the configuration's.
    #[arg(long, value_name = "FOLDER")]
    pub groove: Option<PathBuf>,
    /// Folder of MIDI songs with the folders `train` and `validation`, instead of the
    /// configuration's.
    #[arg(long, value_name = "FOLDER")]
    pub songs: Option<PathBuf>,
    /// The first clip's number.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// From the sources held out for validation.
    #[arg(long)]
    pub validation: bool,
}

impl Choice {
    /// The generator of these clips.
    ///
    /// # Errors
    /// As [`Config::read`] and [`Generator::new`].
    pub fn generator(&self) -> Result<Generator, Error> {
        let mut config = Config::read(&self.config)?;
        if let Some(groove) = &self.groove {
            config.groove.clone_from(groove);
        }
        if self.songs.is_some() {
            config.songs.clone_from(&self.songs);
        }
        let split = if self.validation {
            Split::Validation
        } else {
            Split::Training
        };
        Generator::new(&config, split)
    }
}

/// How SuperFlux (`dance-rhythm`, causal) does on the clips, and what was measured beside.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Clips made.
    pub clips: usize,
    /// Mean onset F within ±50 ms and ±25 ms over the clips that have onsets.
    pub f: [f64; 2],
    /// Shares of what it finds that is true and of what is true that it finds, within ±50 ms.
    pub precision_recall: [f64; 2],
    /// Share of the true onsets at which no octave rises by 3 dB, and of those that it misses.
    pub flat: [f64; 2],
    /// Median of (found − true) over matches within 50 ms, in seconds.
    pub offset: f64,
    /// Median over clips of the lag at which the true onsets collect most of the onset function.
    pub lag: f64,
    /// Mean of the onset function at the true onsets over its mean anywhere.
    pub contrast: f64,
    /// Seconds of audio made in a second by one thread.
    pub speed: f64,
    /// Onsets and beats a second.
    pub density: [f64; 2],
}

/// Writes `count` clips from number `first` on into `folder`, each as `.wav`, as `.txt` (labels
/// for Audacity) and as `.png` (its lowest 372 of 1024 bins; onsets green from below, beats yellow
/// and downbeats red from above), and `summary.csv`.
///
/// # Errors
/// What the file system says, with the file.
pub fn write(
    generator: &Generator,
    first: u64,
    count: u64,
    folder: &Path,
) -> Result<Summary, Error> {
    std::fs::create_dir_all(folder).map_err(|e| Error::broken(folder, e))?;
    let table = folder.join("summary.csv");
    let failed = |e: std::io::Error| Error::broken(&table, e);
    let mut csv = BufWriter::new(File::create(&table).map_err(failed)?);
    writeln!(
        csv,
        "clip,onsets,found,matched,flat,flat_missed,beats,meter,tempo,rms_db,peak_db,f50,f25,\
         offset_ms,lag_ms,style,recipe"
    )
    .map_err(failed)?;
    let mut total = Summary::default();
    let (mut offsets, mut lags, mut scored) = (Vec::new(), Vec::new(), 0.0f64);
    let (mut made, mut seconds) = (0.0, 0.0);
    // Found, matched, flat, flat and missed.
    let mut counts = [0usize; 4];
    for index in first..first + count {
        let start = Instant::now();
        let clip = generator.clip(index);
        made += start.elapsed().as_secs_f64();
        let length = clip.samples.len() as f64 / f64::from(clip.rate);
        seconds += length;
        let name = |ending: &str| folder.join(format!("clip-{index:04}.{ending}"));
        sound(&clip, &name("wav"))?;
        labels(&clip, &name("txt"))?;
        picture(&clip, &name("png"))?;
        let score = Score::new(&clip)?;
        let db = |x: f32| 20.0 * x.max(1e-6).log10();
        writeln!(
            csv,
            "{index},{},{},{},{},{},{},{},{:.1},{:.1},{:.1},{:.3},{:.3},{:.1},{:.0},{},\"{}\"",
            clip.onsets.len(),
            score.found,
            score.offsets.len(),
            score.flat[0],
            score.flat[1],
            clip.beats.len(),
            clip.meter,
            clip.tempo,
            db(rms(&clip.samples)),
            db(peak(&clip.samples)),
            score.f[0],
            score.f[1],
            1e3 * median(&mut score.offsets.clone()),
            1e3 * score.lag,
            clip.recipe.split(' ').next().unwrap_or_default(),
            clip.recipe
        )
        .map_err(failed)?;
        total.clips += 1;
        total.density[0] += clip.onsets.len() as f64;
        total.density[1] += clip.beats.len() as f64;
        counts[0] += score.found;
        counts[1] += score.offsets.len();
        counts[2] += score.flat[0];
        counts[3] += score.flat[1];
        if clip.onsets.len() > 3 {
            scored += 1.0;
            total.f[0] += score.f[0];
            total.f[1] += score.f[1];
            total.contrast += score.contrast;
            lags.push(score.lag);
            offsets.extend(score.offsets);
        }
    }
    csv.flush().map_err(failed)?;
    total.f = total.f.map(|f| f / scored.max(1.0));
    total.contrast /= scored.max(1.0);
    let share = |part: usize, whole: f64| part as f64 / whole.max(1.0);
    let (truths, matched) = (total.density[0], counts[1] as f64);
    total.precision_recall = [share(counts[1], counts[0] as f64), share(counts[1], truths)];
    total.flat = [share(counts[2], truths), share(counts[3], truths - matched)];
    total.density = total.density.map(|d| d / seconds.max(1e-9));
    total.offset = median(&mut offsets);
    total.lag = median(&mut lags);
    total.speed = seconds / made.max(1e-9);
    Ok(total)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

struct Score {
    f: [f64; 2],
    found: usize,
    /// True onsets at which no octave rises by 3 dB, and how many of them are missed.
    flat: [usize; 2],
    offsets: Vec<f64>,
    lag: f64,
    contrast: f64,
}

impl Score {
    fn new(clip: &Clip) -> Result<Self, Error> {
        let config = onset::Config {
            rate: clip.rate,
            method: Method::SuperFlux,
            threshold: 1.0,
            debias: true,
        };
        let mut detector =
            Detector::new(&config).map_err(|e| Error::Config(format!("SuperFlux: {e}")))?;
        let (mut found, mut function) = (Vec::new(), Vec::new());
        let mut listen = |event| match event {
            Event::Onset(onset) => found.push(onset.time),
            Event::Frame(frame) => function.push((frame.time, f64::from(frame.flux))),
        };
        detector.push(&clip.samples, &mut listen);
        detector.finish(&mut listen);
        let (mut offsets, mut missed) = (Vec::new(), vec![true; clip.onsets.len()]);
        let f = [0.050, 0.025].map(|window| {
            let pairs = matches(&clip.onsets, &found, window);
            if window == 0.050 {
                offsets.extend(pairs.iter().map(|&(t, f)| found[f] - clip.onsets[t]));
                pairs.iter().for_each(|p| missed[p.0] = false);
            }
            let all = clip.onsets.len() + found.len();
            if all == 0 {
                1.0
            } else {
                2.0 * pairs.len() as f64 / all as f64
            }
        });
        let mut octaves = OctaveBands::new(clip.rate);
        let mut flat = [0; 2];
        for (onset, missed) in clip.onsets.iter().zip(missed) {
            let at = (onset * f64::from(clip.rate)) as usize;
            let before = octaves.before(&clip.samples, at);
            let after = octaves.energy(&clip.samples, at);
            // What is 70 dB below the rest is no audible octave.
            let least = 1e-7 * after.iter().sum::<f32>();
            if !(0..BANDS).any(|b| after[b] > least && after[b] >= 2.0 * before[b]) {
                flat[0] += 1;
                flat[1] += usize::from(missed);
            }
        }
        // The onset function at true onsets, shifted by a lag.
        let start = function.first().map_or(0.0, |f| f.0);
        let at = |time: f64| {
            let place = ((time - start) * detector.frame_rate()).max(0.0);
            let k = place as usize;
            let pair = (function.get(k), function.get(k + 1));
            let (Some(a), Some(b)) = pair else { return 0.0 };
            a.1 + (b.1 - a.1) * place.fract()
        };
        let collected = |lag: f64| clip.onsets.iter().map(|o| at(o + lag)).sum::<f64>();
        let lag = (-50..=50)
            .map(|ms| f64::from(ms) * 1e-3)
            .max_by(|a, b| collected(*a).total_cmp(&collected(*b)))
            .unwrap_or(0.0);
        let mean = function.iter().map(|f| f.1).sum::<f64>() / function.len().max(1) as f64;
        let there = collected(lag) / clip.onsets.len().max(1) as f64;
        Ok(Self {
            f,
            found: found.len(),
            flat,
            offsets,
            lag,
            contrast: there / mean.max(1e-9),
        })
    }
}

/// Indices of the pairs of the largest one-to-one matching within `window` (from the left: on a
/// line that is the largest).
fn matches(truth: &[f64], found: &[f64], window: f64) -> Vec<(usize, usize)> {
    let (mut t, mut f) = (0, 0);
    let mut out = Vec::new();
    while let (Some(&a), Some(&b)) = (truth.get(t), found.get(f)) {
        let offset = b - a;
        if offset.abs() <= window {
            out.push((t, f));
        }
        t += usize::from(offset >= -window);
        f += usize::from(offset <= window);
    }
    out
}

fn sound(clip: &Clip, path: &Path) -> Result<(), Error> {
    let failed = |e: hound::Error| Error::broken(path, e);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: clip.rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).map_err(failed)?;
    for x in &clip.samples {
        wav.write_sample((x * 32_767.0).round() as i16)
            .map_err(failed)?;
    }
    wav.finalize().map_err(failed)
}

fn labels(clip: &Clip, path: &Path) -> Result<(), Error> {
    let mut lines: Vec<(f64, String)> = clip.onsets.iter().map(|&t| (t, "onset".into())).collect();
    lines.extend(
        clip.beats
            .iter()
            .map(|b| (b.time, format!("beat {}", b.bar_position))),
    );
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let text: String = lines
        .into_iter()
        .map(|(t, label)| format!("{t:.4}\t{t:.4}\t{label}\n"))
        .collect();
    std::fs::write(path, text).map_err(|e| Error::broken(path, e))
}

/// Rows of the spectrogram, a bin of 2048 each, and rows of marks on each side.
const ROWS: usize = 372;
const MARKS: usize = 24;

fn picture(clip: &Clip, path: &Path) -> Result<(), Error> {
    const LENGTH: usize = 2_048;
    let hop = clip.rate as usize / 100;
    let width = clip.samples.len() / hop;
    let height = ROWS + 2 * MARKS;
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(LENGTH);
    let (mut time, mut bins) = (fft.make_input_vec(), fft.make_output_vec());
    let mut columns = Vec::with_capacity(width);
    let mut top = 1e-9f32;
    for n in 0..width {
        for (k, x) in time.iter_mut().enumerate() {
            let at = (n * hop + k).checked_sub(LENGTH / 2);
            let u = (k as f32 + 0.5) / LENGTH as f32;
            let w = (std::f32::consts::PI * u).sin().powi(2);
            *x = at
                .and_then(|at| clip.samples.get(at))
                .map_or(0.0, |s| s * w);
        }
        fft.process(&mut time, &mut bins)
            .map_err(|e| Error::broken(path, e))?;
        let column: Vec<f32> = bins[..ROWS].iter().map(|c| c.norm()).collect();
        top = column.iter().fold(top, |m, &x| m.max(x));
        columns.push(column);
    }
    let mut pixels = vec![0u8; 3 * width * height];
    for (n, column) in columns.iter().enumerate() {
        for (row, &x) in column.iter().enumerate() {
            // 70 dB from black to white.
            let shade = (255.0 * (1.0 + 20.0 * (x / top).max(1e-9).log10() / 70.0)).max(0.0) as u8;
            let at = 3 * ((MARKS + ROWS - 1 - row) * width + n);
            pixels[at..at + 3].fill(shade);
        }
    }
    let mut mark = |time: f64, rows: std::ops::Range<usize>, colour: [u8; 3]| {
        let x = (time * 100.0) as usize;
        for row in rows.filter(|_| x < width) {
            let at = 3 * (row * width + x);
            pixels[at..at + 3].copy_from_slice(&colour);
        }
    };
    for &onset in &clip.onsets {
        mark(onset, MARKS + ROWS..height, [0, 255, 0]);
    }
    for beat in &clip.beats {
        let first = beat.bar_position == 1;
        let colour = if first { [255, 0, 0] } else { [255, 255, 0] };
        mark(beat.time, 0..if first { MARKS } else { MARKS / 2 }, colour);
    }
    files::write_png(path, width, height, &pixels).map_err(|e| Error::broken(path, e))
}

/// `audio preview`: shows what the generator makes.
#[derive(clap::Args, Debug)]
pub struct Preview {
    /// Which clips.
    #[command(flatten)]
    pub choice: Choice,
    /// Where the files go.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// How many clips.
    #[arg(long, default_value_t = 10)]
    pub count: u64,
}

impl Preview {
    /// Makes the clips.
    ///
    /// # Errors
    /// As [`Choice::generator`] and [`write`].
    pub fn run(&self) -> Result<Summary, Error> {
        write(
            &self.choice.generator()?,
            self.choice.first,
            self.count,
            &self.out,
        )
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} clips at {:.0} x real time; {:.1} onsets/s, {:.2} beats/s; SuperFlux F50 {:.3} \
             F25 {:.3} P {:.3} R {:.3}, flat {:.1} % ({:.1} % of the missed), \
             offset {:+.1} ms, lag {:+.0} ms, contrast {:.1}",
            self.clips,
            self.speed,
            self.density[0],
            self.density[1],
            self.f[0],
            self.f[1],
            self.precision_recall[0],
            self.precision_recall[1],
            100.0 * self.flat[0],
            100.0 * self.flat[1],
            1e3 * self.offset,
            1e3 * self.lag,
            self.contrast
        )
    }
}
