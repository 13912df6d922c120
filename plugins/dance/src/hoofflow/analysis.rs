// SPDX-License-Identifier: MPL-2.0
//! The analysis: from pictures to their motion, in the thread of the video or in one of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use dance_inference::{Card, Model, Progress, Stream};
use dance_rhythm::motion::hoof::{Hoof as Histogram, normalised, whole};
use dance_rhythm::motion::kinetics::Kinetics;
use dance_rhythm::motion::{Flow, cut};

use super::picture::Picture;
use crate::hoof::{Hoof, Status};
use crate::model::{Error, Need, same, signals};

/// What the card of a model for this element says it is for.
const TASK: &str = "optical-flow";
/// The model of this element.
pub(super) const NEED: Need = Need {
    task: TASK,
    file: "flow.onnx",
    check: |card, path| sizes(card, path).map(|_| ()),
};
/// Frames farther worker show no motion any more, unless fewer are asked for.
const LONGEST_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(500);
/// A picture that is shown again for longer than this is a still one, rather than one of a lower frame rate.
const LONGEST_REPETITION: gst::ClockTime = gst::ClockTime::from_mseconds(120);

/// Whether a model takes what this element gives, and gives what it takes; returns the width and height of its
/// pictures and of its flow.
///
/// # Errors
/// With what is otherwise.
fn sizes(card: &Card, path: &Path) -> Result<[[usize; 2]; 2], Error> {
    use dance_inference::Axis::Fixed;
    let last = |ports: &[dance_inference::Port], name: &str| {
        let port = ports.iter().find(|port| port.name == name)?;
        match port.shape.last_chunk()? {
            [Fixed(height), Fixed(width)] => Some([*width, *height]),
            _ => None,
        }
    };
    let unknown = [0; 2];
    let picture = last(&card.inputs, "frames").unwrap_or(unknown);
    let flow = last(&card.outputs, "flow").unwrap_or(unknown);
    let feature = card.outputs.iter().find(|port| port.name == "feature");
    let features = match feature.and_then(|port| port.shape.last()) {
        Some(Fixed(features)) => *features,
        _ => 0,
    };
    let place = (TASK, path);
    same(place, "the labels", &card.labels.join(", "), "x, y")?;
    let [width, height] = picture;
    let needed = format!("frames float32[batch, 2, 3, {height}, {width}]");
    same(place, "the input", &signals(card, &card.inputs), &needed)?;
    let [width, height] = flow;
    let needed =
        format!("flow float32[batch, 2, {height}, {width}], feature float32[batch, {features}]");
    // What else a model gives is of no use here, and no harm.
    let mut outputs = card.outputs.clone();
    outputs
        .retain(|port| port.state.is_some() || ["flow", "feature"].contains(&port.name.as_str()));
    same(place, "the output", &signals(card, &outputs), &needed)?;
    for (what, [width, height]) in [("the picture's size", picture), ("the flow's size", flow)] {
        if width == 0 || height == 0 {
            same(place, what, "not fixed", "a width and a height")?;
        }
    }
    Ok([picture, flow])
}

/// The sizes that a model is run with.
const RUN: [(&str, usize); 1] = [("batch", 1)];

/// Runs a model once.
///
/// # Errors
/// As running it.
pub(super) fn warm_up(model: &Model, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
    model.warm_up(&RUN, 1, progress)?;
    Ok(())
}

/// A model that is ready to run.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    model: Model,
    flow: [usize; 2],
}

impl Loaded {
    /// A model for pictures of this width and height.
    ///
    /// # Errors
    /// When it is for others.
    pub(super) fn new(model: Model, size: [u32; 2]) -> Result<Self, Error> {
        let [[width, height], flow] = sizes(model.card(), model.path())?;
        same(
            (TASK, model.path()),
            "the size of its pictures, analysis-width x analysis-height,",
            &format!("{width}x{height}"),
            &format!("{}x{}", size[0], size[1]),
        )?;
        Ok(Self { model, flow })
    }

