// SPDX-License-Identifier: MPL-2.0
use std::sync::Mutex;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::engine::{CAT, Next, Out, State, Stats};
use super::properties::{PROPERTIES, Settings};
use crate::combine::{Asked, Combine, Latency, Shared};
use crate::element::{metadata, pad_templates};
use crate::lock::lock;
use crate::pads::{Guarded, build};
use crate::property::functions;

mod sinks;
mod source;

pub struct MarkCombiner {
    media: gst::Pad,
    marks: gst::Pad,
    src: gst::Pad,
    settings: Mutex<Settings>,
    shared: Shared<State>,
}

impl Combine for MarkCombiner {
    type State = State;

    fn shared(&self) -> &Shared<State> {
        &self.shared
    }

    fn pads(&self) -> [&gst::Pad; 3] {
        [&self.media, &self.marks, &self.src]
    }

    fn decide(&self, state: &mut State, overdue: bool) -> Next {
        let settings = *lock(&self.settings);
        state.next(&settings, overdue)
    }

    fn send(&self, out: Out) -> Result<gst::FlowSuccess, gst::FlowError> {
        match out {
            Out::Buffer(buffer) => return self.src.push(buffer),
            Out::Event(event) => {
                if event.type_() == gst::EventType::Eos {
                    gst::info!(CAT, imp = self, "end of media: {:?}", self.state().stats);
                }
                // What a refused event means comes back with the next buffer.
                self.src.push_event(event);
            }
            Out::Starved(timeout) => gst::element_imp_warning!(
                self,
                gst::StreamError::Failed,
                ("No progress of the marks for {timeout}: media goes on without them"),
                ["a branch without a queue, or too small a one, may hold the other up"]
            ),
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn latency(&self, asked: &Asked) -> Latency {
        let own = lock(&self.settings).latency;
        let min = match asked.other {
            Some(marks) => asked.min.max(marks + own),
            None => asked.min,
        };
        Latency {
            live: asked.live,
            min,
            // The queue holds `min` on top of what can wait upstream.
            max: asked.max.map(|max| max + min),
            behind: gst::ClockTime::ZERO,
            sure: false,
        }
    }

    fn link_changed(&self, state: &mut State, linked: bool) {
        let marks = &mut state.marks;
        marks.linked = linked;
        // What is linked next begins afresh; marks that have come keep waiting.
        marks.eos = false;
        marks.segment = None;
        marks.position = None;
        marks.untimed = false;
        marks.seeking = false;
        marks.progressed();
    }
}

impl MarkCombiner {
    fn activate_marks(&self, _pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        let mut state = self.state();
        state.marks.flushing = !active;
        self.kick(&mut state);
        Ok(())
    }

    /// The pad that carries the same stream; what comes in at `marks` does not go out.
    fn linked(&self, pad: &gst::Pad) -> Vec<gst::Pad> {
        let pairs = [(&self.media, &self.src), (&self.src, &self.media)];
        let other = pairs.into_iter().find(|(one, _)| *one == pad);
        other.map(|(_, other)| other.clone()).into_iter().collect()
    }
}

#[glib::object_subclass]
impl ObjectSubclass for MarkCombiner {
    const NAME: &'static str = "GstMarkCombiner";
    type Type = super::MarkCombiner;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let media = build(class, "media")
            .chain(Self::media_chain)
            .event(Self::media_event)
            .query(Self::media_query)
            .activate(Self::activate_main)
            .links(Self::linked)
            .build();
        let marks = build(class, "marks")
            .chain(Self::marks_chain)
            .event(Self::marks_event)
            .query(Self::marks_query)
            .activate(Self::activate_marks)
            .links(Self::linked)
            .build();
        let src = build(class, "src")
            .event(Self::src_event)
            .query(Self::src_query)
            .activate(Self::activate_src)
            .links(Self::linked)
            .build();
        MarkCombiner {
            media,
            marks,
            src,
            settings: Mutex::default(),
            shared: Shared::default(),
        }
    }
}

impl ObjectImpl for MarkCombiner {
    functions! {
        PROPERTIES of settings, "stats" => |this| this.state().stats().to_value();
        changed |this, [before, after]: &[Settings; 2]| {
            if before.latency != after.latency {
                this.forget_latency();
            }
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.construct([&self.media, &self.marks, &self.src]);
    }
}

impl GstObjectImpl for MarkCombiner {}

impl ElementImpl for MarkCombiner {
    metadata!(
        "Mark combiner",
        "Generic/Metadata",
        "Carries rhythm marks from one branch to the buffers of another"
    );

    pad_templates! {
        "media": Sink Always gst::Caps::new_any();
        "marks": Sink Always gst::Caps::new_any();
        "src": Src Always gst::Caps::new_any();
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::ReadyToPaused => self.state().stats = Stats::default(),
            gst::StateChange::PlayingToPaused => self.set_playing(false),
            _ => (),
        }
        let success = self.parent_change_state(transition)?;
        match transition {
            gst::StateChange::PausedToPlaying => self.set_playing(true),
            gst::StateChange::PausedToReady => {
                let mut state = self.state();
                let linked = state.marks.linked;
                // The statistics of what has ended can still be read.
                let stats = state.stats.clone();
                *state = State::default();
                state.marks.linked = linked;
                state.stats = stats;
            }
            _ => (),
        }
        Ok(success)
    }
}
