// SPDX-License-Identifier: MPL-2.0
//! `corpus report`: what the clips are like, measured.

use super::corpus::Choice;
use dance_corpus::Error;
use dance_corpus::dance::genres;
use dance_corpus::dance::{Corpus, Frames, Lock, kinetics};
use ndarray::{Axis, s};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Measures the clips.
#[derive(clap::Args, Debug)]
pub struct Report {
    /// Which clips.
    #[command(flatten)]
    pub choice: Choice,
    /// Clips whose rhythm and variety are measured.
    #[arg(long, default_value_t = 1000)]
    pub count: u64,
    /// Of these, clips that are drawn whole to measure the flow and the speed.
    #[arg(long, default_value_t = 48)]
    pub drawn: u64,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
}

/// How near a stop is to a beat that it hits, in seconds.
const HIT: f64 = 0.05;

/// What is kept of a clip.
struct Measured {
    genre: String,
    lock: Lock,
    style: String,
    person: u64,
    view: usize,
    moves: Vec<String>,
    backdrop: String,
    captured: bool,
    song: String,
    tempo: f64,
    stops: usize,
    hits: f64,
    null: f64,
    /// Four small grey pictures.
    print: Vec<f32>,
}

/// Runs `work` for all numbers below `count` on some threads; results in order.
fn parallel<T: Send>(
    count: u64,
    threads: usize,
    work: impl Fn(u64) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let next = AtomicU64::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return Ok(done);
            }
            done.push((n, work(n)?));
        }
    };
    let parts: Vec<Result<Vec<(u64, T)>, Error>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        let join = |t: std::thread::ScopedJoinHandle<_>| match t.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    });
    let mut all: Vec<(u64, T)> = Vec::new();
    for part in parts {
        all.extend(part?);
    }
    all.sort_by_key(|d| d.0);
    Ok(all.into_iter().map(|d| d.1).collect())
}

impl Report {
    /// Measures.
    ///
    /// # Errors
    /// As [`Choice::corpus`] and [`Corpus::scene`].
    pub fn run(&self) -> anyhow::Result<String> {
        let corpus = self.choice.corpus()?;
        let first = self.choice.first;
        let clips = parallel(self.count, self.threads, |n| measure(&corpus, first + n))?;
        let mut text = String::new();
        rhythm(&clips, &mut text)?;
        variety(&clips, &mut text)?;
        if self.drawn > 0 {
            self.flow(&mut text)?;
            self.speed(&corpus, &mut text)?;
        }
        Ok(text)
    }

    /// The error of the flow, on clean pictures.
    fn flow(&self, text: &mut String) -> anyhow::Result<()> {
        let mut choice = self.choice.clone();
        choice.clean = true;
        let corpus = choice.corpus()?;
        let errors = parallel(self.drawn, self.threads, |n| {
            let frames = corpus.scene(choice.first + n)?;
            let frames = frames.draw(0, frames.len());
            Ok([frames.warp_error(false), frames.warp_error(true)])
        })?;
        let mean = |k: usize| errors.iter().map(|e| e[k].0).sum::<f64>() / errors.len() as f64;
        let worst = |k: usize| errors.iter().map(|e| e[k].0).fold(0.0, f64::max);
        let still = |k: usize| errors.iter().map(|e| e[k].1).sum::<f64>() / errors.len() as f64;
        writeln!(
            text,
            "flow: frame t+1 where the flow leads against frame t, unoccluded, of 255, {} clips",
            self.drawn
        )?;
        for (k, name) in ["all pixels", "dancer"].into_iter().enumerate() {
            writeln!(
                text,
                "  {name}: mean {:.2}, worst clip {:.2}; without flow {:.2}",
                mean(k),
                worst(k),
                still(k)
            )?;
        }
        Ok(())
    }

