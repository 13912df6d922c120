// SPDX-License-Identifier: MPL-2.0
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use self::properties::PROPERTIES;
use super::branches::Axis;
use super::course::{Settings, planned, start};
use super::engine::{Next, Out, State};
use super::{End, Method, Start, marksfile};
use crate::combine::{Asked, Combine, Latency, Shared};
use crate::element::{category, metadata, or_post, pad_templates};
use crate::lock::lock;
use crate::output;
use crate::property::functions;

mod pads;
mod properties;
mod sinks;
mod sources;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    category(
        "dtwretarget",
        "Retimes video so that visual beats fall on musical ones",
    )
});

const STATUS_NAME: &str = "retarget-status";

pub struct DtwRetarget {
    video_sink: gst::Pad,
    audio_sink: gst::Pad,
    video_src: gst::Pad,
    audio_src: gst::Pad,
    settings: Mutex<Settings>,
    shared: Shared<State>,
}

impl Combine for DtwRetarget {
    type State = State;

    fn shared(&self) -> &Shared<State> {
        &self.shared
    }

    fn pads(&self) -> [&gst::Pad; 3] {
        [&self.video_sink, &self.audio_sink, &self.video_src]
    }

    fn decide(&self, state: &mut State, overdue: bool) -> Next {
        let settings = lock(&self.settings).clone();
        state.next(&settings, overdue)
    }

    fn send(&self, out: Out) -> Result<gst::FlowSuccess, gst::FlowError> {
        match out {
            Out::Buffer(buffer) => return self.video_src.push(buffer),
            Out::Event(event) => {
                // What a refused event means comes back with the next buffer.
                self.video_src.push_event(event);
            }
            Out::Status(status, counts) => self.post_status(status, counts),
            Out::Warning(text) => {
                gst::element_imp_warning!(self, gst::StreamError::Failed, ("{text}"));
            }
            Out::Error(text) => {
                gst::element_imp_error!(self, gst::ResourceError::Settings, ("{text}"));
                return Err(gst::FlowError::Error);
            }
            Out::Length => {
                let length = self.video_sink.peer_query_duration::<gst::ClockTime>();
                let length = length.map(gst::ClockTime::seconds_f64);
                self.state().length = Some(length);
            }
            Out::End => self.write_path(),
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn latency(&self, asked: &Asked) -> Latency {
        let audio = asked.other.unwrap_or_default();
        // Frames wait for music that comes later than they do.
        let behind = if asked.live {
            audio.saturating_sub(asked.min)
        } else {
            gst::ClockTime::ZERO
        };
        let settings = lock(&self.settings);
        let own = match settings.marks_location {
            None if asked.other.is_some() => settings.look_ahead,
            _ => gst::ClockTime::ZERO,
        };
        Latency {
            live: asked.live,
            min: asked.min.max(audio) + own,
            // The frames that wait here.
            max: asked.max.map(|max| max + own + behind),
            behind,
            sure: false,
        }
    }

    fn link_changed(&self, state: &mut State, linked: bool) {
        if !linked {
            state.audio.flush();
            state.has_music = false;
            state.songs.clear();
        } else if !state.audio.linked {
            // Music that is linked late is followed all the same, from where it is then.
            state.restart();
        }
        state.audio.linked = linked;
        state.audio.eos = false;
    }
}

impl DtwRetarget {
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
            let mut state = self.state();
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
        if let Err(err) = json.and_then(|json| output::write(&path, &json)) {
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
        if file.is_none() {
            let demand = match (settings.start, settings.end) {
                (Start::FirstBeat, _) => Some("start=first-beat"),
                (_, End::Loop) => Some("end=loop"),
                _ => None,
            };
            if let Some(demand) = demand {
                return Err(gst::error_msg!(
                    gst::ResourceError::Settings,
                    ("{demand} needs to know what comes: set marks-location")
                ));
            }
        }
        let map = file.as_ref().map(|file| planned(file, &settings, limits));
        let begins = file.as_ref().map_or(0.0, |file| start(file, &settings));
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
        let mut state = self.state();
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
            begins,
            ..State::default()
        };
        state.audio.linked = linked;
        Ok(())
    }

    fn stats(&self) -> gst::Structure {
        let state = self.state();
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

    fn with_class(class: &Self::Class) -> Self {
        let [video_sink, audio_sink, video_src, audio_src] = pads::pads(class);
        DtwRetarget {
            video_sink,
            audio_sink,
            video_src,
            audio_src,
            settings: Mutex::default(),
            shared: Shared::default(),
        }
    }
}

impl ObjectImpl for DtwRetarget {
    functions! { PROPERTIES of settings, "stats" => |this| this.stats().to_value() }

    fn constructed(&self) {
        self.parent_constructed();
        self.construct([
            &self.video_sink,
            &self.audio_sink,
            &self.video_src,
            &self.audio_src,
        ]);
    }
}

impl GstObjectImpl for DtwRetarget {}

impl ElementImpl for DtwRetarget {
    metadata!(
        "Dance retargeter",
        "Filter/Effect/Video",
        "Retimes video so that visual beats fall on musical ones"
    );

    pad_templates! {
        "video_sink": Sink Always of("video/x-raw");
        "audio_sink": Sink Always of("audio/x-raw");
        "video_src": Src Always of("video/x-raw");
        "audio_src": Src Always of("audio/x-raw");
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => or_post(&*self.obj(), self.start())?,
            gst::StateChange::PlayingToPaused => self.set_playing(false),
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToPlaying => self.set_playing(true),
            gst::StateChange::PausedToReady => {
                self.write_path();
                let mut state = self.state();
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

fn of(media: &str) -> gst::Caps {
    gst::Caps::builder(media).any_features().build()
}
