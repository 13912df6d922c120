//! The network that `method=model` hears through: where its file is, whether it fits, how it runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use dance_inference::{
    Axis, Card, Fallback, Fault, LogLevel, Model, ModelFile, Progress, Runtime, Search,
    SessionConfig, own_directory, set_log_level, set_log_sink,
};
use dance_rhythm::network::{Activation, BANDS, FEATURES, FRAME_RATE, Failure, Network};

/// What the card of a model for this element says it is for.
const TASK: &str = "rhythm";
/// What the card must call the numbers of an activation.
const LABELS: [&str; 3] = ["onset", "beat", "downbeat"];
/// The file that is looked for where the property `model` names none …
pub(super) const FILE: &str = "rhythm.onnx";
/// … first in the folders of this environment variable.
pub(super) const PATH_VARIABLE: &str = "GST_DANCE_MODEL_PATH";
/// Then in the plugin's own folder, and from there in the repository's, for a plugin that lies where
/// cargo has built it, and in the data folder of the prefix that it is installed under, `lib` with
/// and without the name of the architecture.
const FOLDERS: [&str; 4] = [
    "",
    "../../models",
    "../../share/gst-dance/models",
    "../../../share/gst-dance/models",
];

/// Seconds that a model may look ahead; an onset must be told within 30 ms.
const LONGEST_DELAY: f64 = 0.02;
/// Frames in one run where nobody waits for the first of them.
pub(super) const BLOCK: usize = 16;

/// What the user wants of network and runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) model: Option<String>,
    pub(super) library: Option<String>,
    pub(super) providers: String,
    pub(super) allow_fallback: bool,
    pub(super) device: u32,
}

pub(super) const DEFAULT_PROVIDERS: &str = "cpu";

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            library: None,
            providers: DEFAULT_PROVIDERS.to_owned(),
            allow_fallback: false,
            device: 0,
        }
    }
}

impl Settings {
    /// Whether somebody who names such things must not get another method instead.
    pub(super) fn ask_for_model(&self) -> bool {
        self.model.is_some() || self.library.is_some() || self.providers != DEFAULT_PROVIDERS
    }
}

/// Why there is no network.
#[derive(Debug)]
pub(super) enum Error {
    /// No model was named, and there is none in the usual folders.
    NoModel { searched: Vec<PathBuf> },
    /// A model of the right task, with another interface than this element feeds.
    Unfit {
        path: PathBuf,
        what: &'static str,
        found: String,
        needed: String,
    },
    /// Everything else.
    Inference(dance_inference::Error),
}