    fn speed(&self, corpus: &Corpus, text: &mut String) -> anyhow::Result<()> {
        // What is read once is read before the clock starts.
        parallel(self.drawn, self.threads, |n| {
            corpus.scene(self.choice.first + n)
        })?;
        let (start, busy) = (Instant::now(), processor_seconds());
        let frames = parallel(self.drawn, self.threads, |n| {
            let clip = corpus.clip(self.choice.first + n)?;
            Ok(clip.frames.pixels.dim().0)
        })?;
        let frames = frames.iter().sum::<usize>() as f64;
        writeln!(
            text,
            "speed: {:.1} frames/s of {}x{} with all truth and music, {} clips, {} threads",
            frames / start.elapsed().as_secs_f64(),
            corpus.config().picture.width,
            corpus.config().picture.height,
            self.drawn,
            self.threads
        )?;
        if let (Some(before), Some(after)) = (busy, processor_seconds()) {
            writeln!(
                text,
                "  {:.1} frames a second of processor time, which others on the machine leave alone",
                frames / (after - before).max(0.01)
            )?;
        }
        Ok(())
    }
}

/// Processor time of this process in user code, where Linux reports it.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The fields after the name, which may hold anything, in units of 10 ms: proc(5).
    let ticks = text.rsplit_once(')')?.1.split_whitespace().nth(11)?;
    ticks.parse::<f64>().ok().map(|t| t / 100.0)
}

fn measure(corpus: &Corpus, index: u64) -> Result<Measured, Error> {
    let scene = corpus.scene(index)?;
    let stops = scene.stops();
    let beats: Vec<f64> = scene.info.beats.iter().map(|b| b.time).collect();
    let seconds = corpus.config().seconds();
    let mut print = Vec::new();
    for k in 0..4 {
        let frames = scene.draw(k * (scene.len() - 1) / 3, 1);
        print.extend(small(&frames));
    }
    let info = scene.info;
    Ok(Measured {
        genre: info.genre,
        lock: info.lock,
        style: info.style,
        person: info.person,
        view: info.view,
        moves: info.moves.into_iter().map(|m| m.name).collect(),
        backdrop: info.backdrop,
        captured: info.captured,
        song: info.song,
        tempo: info.tempo,
        hits: kinetics::hits(&stops, &beats, HIT).unwrap_or_default(),
        null: kinetics::null(&stops, &beats, HIT, seconds).unwrap_or_default(),
        stops: stops.len(),
        print,
    })
}

/// Side of the small pictures that clips are compared by.
const SMALL: usize = 24;

/// The first frame as a small grey picture.
fn small(frames: &Frames) -> Vec<f32> {
    let frame = frames.pixels.index_axis(Axis(0), 0);
    let (height, width, _) = frame.dim();
    let cell = |n: usize, side: usize| {
        (
            n * side / SMALL,
            ((n + 1) * side / SMALL).max(n * side / SMALL + 1),
        )
    };
    let mut out = Vec::with_capacity(SMALL * SMALL);
    for y in 0..SMALL {
        for x in 0..SMALL {
            let ((top, bottom), (left, right)) = (cell(y, height), cell(x, width));
            let part = frame.slice(s![top..bottom, left..right, ..]);
            let sum: f32 = part.iter().map(|&v| f32::from(v)).sum();
            out.push(sum / part.len() as f32);
        }
    }
    out
}