    /// What it runs on.
    pub(super) fn provider(&self) -> &str {
        self.model.active_execution_provider()
    }

    /// Width and height of its flow.
    pub(super) fn flow_size(&self) -> [u32; 2] {
        self.flow.map(|n| n as u32)
    }
}

/// How to analyse.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub(super) size: [u32; 2],
    pub(super) bins: usize,
    pub(super) grid: [u32; 2],
    /// The time from one picture to the next, where fewer than all are wanted.
    pub(super) interval: Option<gst::ClockTime>,
    /// Whether the flow back to the picture before is wanted, too.
    pub(super) backward: bool,
}

/// What was found in a frame.
pub(super) struct Analysed {
    pub(super) hoof: Hoof,
    /// Nanoseconds that it took.
    pub(super) time: u64,
}

/// Why a frame could not be analysed.
pub(super) type Failure = dance_inference::Error;

/// Measures motion, picture after picture.
pub(super) struct FlowAnalyzer {
    config: Config,
    histogram: Histogram,
    stream: Stream,
    flow: [usize; 2],
    before: Option<Picture>,
    /// Of the newest picture that was run.
    feature: Vec<f64>,
}

impl FlowAnalyzer {
    /// At the start of a stream.
    ///
    /// # Errors
    /// When there is no memory.
    pub(super) fn new(loaded: &Loaded, config: &Config) -> Result<Option<Self>, Error> {
        let Some(histogram) = Histogram::new(config.bins) else {
            return Ok(None);
        };
        Ok(Some(Self {
            stream: loaded.model.stream(&RUN)?,
            flow: loaded.flow,
            config: config.clone(),
            histogram,
            before: None,
            feature: Vec::new(),
        }))
    }

    fn longest_interval(&self) -> gst::ClockTime {
        let asked = self.config.interval.map(|interval| interval * 5 / 2);
        asked.unwrap_or_default().max(LONGEST_INTERVAL)
    }

    /// The motion from the picture before to this one.
    ///
    /// # Errors
    /// When the model fails, or gives what is no number.
    pub(super) fn analyse(&mut self, picture: Picture) -> Result<Analysed, Failure> {
        let begin = Instant::now();
        let longest = self.longest_interval();
        let before = self.before.take().filter(|before| {
            let interval = picture.pts.checked_sub(before.pts);
            interval.is_some_and(|interval| !interval.is_zero() && interval <= longest)
        });
        let width = self.config.size[0] as usize;
        let change = before
            .as_ref()
            .map(|before| cut::change(&before.planes, &picture.planes, width));
        let mut hoof = Hoof::without_flow(Status::First, picture.pts, self.config.bins);
        hoof.size = self.config.size;
        hoof.flow_size = self.flow.map(|n| n as u32);
        hoof.grid = self.config.grid;
        hoof.cells = vec![0.0; self.config.bins * hoof.grid.iter().product::<u32>() as usize];
        hoof.status = match change {
            None => Status::First,
            Some(cut::Change::Cut) => Status::Cut,
            Some(cut::Change::Repeated) => Status::Repeated,
            Some(cut::Change::Motion) => Status::Flow,
        };
        match before {
            Some(before) if hoof.status == Status::Repeated => {
                let interval = picture.pts.saturating_sub(before.pts);
                hoof.interval = Some(interval);
                hoof.feature.clone_from(&self.feature);
                // What moves next has moved since this picture was first shown.
                let is_still = interval >= LONGEST_REPETITION;
                self.before = Some(if is_still { picture } else { before });
                return Ok(Analysed {
                    hoof,
                    time: begin.elapsed().as_nanos() as u64,
                });
            }
            Some(before) if hoof.status == Status::Flow => {
                hoof.interval = Some(picture.pts.saturating_sub(before.pts));
                if self.config.backward {
                    self.run(&picture, &before)?;
                    hoof.back = Some(bytes(&self.vectors()?));
                }
                self.run(&before, &picture)?;
                self.read(&mut hoof)?;
            }
            // The features are the second picture's own.
            _ => {
                self.run(&picture, &picture)?;
            }
        }
        hoof.feature.clone_from(&self.feature);
        self.before = Some(picture);
        Ok(Analysed {
            hoof,
            time: begin.elapsed().as_nanos() as u64,
        })
    }

