use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::branches::Axis;
use super::course::{Settings, planned};
use super::engine::{Next, Out, State};
use super::{Method, marksfile};
use crate::lock::lock;
use crate::task::Task;

mod pads;
mod properties;
mod sinks;
mod sources;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "dtwretarget",
        gst::DebugColorFlags::empty(),
        Some("Retimes video so that visual beats fall on musical ones"),
    )
});

const STATUS_NAME: &str = "retarget-status";
/// How soon an unanswered LATENCY query is asked again.
const LATENCY_RETRY: Duration = Duration::from_millis(50);

pub struct DtwRetarget {
    video_sink: gst::Pad,
    audio_sink: gst::Pad,
    video_src: gst::Pad,
    audio_src: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    changed: Condvar,
    task: Task,
}

impl DtwRetarget {
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Duration,
    ) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout(state, timeout)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Has everybody look at the state again.
    fn kick(&self, state: &State) {
        self.changed.notify_all();
        if let Some(id) = &state.clock_id {
            id.unschedule();
        }
    }

    fn report_flow(&self, err: gst::FlowError) {
        if !matches!(err, gst::FlowError::Flushing | gst::FlowError::Eos) {
            gst::element_imp_error!(
                self,
                gst::StreamError::Failed,
                ("Internal data stream error"),
                ["streaming stopped, reason {err}"]
            );
        }
    }

    // The task of `video_src`.

    /// Starts it on an active pad; not while the video is flushed, whose end starts it.
    fn start_task(&self) {
        let begins = || {
            let mut state = lock(&self.state);
            let begins = !state.video.side.flushing;
            if begins {
                state.flow = Ok(gst::FlowSuccess::Ok);
            }
            begins
        };
        let element = self.obj().downgrade();
        let result = self.task.start(&self.video_src, begins, move || {
            if let Some(element) = element.upgrade() {
                element.imp().iterate();
            }
        });
        if let Err(err) = result {
            gst::error!(CAT, imp = self, "no task for the source pad: {err}");
        }
    }

    fn activate_src(&self, active: bool) -> Result<(), gst::LoggableError> {
        self.task.set_active(active);
        if active {
            // As a rule the sink is activated after this, and starts it then.
            self.start_task();
            return Ok(());
        }
        {
            let mut state = lock(&self.state);
            state.flow = Err(gst::FlowError::Flushing);
            self.kick(&state);
        }
        (self.video_src.stop_task())
            .map_err(|err| gst::loggable_error!(CAT, "no end of the source pad's task: {err}"))
    }

    /// Lets out what is next.
    fn iterate(&self) {
        let Some(outs) = self.next() else {
            // Flushing, ended or failed: a flush or a new start begins again, and may have done so just now.
            self.task
                .rest(&self.video_src, || lock(&self.state).flow.is_err());
            return;
        };
        let mut result = Ok(gst::FlowSuccess::Ok);
        for out in outs {
            match out {
                Out::Buffer(buffer) => result = self.video_src.push(buffer),
                Out::Event(event) => {
                    // What a refused event means comes back with the next buffer.
                    self.video_src.push_event(event);
                }
                Out::Status(status, counts) => self.post_status(status, counts),
                Out::Warning(text) => {
                    gst::element_imp_warning!(self, gst::StreamError::Failed, ("{text}"));
                }
                Out::End => self.write_path(),
            }
        }
        let failed = {
            let mut state = lock(&self.state);
            let failed = match result {
                // A flush in the meantime outranks what came of the push.
                Err(err) if state.flow.is_ok() => {
                    state.flow = Err(err);
                    state.video.side.eos.then_some(err)
                }
                _ => None,
            };
            self.changed.notify_all();
            failed
        };
        if let Some(err) = failed {
            self.report_flow(err);
        }
    }

    /// What to push next, in order; `None` where nothing is to be pushed any more.
    fn next(&self) -> Option<Vec<Out>> {
        let settings = lock(&self.settings).clone();
        let mut state = lock(&self.state);
        let mut overdue = false;
        loop {
            state.flow.ok()?;
            let next = state.next(&settings, std::mem::take(&mut overdue));
            match next {
                Next::Push(outs) => {
                    self.changed.notify_all();
                    return Some(outs);
                }
                Next::Blend(blend) => {
                    let epoch = state.epoch;
                    drop(state);
                    let made = blend.make();
                    state = lock(&self.state);
                    // After a flush in the meantime that picture has no place any more.
                    if state.flow.is_ok() && state.epoch == epoch {
                        self.changed.notify_all();
                        return Some(state.blended(*blend, made));
                    }
                }
                // Frames may have been taken.
                Next::Again => self.changed.notify_all(),
                Next::Change => {
                    self.changed.notify_all();
                    state = self.wait(state);
                }
                Next::ChangeOr(timeout) => state = self.wait_for(state, timeout),
                Next::Clock(running_time) => {
                    let obj = self.obj();
                    let (Some(clock), Some(base_time)) = (obj.clock(), obj.base_time()) else {
                        state = self.wait(state);
                        continue;
                    };
                    let deadline = base_time.saturating_add(running_time);
                    if clock.time() >= deadline {
                        overdue = true;
                        continue;
                    }
                    let id = clock.new_single_shot_id(deadline);
                    state.clock_id = Some(id.clone());
                    drop(state);
                    let _ = id.wait();
                    state = lock(&self.state);
                    state.clock_id = None;
                }
                Next::Latency => {
                    // Where there was no answer yet, it is asked for again a little later.
                    if state.latency.is_some() {
                        state = self.wait_for(state, LATENCY_RETRY);
                    }
                    drop(state);
                    self.query_latency();
                    state = lock(&self.state);
                }
            }
        }
    }

    fn set_playing(&self, playing: bool) {
        let mut state = lock(&self.state);
        state.playing = playing;
        // Time spent in another state does not count.
        state.out.waiting = None;
        self.kick(&state);
    }

    fn post_status(&self, status: &str, [visual, audio]: [u64; 2]) {
        gst::info!(
            CAT,
            imp = self,
            "{status}: {visual} visual marks, {audio} of the music"
        );
        if !lock(&self.settings).post_messages {
            return;
        }
        let s = gst::Structure::builder(STATUS_NAME)
            .field("status", status)
            .field("visual-marks", visual)
            .field("audio-marks", audio)
            .build();
        let obj = self.obj();
        let message = gst::message::Element::builder(s).src(&*obj).build();
        let _ = obj.post_message(message);
    }

    fn write_path(&self) {
        let settings = lock(&self.settings).clone();
        let Some(path) = settings.path_location else {
            return;
        };
        let (record, marks) = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.path_written, true) {
                return;
            }
            let times = |marks: &[dance_rhythm::retarget::Mark]| -> Vec<f64> {
                marks.iter().map(|mark| mark.time).collect()
            };
            let marks = match &state.file {
                Some(file) => [times(&file.visual), times(&file.audio)],
                None => state.path_marks.clone(),
            };
            (state.record.clone(), marks)
        };
        let json = record.json(settings.method.name(), &marks[0], &marks[1]);
        let json = json.map_err(std::io::Error::other);
        if let Err(err) = json.and_then(|json| std::fs::write(&path, json)) {
            gst::element_imp_error!(
                self,
                gst::ResourceError::Write,
                ("Could not write the path to '{}': {err}", path.display())
            );
        }
    }

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let Some(limits) = settings.limits() else {
            return Err(gst::error_msg!(
                gst::ResourceError::Settings,
                (
                    "min-speed {} is above max-speed {}",
                    settings.min_speed,
                    settings.max_speed
                )
            ));
        };
        let file = match &settings.marks_location {
            None => None,
            Some(path) => Some(marksfile::read(path, settings.kinds).map_err(|err| {
                gst::error_msg!(
                    gst::ResourceError::Read,
                    ("Could not read marks from '{}': {err}", path.display())
                )
            })?),
        };
        let map = file.as_ref().map(|file| planned(file, &settings, limits));
        if file.is_none() && settings.method != Method::DtwBounded {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                (
                    "The method '{}' needs marks-location: aligning by 'dtw-bounded'",
                    settings.method.name()
                )
            );
        }
        let mut state = lock(&self.state);
        let linked = state.audio.linked;
        *state = State {
            axis: if file.is_some() {
                Axis::Stream
            } else {
                Axis::Running
            },
            limits,
            file,
            map,
            ..State::default()
        };
        state.audio.linked = linked;
        Ok(())
    }

    fn stats(&self) -> gst::Structure {
        let state = lock(&self.state);
        let record = &state.record;
        gst::Structure::builder("stats")
            .field("pictures", record.pictures)
            .field("repeated", record.repeated)
            .field("dropped", record.dropped)
            .field("late", record.late)
            .field("speed-p50", record.speed(0.5))
            .field("speed-p95", record.speed(0.95))
            .field("speed-max", record.fastest())
            .field("longest-freeze", record.longest_freeze)
            .build()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for DtwRetarget {
    const NAME: &'static str = "GstDtwRetarget";
    type Type = super::DtwRetarget;
    type ParentType = gst::Element;

    fn with_class(klass: &Self::Class) -> Self {
        let [video_sink, audio_sink, video_src, audio_src] = pads::pads(klass);
        DtwRetarget {
            video_sink,
            audio_sink,
            video_src,
            audio_src,
            settings: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            task: Task::default(),
        }
    }
}

impl ObjectImpl for DtwRetarget {
    fn properties() -> &'static [glib::ParamSpec] {
        properties::list()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        for pad in [
            &self.video_sink,
            &self.audio_sink,
            &self.video_src,
            &self.audio_src,
        ] {
            if let Err(err) = obj.add_pad(pad) {
                gst::error!(CAT, imp = self, "no pad {}: {err}", pad.name());
            }
        }
        for (linked, connect) in [(true, "linked"), (false, "unlinked")] {
            let element = obj.downgrade();
            self.audio_sink.connect(connect, false, move |_| {
                if let Some(element) = element.upgrade() {
                    element.imp().audio_linked(linked);
                }
                None
            });
        }
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        properties::set(&mut settings, value, pspec);
        gst::info!(CAT, imp = self, "{settings:?}");
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if pspec.name() == "stats" {
            return self.stats().to_value();
        }
        properties::get(&lock(&self.settings).clone(), pspec)
    }
}