/// Share of stops on beats, by stops, with chance; for each genre, and for dances that are off.
fn rhythm(clips: &[Measured], text: &mut String) -> anyhow::Result<()> {
    writeln!(
        text,
        "rhythm: minima of the joints' speed within 50 ms of a beat, against circular shifts"
    )?;
    let mut line = |name: &str, choice: &dyn Fn(&Measured) -> bool| {
        let of: Vec<&Measured> = clips.iter().filter(|s| choice(s)).collect();
        let stops: usize = of.iter().map(|s| s.stops).sum();
        if stops == 0 {
            return Ok(());
        }
        let mean = |value: &dyn Fn(&Measured) -> f64| {
            of.iter().map(|s| s.stops as f64 * value(s)).sum::<f64>() / stops as f64
        };
        writeln!(
            text,
            "  {name:24} {:.3} against {:.3}  ({} clips, {stops} minima)",
            mean(&|s| s.hits),
            mean(&|s| s.null),
            of.len()
        )
    };
    let matched = |s: &Measured| s.lock == Lock::Matched;
    for genre in genres::shipped()? {
        line(&genre.name, &|s| matched(s) && s.genre == genre.name)?;
    }
    line("captured", &|s| matched(s) && s.captured)?;
    line("all that match", &matched)?;
    line("wrong song", &|s| s.lock == Lock::WrongSong)?;
    line("shifted", &|s| matches!(s.lock, Lock::Shifted(_)))?;
    line("stretched", &|s| matches!(s.lock, Lock::Stretched(_)))?;
    Ok(())
}

/// Clips this alike, of 255 on average over their small pictures, are duplicates.
const ALIKE: f32 = 1.0;

fn variety(clips: &[Measured], text: &mut String) -> std::fmt::Result {
    let count = |of: &dyn Fn(&Measured) -> String| {
        let mut all: BTreeMap<String, usize> = BTreeMap::new();
        clips
            .iter()
            .for_each(|s| *all.entry(of(s)).or_default() += 1);
        all
    };
    let moves: BTreeSet<&str> = clips
        .iter()
        .filter(|s| !s.captured)
        .flat_map(|s| s.moves.iter().map(|m| m.split('/').next().unwrap_or(m)))
        .collect();
    let variations: BTreeSet<&String> = clips.iter().flat_map(|s| &s.moves).collect();
    let tempi = clips.iter().map(|s| s.tempo);
    writeln!(
        text,
        "variety of {} clips: {} people, {} genres, {} moves ({} with variations and recordings), \
         {} views, {} songs, {} styles, {:.0} to {:.0} bpm",
        clips.len(),
        count(&|s| s.person.to_string()).len(),
        count(&|s| s.genre.clone()).len(),
        moves.len(),
        variations.len(),
        count(&|s| s.view.to_string()).len(),
        count(&|s| s.song.clone()).len(),
        count(&|s| s.style.clone()).len(),
        tempi.clone().fold(f64::MAX, f64::min),
        tempi.fold(0.0, f64::max)
    )?;
    for (name, all) in [
        ("genres", count(&|s| s.genre.clone())),
        ("views", count(&|s| s.view.to_string())),
        ("backdrops", count(&|s| s.backdrop.clone())),
    ] {
        let list: Vec<String> = all.iter().map(|(k, n)| format!("{k} {n}")).collect();
        writeln!(text, "  {name}: {}", list.join(", "))?;
    }
    let (mut nearest, mut alike, mut which) = (f32::MAX, 0, (0, 0));
    for (n, a) in clips.iter().enumerate() {
        for (m, b) in clips[..n].iter().enumerate() {
            let limit = nearest.max(ALIKE);
            if let Some(distance) = distance(&a.print, &b.print, limit) {
                alike += usize::from(distance < ALIKE);
                if distance < nearest {
                    (nearest, which) = (distance, (m, n));
                }
            }
        }
    }
    writeln!(
        text,
        "  near-duplicates (four small pictures differ by less than {ALIKE:.1} of 255): {alike}; \
         the nearest, {} and {}, by {nearest:.2}",
        which.0, which.1
    )
}

/// Mean absolute difference, if it is at most `limit`.
fn distance(a: &[f32], b: &[f32], limit: f32) -> Option<f32> {
    let most = limit * a.len() as f32;
    let mut sum = 0.0;
    for (a, b) in a.chunks(64).zip(b.chunks(64)) {
        sum += a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>();
        if sum > most {
            return None;
        }
    }
    Some(sum / a.len() as f32)
}
