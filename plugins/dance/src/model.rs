// SPDX-License-Identifier: MPL-2.0
//! Models for elements: what the user may say about them, where they are found, how they are loaded, and what is said
//! on the bus meanwhile.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use dance_inference::{
    Card, ExecutionProvider, Fault, LogLevel, Model, ModelFile, Progress, Runtime, Search,
    SessionConfig, own_directory, set_log_level, set_log_sink,
};
use gst::glib;
use gst::prelude::*;

use crate::lock::lock;
use crate::property::{self, Field, Property};

/// What an element needs a model for.
pub(crate) struct Need {
    /// What the card must say it is for.
    pub(crate) task: &'static str,
    /// The file that is looked for where the property `model` names none.
    pub(crate) file: &'static str,
    /// Whether a model takes what the element gives, and gives what it takes.
    pub(crate) check: fn(&Card, &Path) -> Result<(), Error>,
}

/// Models are looked for in the folders of this environment variable first …
const PATH_VARIABLE: &str = "GST_DANCE_MODEL_PATH";
/// … then in the plugin's own folder, and from there in the repository's, for a plugin that lies where
/// cargo has built it, and in the data folder of the prefix that it is installed under, `lib` with
/// and without the name of the architecture.
const FOLDERS: [&str; 4] = [
    "",
    "../../models",
    "../../share/gst-dance/models",
    "../../../share/gst-dance/models",
];

static CATEGORY: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| crate::element::category("onnxruntime", "Models, and what ONNX Runtime says"));

/// What the user wants of network and runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) model: Option<PathBuf>,
    pub(crate) library: Option<PathBuf>,
    pub(crate) providers: String,
    pub(crate) allow_fallback: bool,
    pub(crate) device: u32,
    pub(crate) threads: u32,
}

const DEFAULT_PROVIDERS: &str = "cpu";

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            library: None,
            providers: DEFAULT_PROVIDERS.to_owned(),
            allow_fallback: false,
            device: 0,
            threads: 1,
        }
    }
}

impl Settings {
    /// The properties that set them, of an element that looks for `file` and has them in its own settings as `part`.
    pub(crate) fn properties<S: Default + 'static>(
        file: &str,
        part: impl Field<S, Self>,
    ) -> Vec<Property<S>> {
        let model = format!(
            "The model's file, *.onnx, with its card, *.toml, beside it; none = look for {file}"
        );
        let spec = glib::ParamSpecString::builder("active-execution-provider")
            .nick("Active execution provider")
            .blurb("What the model really runs on, from PAUSED on; none = there is no model")
            .read_only();
        let own = property::list! { Self:
            "model", "Model", &model => READY path model;
            "onnxruntime-library", "Library of ONNX Runtime",
                "The file of ONNX Runtime's shared library; none = ORT_DYLIB_PATH, the plugin's folder, the system's"
                => READY path library;
            "execution-provider", "Execution provider",
                "What the model must run on: tensorrt, cuda, cpu, or several with commas, the first preferred"
                => READY name providers;
            "allow-fallback", "Allow fall-back",
                "Go on without execution providers that cannot be had, with a warning, instead of an error"
                => READY switch allow_fallback;
            "device", "Device", "The GPU that the model runs on, as CUDA counts them"
                => READY number device in 0..=i32::MAX as u32;
            use [Property::read_only(spec.build())];
        };
        own.into_iter()
            .map(|row| row.within(part.clone()))
            .collect()
    }

    /// Whether somebody who names such things must not get another method instead.
    pub(crate) fn ask_for_model(&self) -> bool {
        self.model.is_some() || self.library.is_some() || self.providers != DEFAULT_PROVIDERS
    }
}