impl GstObjectImpl for DtwRetarget {}

impl ElementImpl for DtwRetarget {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Dance retargeter",
                "Filter/Effect/Video",
                "Retimes video so that visual beats fall on musical ones",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = |name: &str| gst::Caps::builder(name).any_features().build();
            [
                ("video_sink", gst::PadDirection::Sink, "video/x-raw"),
                ("audio_sink", gst::PadDirection::Sink, "audio/x-raw"),
                ("video_src", gst::PadDirection::Src, "video/x-raw"),
                ("audio_src", gst::PadDirection::Src, "audio/x-raw"),
            ]
            .into_iter()
            .filter_map(|(name, direction, media)| {
                gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps(media)).ok()
            })
            .collect()
        });
        TEMPLATES.as_ref()
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.start().map_err(|err| {
                self.post_error_message(err);
                gst::StateChangeError
            })?,
            gst::StateChange::PlayingToPaused => self.set_playing(false),
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToPlaying => self.set_playing(true),
            gst::StateChange::PausedToReady => {
                self.write_path();
                let mut state = lock(&self.state);
                let linked = state.audio.linked;
                // The statistics of what has ended can still be read.
                let record = state.record.clone();
                *state = State {
                    record,
                    path_written: true,
                    ..State::default()
                };
                state.audio.linked = linked;
            }
            _ => (),
        }
        Ok(success)
    }
}