impl From<dance_inference::Error> for Error {
    fn from(error: dance_inference::Error) -> Self {
        Self::Inference(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModel { searched } => {
                write!(
                    f,
                    "no model was found; name one with the property model. Searched:"
                )?;
                for (n, path) in searched.iter().enumerate() {
                    let comma = if n > 0 { "," } else { "" };
                    write!(f, "{comma} `{}`", path.display())?;
                }
                Ok(())
            }
            Self::Unfit {
                path,
                what,
                found,
                needed,
            } => write!(
                f,
                "`{}` is a model for `{TASK}` that this element cannot feed: {what} is {found}; {needed} is needed",
                path.display()
            ),
            Self::Inference(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether something is simply not there, rather than there and wrong.
    pub(super) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoModel { .. } | Self::Inference(dance_inference::Error::LibraryNotFound { .. })
        )
    }

    /// As an error for the bus.
    pub(super) fn message(&self) -> gst::ErrorMessage {
        use dance_inference::Error as E;
        match self {
            Self::NoModel { .. }
            | Self::Inference(
                E::LibraryNotFound { .. }
                | E::LibraryUnusable {
                    fault: Fault::Missing,
                    ..
                }
                | E::ProviderUnavailable { .. },
            ) => gst::error_msg!(gst::ResourceError::NotFound, ("{self}")),
            Self::Inference(E::Unreadable { path, .. }) if !path.exists() => {
                gst::error_msg!(gst::ResourceError::NotFound, ("{self}"))
            }
            Self::Inference(E::Unreadable { .. }) => {
                gst::error_msg!(gst::ResourceError::OpenRead, ("{self}"))
            }
            Self::Inference(
                E::LibraryUnusable { .. } | E::OtherLibrary { .. } | E::Runtime { .. },
            ) => gst::error_msg!(gst::LibraryError::Init, ("{self}")),
            _ => gst::error_msg!(gst::ResourceError::Settings, ("{self}")),
        }
    }
}

/// What the cheap checks have found: a runtime, a model, and what to do with them.
#[derive(Debug)]
pub(super) struct Found {
    runtime: Arc<Runtime>,
    file: ModelFile,
    path: PathBuf,
    config: SessionConfig,
}

/// Finds ONNX Runtime and the model, and checks what can be checked without running either.
///
/// # Errors
/// With what is missing or wrong, where, and what was needed.
pub(super) fn find(settings: &Settings) -> Result<Found, Error> {
    let config = SessionConfig {
        providers: settings.providers.parse()?,
        allow_fallback: settings.allow_fallback,
        device: settings.device,
        ..SessionConfig::default()
    };
    // First, since a process that has no model need not load a library.
    let path = match &settings.model {
        Some(path) => PathBuf::from(path),
        None => search()?,
    };
    let file = ModelFile::open(&path, TASK)?;
    if let Some(card) = file.card() {
        check(card, &path)?;
    }
    log_to_gstreamer();
    let runtime = Runtime::get(&Search::new(settings.library.as_deref().map(Path::new)))?;
    Ok(Found {
        runtime,
        file,
        path,
        config,
    })
}

/// The first model in the usual folders.
fn search() -> Result<PathBuf, Error> {
    let variable = std::env::var_os(PATH_VARIABLE).unwrap_or_default();
    let own = own_directory();
    let folders = std::env::split_paths(&variable)
        .filter(|folder| !folder.as_os_str().is_empty())
        .chain(
            FOLDERS
                .iter()
                .filter_map(|folder| Some(own.as_ref()?.join(folder))),
        );
    let mut searched = Vec::new();
    for folder in folders {
        let path = folder.join(FILE);
        if path.is_file() {
            return Ok(path);
        }
        searched.push(path);
    }
    Err(Error::NoModel { searched })
}

/// Whether a model takes what this element gives, and gives what it takes; returns the seconds from
/// the instant that an activation speaks of to the end of its frame.
fn check(card: &Card, path: &Path) -> Result<f64, Error> {
    let same = |what, found: String, needed: String| {
        if found == needed {
            return Ok(());
        }
        Err(Error::Unfit {
            path: path.to_owned(),
            what,
            found,
            needed,
        })
    };
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "nothing".to_owned());
    same(
        "the frame rate",
        or_nothing(card.frame_rate.map(|rate| rate.to_string())),
        FRAME_RATE.to_string(),
    )?;
    same(
        "the parameter `features`",
        or_nothing(card.parameters.get("features").map(ToString::to_string)),
        format!("\"{FEATURES}\""),
    )?;
    same("the labels", card.labels.join(", "), LABELS.join(", "))?;
    let signals = |ports: &[dance_inference::Port]| {
        let state = |port: &&dance_inference::Port| {
            port.state.is_none()
                && !card
                    .inputs
                    .iter()
                    .any(|input| input.state.as_ref() == Some(&port.name))
        };
        let names: Vec<_> = ports
            .iter()
            .filter(state)
            .map(ToString::to_string)
            .collect();
        names.join(", ")
    };
    same(
        "the input",
        signals(&card.inputs),
        format!("features float32[batch, time, {BANDS}]"),
    )?;
    same(
        "the output",
        signals(&card.outputs),
        format!("activations float32[batch, time, {}]", LABELS.len()),
    )?;
    // One state goes through runs of several lengths.
    let of_time = card.inputs.iter().find(|input| {
        input.state.is_some() && input.shape.contains(&Axis::Symbol("time".to_owned()))
    });
    if let Some(input) = of_time {
        same(
            "a state",
            input.to_string(),
            "a shape without `time`".to_owned(),
        )?;
    }
    let delay = card.number("delay", path)?;
    if !(0.0..=LONGEST_DELAY).contains(&delay) {
        let needed = format!("0 to {LONGEST_DELAY} seconds");
        same("the parameter `delay`", delay.to_string(), needed)?;
    }
    Ok(delay)
}

impl Found {
    /// Whether making the session may take long enough to tell of it: on a GPU.
    pub(super) fn is_slow(&self) -> bool {
        self.config
            .providers
            .iter()
            .any(|provider| provider != dance_inference::ExecutionProvider::Cpu)
    }

    /// Makes the session, or joins that of another element, checks the model's graph, and runs it
    /// once so that the first real run is no slower than the others.
    ///
    /// # Errors
    /// With what is wrong with the model, or why no provider runs it.
    pub(super) fn load(self, progress: &mut dyn FnMut(Progress)) -> Result<Loaded, Error> {
        let model = self.file.load(&self.runtime, &self.config, progress)?;
        let delay = check(model.card(), &self.path)?;
        for frames in [1, BLOCK] {
            model.warm_up(&sizes(frames), 1, progress)?;
        }
        Ok(Loaded { model, delay })
    }
}