/// Why there is no model.
#[derive(Debug)]
pub(crate) enum Error {
    /// No model was named, and there is none in the usual folders.
    NoModel { searched: Vec<PathBuf> },
    /// A model of the right task, with another interface than this element feeds.
    Unfit {
        task: &'static str,
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
                task,
                path,
                what,
                found,
                needed,
            } => write!(
                f,
                "`{}` is a model for `{task}` that this element cannot feed: {what} is {found}; {needed} is needed",
                path.display()
            ),
            Self::Inference(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// Whether something is simply not there, rather than there and wrong.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NoModel { .. } | Self::Inference(dance_inference::Error::LibraryNotFound { .. })
        )
    }

    /// As an error for the bus.
    pub(crate) fn message(&self) -> gst::ErrorMessage {
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
pub(crate) struct Found {
    runtime: Arc<Runtime>,
    file: ModelFile,
    path: PathBuf,
    config: SessionConfig,
    check: fn(&Card, &Path) -> Result<(), Error>,
}

/// Finds ONNX Runtime and the model, and checks what can be checked without running either.
///
/// # Errors
/// With what is missing or wrong, where, and what was needed.
pub(crate) fn find(need: &Need, settings: &Settings) -> Result<Found, Error> {
    let config = SessionConfig {
        providers: settings.providers.parse()?,
        allow_fallback: settings.allow_fallback,
        device: settings.device,
        intra_threads: settings.threads as usize,
        ..SessionConfig::default()
    };
    // First, since a process that has no model need not load a library.
    let path = match &settings.model {
        Some(path) => path.clone(),
        None => search(need.file)?,
    };
    let file = ModelFile::open(&path, need.task)?;
    if let Some(card) = file.card() {
        (need.check)(card, &path)?;
    }
    log_to_gstreamer();
    let runtime = Runtime::get(&Search::new(settings.library.as_deref()))?;
    Ok(Found {
        runtime,
        file,
        path,
        config,
        check: need.check,
    })
}

/// The first model in the usual folders.
fn search(file: &str) -> Result<PathBuf, Error> {
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
        let path = folder.join(file);
        if path.is_file() {
            return Ok(path);
        }
        searched.push(path);
    }
    Err(Error::NoModel { searched })
}