    fn run(&mut self, first: &Picture, second: &Picture) -> Result<(), Failure> {
        let mut input = self.stream.input::<f32>("frames")?;
        let values = first.planes.iter().chain(&second.planes);
        for (to, from) in input.iter_mut().zip(values) {
            *to = *from;
        }
        self.stream.run()?;
        let feature = self.stream.output::<f32>("feature")?;
        self.feature = feature.iter().map(|value| f64::from(*value)).collect();
        Ok(())
    }

    /// What the last run gives.
    fn read(&self, hoof: &mut Hoof) -> Result<(), Failure> {
        let values = self.vectors()?;
        let [width, height] = self.flow;
        let (x, y) = values.split_at(values.len() / 2);
        let Some(flow) = Flow::new(width, height, x, y) else {
            return Ok(());
        };
        let kinetics = Kinetics::new(&flow);
        hoof.magnitude = kinetics.magnitude;
        hoof.camera = kinetics.camera;
        hoof.foreground = kinetics.foreground;
        hoof.moving = kinetics.moving;
        let grid = self.config.grid.map(|n| n as usize);
        if grid.contains(&0) {
            hoof.bins = normalised(&self.histogram.histogram(&flow));
        } else {
            let cells = self.histogram.grid(&flow, grid);
            hoof.bins = normalised(&whole(&cells, self.config.bins));
            hoof.cells = normalised(&cells);
        }
        hoof.flow = Some(bytes(&values));
        Ok(())
    }

    /// The flow of the last run: all components to the right, then all down.
    fn vectors(&self) -> Result<Vec<f32>, Failure> {
        let output = self.stream.output::<f32>("flow")?;
        Ok(output.iter().copied().collect())
    }
}

/// Numbers as the meta has them.
fn bytes(values: &[f32]) -> gst::Buffer {
    let bytes = values.iter().flat_map(|value| value.to_ne_bytes());
    gst::Buffer::from_slice(bytes.collect::<Vec<u8>>())
}

/// How much the thread of the analysis gives way to others, as `nice` has it: on a machine with too little time the
/// analysis leaves pictures out, and the video none.
const NICE: i32 = 10;

/// Lets the threads of the video go first.
fn give_way() {
    // On other systems this would be about the whole process.
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers only. On Linux 0 is the thread that calls, as each thread has a nice value of its own. Where
    // it fails the thread stays as it is.
    unsafe {
        let nice = libc::getpriority(libc::PRIO_PROCESS, 0).max(NICE);
        libc::setpriority(libc::PRIO_PROCESS, 0, nice);
    }
}

/// Where pictures are analysed.
pub(super) enum Worker {
    /// In the thread of the video.
    Inline(Box<FlowAnalyzer>),
    /// In a thread of its own.
    Thread(Thread),
}

/// A thread that analyses the newest picture there is.
pub(super) struct Thread {
    pictures: Option<Sender<Picture>>,
    /// The other end, for the oldest to be taken back.
    waiting: Receiver<Picture>,
    results: Receiver<Result<Analysed, String>>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts the thread, in which `analyse` is called with each picture. It ends with the first that fails.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn new(
        mut analyse: impl FnMut(Picture) -> Result<Analysed, String> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (pictures, waiting) = bounded::<Picture>(1);
        let (sender, results) = unbounded();
        let inbox = waiting.clone();
        let thread = std::thread::Builder::new()
            .name("hoofflow".to_owned())
            .spawn(move || {
                give_way();
                for picture in inbox {
                    // No frame of GStreamer's is above this one to catch it, and silence would look like stillness.
                    let result = catch_unwind(AssertUnwindSafe(|| analyse(picture)))
                        .unwrap_or_else(|_| Err("the analysis has panicked".to_owned()));
                    let failed = result.is_err();
                    if sender.send(result).is_err() || failed {
                        break;
                    }
                }
            })?;
        Ok(Self {
            pictures: Some(pictures),
            waiting,
            results,
            thread: Some(thread),
        })
    }