fn sizes(frames: usize) -> [(&'static str, usize); 2] {
    [("batch", 1), ("time", frames)]
}

/// A model that is ready to run.
#[derive(Debug)]
pub(super) struct Loaded {
    model: Model,
    delay: f64,
}

impl Loaded {
    /// The file it is from.
    pub(super) fn path(&self) -> &Path {
        self.model.path()
    }

    /// What it runs on.
    pub(super) fn provider(&self) -> &str {
        self.model.active_execution_provider()
    }

    /// What was named and is not used.
    pub(super) fn fallbacks(&self) -> &[Fallback] {
        self.model.fallbacks()
    }

    /// The network at the start of a stream, run on up to `frames` frames at a time.
    ///
    /// # Errors
    /// When there is no memory.
    pub(super) fn network(&self, frames: usize) -> Result<Box<dyn Network>, Error> {
        let mut streams = vec![(1, self.model.stream(&sizes(1))?)];
        if frames > 1 {
            streams.insert(0, (frames, self.model.stream(&sizes(frames))?));
        }
        Ok(Box::new(Streams {
            current: 0,
            delay: self.delay,
            streams,
        }))
    }
}

/// One stream of features, run in the largest pieces there are tensors for.
struct Streams {
    /// Frames in a run, and the tensors for it; the last for one frame.
    streams: Vec<(usize, dance_inference::Stream)>,
    /// Which one has the state.
    current: usize,
    delay: f64,
}

impl Streams {
    fn run_in_pieces(
        &mut self,
        features: &[f32],
        out: &mut Vec<Activation>,
    ) -> Result<(), Failure> {
        let mut rest = features;
        while !rest.is_empty() {
            let fitting = self
                .streams
                .iter()
                .position(|(frames, _)| frames * BANDS <= rest.len());
            let Some(next) = fitting else {
                return Err(format!("{} values are no whole frame of {BANDS}", rest.len()).into());
            };
            // An error where the two are one, which has the state already.
            if let Ok([(_, from), (_, to)]) = self.streams.get_disjoint_mut([self.current, next]) {
                to.copy_state(from)?;
            }
            self.current = next;
            let Some((frames, stream)) = self.streams.get_mut(next) else {
                return Ok(());
            };
            let (piece, after) = rest.split_at(*frames * BANDS);
            rest = after;
            stream.set("features", piece)?;
            stream.run()?;
            let activations = stream.output::<f32>("activations")?;
            let mut values = activations.iter().copied();
            while let (Some(onset), Some(beat), Some(downbeat)) =
                (values.next(), values.next(), values.next())
            {
                for value in [onset, beat, downbeat] {
                    if !(0.0..=1.0).contains(&value) {
                        return Err(format!("the model gives {value} for a probability").into());
                    }
                }
                out.push(Activation {
                    onset,
                    beat,
                    downbeat,
                });
            }
        }
        Ok(())
    }
}

impl Network for Streams {
    fn block(&self) -> usize {
        self.streams.first().map_or(1, |(frames, _)| *frames)
    }

    fn delay(&self) -> f64 {
        self.delay
    }

    fn run(&mut self, features: &[f32], out: &mut Vec<Activation>) -> Result<(), Failure> {
        let before = out.len();
        let result = self.run_in_pieces(features, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }

    fn reset(&mut self) {
        for (_, stream) in &mut self.streams {
            stream.reset();
        }
    }
}

/// Sends what ONNX Runtime has to say to the category `onnxruntime`, from its threshold on.
fn log_to_gstreamer() {
    static CATEGORY: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
        gst::DebugCategory::new(
            "onnxruntime",
            gst::DebugColorFlags::empty(),
            Some("What ONNX Runtime says"),
        )
    });
    set_log_level(match CATEGORY.threshold() {
        gst::DebugLevel::None | gst::DebugLevel::Error => LogLevel::Error,
        gst::DebugLevel::Warning | gst::DebugLevel::Fixme => LogLevel::Warning,
        gst::DebugLevel::Info | gst::DebugLevel::Debug => LogLevel::Info,
        _ => LogLevel::Verbose,
    });
    set_log_sink(Some(Arc::new(|record| {
        let level = match record.level {
            LogLevel::Fatal | LogLevel::Error => gst::DebugLevel::Error,
            LogLevel::Warning => gst::DebugLevel::Warning,
            LogLevel::Info => gst::DebugLevel::Info,
            LogLevel::Verbose => gst::DebugLevel::Log,
        };
        gst::log_with_level!(CATEGORY, level, "{}: {}", record.location, record.message);
    })));
}