/// Whether something about a model is as an element needs it.
///
/// # Errors
/// [`Error::Unfit`] if it is not.
pub(crate) fn same(
    (task, path): (&'static str, &Path),
    what: &'static str,
    found: &str,
    needed: &str,
) -> Result<(), Error> {
    if found == needed {
        return Ok(());
    }
    Err(Error::Unfit {
        task,
        path: path.to_owned(),
        what,
        found: found.to_owned(),
        needed: needed.to_owned(),
    })
}

/// The tensors of a card that are no state, as text.
pub(crate) fn signals(card: &Card, ports: &[dance_inference::Port]) -> String {
    let feeds = |name: &String| {
        card.inputs
            .iter()
            .any(|input| input.state.as_ref() == Some(name))
    };
    let signals = ports
        .iter()
        .filter(|port| port.state.is_none() && !feeds(&port.name));
    let names: Vec<_> = signals.map(ToString::to_string).collect();
    names.join(", ")
}

impl Found {
    /// Makes the session, or joins that of another element, and checks the model's graph; `warm_up` runs it so that the
    /// first real run is no slower than the others. Reports progress on the element's bus where it may take long, and warns of
    /// providers that are not used.
    ///
    /// # Errors
    /// With what is wrong with the model, or why no provider runs it.
    pub(crate) fn load(
        self,
        element: &gst::Element,
        warm_up: impl Fn(&Model, &mut dyn FnMut(Progress)) -> Result<(), Error>,
    ) -> Result<Model, Error> {
        let on_processor = |provider| provider == ExecutionProvider::Cpu;
        let is_slow = !self.config.providers.iter().all(on_processor);
        let report = |kind, text: &str| {
            if is_slow {
                let message = gst::message::Progress::builder(kind, "load-model", text);
                // Fails only without a bus.
                let _ = element.post_message(message.src(element).build());
            }
        };
        report(gst::ProgressType::Start, "Loading the model");
        let progress = &mut |progress| match progress {
            Progress::Building { providers } => report(
                gst::ProgressType::Continue,
                &format!("Building the model for {providers}"),
            ),
            Progress::WarmingUp { .. } => {
                report(gst::ProgressType::Continue, "Running the model once");
            }
            _ => (),
        };
        let load = || -> Result<Model, Error> {
            let model = self.file.load(&self.runtime, &self.config, progress)?;
            (self.check)(model.card(), &self.path)?;
            warm_up(&model, progress)?;
            Ok(model)
        };
        let model = load().inspect_err(|_| {
            report(gst::ProgressType::Error, "The model could not be loaded");
        })?;
        report(gst::ProgressType::Complete, "The model is loaded");
        let provider = model.active_execution_provider();
        gst::info!(
            CATEGORY,
            obj = element,
            "running {} on {provider}",
            model.path().display()
        );
        for fallback in model.fallbacks() {
            gst::element_warning!(
                element,
                gst::ResourceError::NotFound,
                (
                    "the execution provider {} is not used: {}; the model runs on {provider}",
                    fallback.provider,
                    fallback.reason
                )
            );
        }
        Ok(model)
    }
}

/// How far a model is, from NULL to NULL.
#[derive(Debug, Default)]
pub(crate) enum ModelState<L> {
    /// There is none, or none was looked for.
    #[default]
    Idle,
    /// From READY on.
    Found(Box<Found>),
    /// From PAUSED on, and still in READY after it, so that the next start is a fast one.
    Loaded(L),
}

/// The model of an element, found for what was `W`anted and loaded as `L`.
#[derive(Debug)]
pub(crate) struct ModelSlot<W, L>(Mutex<(Option<W>, ModelState<L>)>);

impl<W, L> Default for ModelSlot<W, L> {
    fn default() -> Self {
        Self(Mutex::new((None, ModelState::Idle)))
    }
}

impl<W: Clone + PartialEq, L: Clone> ModelSlot<W, L> {
    /// Whether this is what was found before, be it that there is none.
    pub(crate) fn is_for(&self, wanted: &W) -> bool {
        lock(&self.0).0.as_ref() == Some(wanted)
    }

    /// Sets what was found for what; `None` has it looked for again at the next start.
    pub(crate) fn set(
        &self,
        element: &impl IsA<gst::Element>,
        wanted: Option<W>,
        state: ModelState<L>,
    ) {
        let before = std::mem::replace(&mut *lock(&self.0), (wanted, state));
        if let ModelState::Loaded(_) = before.1 {
            element.notify("active-execution-provider");
        }
    }

    /// Forgets the model.
    pub(crate) fn clear(&self, element: &impl IsA<gst::Element>) {
        self.set(element, None, ModelState::Idle);
    }

    /// Makes what was found ready to run: `warm_up` runs it, `make` has the last word on whether it fits what was wanted.
    /// Does nothing where there is no model, or it is loaded already; one that fails is forgotten.
    ///
    /// # Errors
    /// As [`Found::load`] and `make`.
    pub(crate) fn load(
        &self,
        element: &impl IsA<gst::Element>,
        warm_up: impl Fn(&Model, &mut dyn FnMut(Progress)) -> Result<(), Error>,
        make: impl FnOnce(Model, &W) -> Result<L, Error>,
    ) -> Result<(), Error> {
        let taken = {
            let (wanted, state) = &mut *lock(&self.0);
            match (wanted.clone(), std::mem::take(state)) {
                (Some(wanted), ModelState::Found(found)) => Some((wanted, found)),
                (_, other) => {
                    *state = other;
                    None
                }
            }
        };
        let Some((wanted, found)) = taken else {
            return Ok(());
        };
        let loaded = found.load(element.upcast_ref(), warm_up);
        match loaded.and_then(|model| make(model, &wanted)) {
            Ok(loaded) => {
                lock(&self.0).1 = ModelState::Loaded(loaded);
                element.notify("active-execution-provider");
                Ok(())
            }
            Err(err) => {
                self.clear(element);
                Err(err)
            }
        }
    }

    /// The model, once it is loaded.
    pub(crate) fn loaded(&self) -> Option<L> {
        match &lock(&self.0).1 {
            ModelState::Loaded(loaded) => Some(loaded.clone()),
            _ => None,
        }
    }
}

/// Sends what ONNX Runtime has to say to the category `onnxruntime`, from its threshold on.
fn log_to_gstreamer() {
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