    /// Gives a picture to be analysed. One that still waits gives way: how many did.
    pub(super) fn give(&self, picture: Picture) -> u64 {
        let Some(pictures) = &self.pictures else {
            return 0;
        };
        let mut skipped = 0;
        let mut picture = picture;
        while let Err(TrySendError::Full(back)) = pictures.try_send(picture) {
            picture = back;
            if self.waiting.try_recv().is_ok() {
                skipped += 1;
            }
        }
        skipped
    }

    /// What has been found since it was last asked.
    pub(super) fn take(&self) -> Vec<Result<Analysed, String>> {
        self.results.try_iter().collect()
    }

    /// Waits until everything given is analysed, and ends the thread.
    pub(super) fn finish(mut self) -> Vec<Result<Analysed, String>> {
        self.pictures = None;
        if let Some(thread) = self.thread.take() {
            // Its panics are among the results.
            let _ = thread.join();
        }
        self.take()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.pictures = None;
        // What waits is not worth the wait.
        let _ = self.waiting.try_recv();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(at: u64) -> Picture {
        Picture {
            pts: gst::ClockTime::from_mseconds(at),
            planes: Vec::new(),
        }
    }

    fn analysed(picture: &Picture) -> Analysed {
        Analysed {
            hoof: Hoof::without_flow(Status::First, picture.pts, 8),
            time: 0,
        }
    }

    #[test]
    fn a_picture_that_waits_gives_way_to_a_newer_one() {
        let (go, gate) = bounded::<()>(0);
        let worker = Thread::new(move |picture| {
            gate.recv().map_err(|err| err.to_string())?;
            Ok(analysed(&picture))
        })
        .unwrap();
        assert_eq!(worker.give(picture(0)), 0);
        // Until the thread has it.
        while !worker.waiting.is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(worker.give(picture(40)), 0);
        assert_eq!(worker.give(picture(80)), 1);
        assert_eq!(worker.give(picture(120)), 1);
        go.send(()).unwrap();
        go.send(()).unwrap();
        let times = worker
            .finish()
            .into_iter()
            .map(|found| found.unwrap().hoof.timestamp);
        assert_eq!(
            times.collect::<Vec<_>>(),
            [0, 120].map(gst::ClockTime::from_mseconds)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_thread_gives_way_and_no_other_does() {
        let nice = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let after = stat.rsplit(')').next().unwrap();
            // The 19th field of the whole, the 17th after the name.
            after.split_whitespace().nth(16).unwrap().to_owned()
        };
        let before = nice();
        let (tell, told) = bounded(1);
        let worker = Thread::new(move |picture| {
            tell.send(nice()).unwrap();
            Ok(analysed(&picture))
        })
        .unwrap();
        worker.give(picture(0));
        let expected = (before.parse::<i32>().unwrap()).max(NICE);
        assert_eq!(told.recv().unwrap(), expected.to_string());
        assert_eq!(nice(), before);
    }

    #[test]
    fn a_panic_of_the_analysis_is_an_error() {
        let worker = Thread::new(|picture| {
            assert!(picture.pts.is_zero(), "as it should");
            Ok(analysed(&picture))
        })
        .unwrap();
        worker.give(picture(0));
        while !worker.waiting.is_empty() {
            std::thread::yield_now();
        }
        worker.give(picture(40));
        let results = worker.finish();
        assert!(results[0].is_ok());
        assert!(matches!(&results[1], Err(err) if err.contains("panicked")));
    }
}
