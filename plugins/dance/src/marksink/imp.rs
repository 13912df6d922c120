// SPDX-License-Identifier: MPL-2.0
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::Format;
use super::editors::{FrameRate, Timeline};
use super::writer::{Encoder, Records};
use crate::element::{category, metadata, or_post, pad_templates};
use crate::lock::lock;
use crate::marks::{self, Deduplicator, Kind, SourceMarks};
use crate::property::{self, Properties, functions};

static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| category("marksink", "Writes marks into a file"));

#[derive(Debug, Clone)]
struct Settings {
    location: Option<PathBuf>,
    format: Format,
    frame_rate: gst::Fraction,
    timecode: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: None,
            format: Format::default(),
            frame_rate: gst::Fraction::new(25, 1),
            timecode: "01:00:00:00".into(),
        }
    }
}

static PROPERTIES: LazyLock<Properties<Settings>> = LazyLock::new(|| {
    Properties::new(property::list! { Settings:
        "location", "Location", "Path of the file to write, created at READY to PAUSED; - for standard output" => READY path location;
        "format", "Format", "Form in which marks are written" => READY choice format;
        "frame-rate", "Frame rate", "Frames a second of the timeline, for the documents of video editors"
            => READY fraction frame_rate in 1000;
        "timecode", "Timecode", "Timecode HH:MM:SS:FF at which the timeline of a video editor begins"
            => READY name timecode;
        use property::stats(
            "Counts since the file was made: marks taken, of them onset, beat, downbeat and visual-beat, \
             duplicates dropped, out-of-order ones that the format had no place for"
        );
    })
});

/// The open file, between READY→PAUSED and PAUSED→READY.
struct State {
    path: PathBuf,
    records: Records,
    encoder: Encoder,
    seen: Deduplicator,
    /// After an error nothing more is written, so that the file stays valid.
    failed: bool,
    /// Whether marks came since a document was last written.
    changed: bool,
}

impl State {
    /// Writes the file of a format that is written whole, if it is not up to date.
    fn write_document(&mut self) -> io::Result<()> {
        match self.encoder.document()? {
            Some(document) if std::mem::take(&mut self.changed) => self.records.replace(&document),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Stats {
    by_kind: BTreeMap<Kind, u64>,
    duplicates: u64,
    out_of_order: u64,
}

#[derive(Default)]
pub struct MarkSink {
    settings: Mutex<Settings>,
    state: Mutex<Option<State>>,
    // Apart from the state, whose lock is held while the disk is written.
    stats: Mutex<Stats>,
}

impl MarkSink {
    fn open(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let path = settings.location.ok_or_else(|| {
            gst::error_msg!(
                gst::ResourceError::NotFound,
                ("No file to write marks to: set the property 'location'")
            )
        })?;
        let rate = FrameRate {
            numer: settings.frame_rate.numer().unsigned_abs(),
            denom: settings.frame_rate.denom().unsigned_abs(),
        };
        let timeline = Timeline::new(rate, &settings.timecode)
            .map_err(|text| gst::error_msg!(gst::ResourceError::Settings, ("{text}")))?;
        let mut records = Records::create(&path).map_err(|err| {
            gst::error_msg!(
                gst::ResourceError::OpenWrite,
                ("Could not open '{}' for writing: {err}", path.display())
            )
        })?;
        let encoder = Encoder::new(settings.format, timeline);
        records
            .write(encoder.header().as_bytes())
            .map_err(|err| write_error(&path, &err))?;
        gst::info!(CAT, imp = self, "writing {:?} to {path:?}", settings.format);
        *lock(&self.stats) = Stats::default();
        *lock(&self.state) = Some(State {
            path,
            records,
            encoder,
            seen: Deduplicator::default(),
            failed: false,
            // A document without marks is one, too.
            changed: true,
        });
        Ok(())
    }

    fn close(&self) {
        // Without an EOS cues may still be held back, and a document is not written.
        let _ = self.with_state(|state| {
            state.records.write(&state.encoder.finish())?;
            state.write_document()
        });
        if lock(&self.state).take().is_some() {
            gst::info!(CAT, imp = self, "closed: {:?}", lock(&self.stats));
        }
    }

    /// Lets `work` write to the open file, and reports its error once.
    fn with_state(
        &self,
        work: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> Result<(), gst::FlowError> {
        let error = {
            let mut state = lock(&self.state);
            let Some(state) = state.as_mut() else {
                return Err(gst::FlowError::Flushing);
            };
            if state.failed {
                return Err(gst::FlowError::Error);
            }
            let Err(err) = work(state) else {
                return Ok(());
            };
            state.failed = true;
            write_error(&state.path, &err)
        };
        self.post_error_message(error);
        Err(gst::FlowError::Error)
    }

    fn write(&self, found: &[SourceMarks]) -> Result<(), gst::FlowError> {
        if found.is_empty() {
            return Ok(());
        }
        let mut first_out_of_order = false;
        let result = self.with_state(|state| {
            for SourceMarks { source, marks } in found {
                for mark in marks {
                    if !state.seen.is_new(source, mark.id) {
                        lock(&self.stats).duplicates += 1;
                        continue;
                    }
                    gst::trace!(CAT, imp = self, "{source}: {mark:?}");
                    match state.encoder.push(source, mark)? {
                        Some(records) => {
                            state.records.write(&records)?;
                            state.changed = true;
                            *lock(&self.stats).by_kind.entry(mark.kind).or_default() += 1;
                        }
                        None => {
                            let out_of_order = &mut lock(&self.stats).out_of_order;
                            *out_of_order += 1;
                            first_out_of_order |= *out_of_order == 1;
                        }
                    }
                }
            }
            Ok(())
        });
        if first_out_of_order {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                ("A mark had no place in the file any more, and was left out"),
                [
                    "WebVTT wants cues ordered by their start, and an editor's document holds \
                     200,000 marks; see 'out-of-order' in stats"
                ]
            );
        }
        result
    }

    /// Tells the encoder how far the stream has come, in stream time.
    fn advance(
        &self,
        pts: Option<gst::ClockTime>,
        duration: Option<gst::ClockTime>,
    ) -> Result<(), gst::FlowError> {
        let segment = self.obj().segment();
        let Some(segment) = segment.downcast_ref::<gst::ClockTime>() else {
            return Ok(());
        };
        let Some(pts) = pts else {
            return Ok(());
        };
        let end = pts.saturating_add(duration.unwrap_or_default());
        let end = segment.stop().map_or(end, |stop| end.min(stop));
        let Some(position) = segment.to_stream_time(end) else {
            return Ok(());
        };
        self.with_state(|state| state.records.write(&state.encoder.advance(position)))
    }

    /// Ends a run of the stream: what is held back is complete, and ids may restart.
    fn end_run(&self) -> Result<(), gst::FlowError> {
        self.with_state(|state| {
            state.seen.clear();
            state.records.write(&state.encoder.finish())
        })
    }

    /// Ends the stream.
    fn end(&self) -> Result<(), gst::FlowError> {
        self.end_run()?;
        self.with_state(State::write_document)
    }

    fn stats(&self) -> gst::Structure {
        let stats = lock(&self.stats).clone();
        let mut s = gst::Structure::builder("stats")
            .field("marks", stats.by_kind.values().sum::<u64>())
            .field("duplicates", stats.duplicates)
            .field("out-of-order", stats.out_of_order)
            .build();
        for kind in Kind::ALL {
            let count = stats.by_kind.get(&kind).copied().unwrap_or(0);
            s.set(kind.as_str(), count);
        }
        s
    }
}

fn write_error(path: &std::path::Path, err: &io::Error) -> gst::ErrorMessage {
    let text = format!("Could not write marks to '{}': {err}", path.display());
    match err.kind() {
        io::ErrorKind::StorageFull => {
            gst::error_msg!(gst::ResourceError::NoSpaceLeft, ("{text}"))
        }
        _ => gst::error_msg!(gst::ResourceError::Write, ("{text}")),
    }
}

#[glib::object_subclass]
impl ObjectSubclass for MarkSink {
    const NAME: &'static str = "GstMarkSink";
    type Type = super::MarkSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for MarkSink {
    functions! { PROPERTIES of settings, "stats" => |this| this.stats().to_value() }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        // Marks are to be read early and none of the media is to be held.
        obj.set_sync(false);
        obj.set_enable_last_sample(false);
        // A late mark may ride on a buffer that has nothing left to show.
        obj.set_drop_out_of_segment(false);
    }
}

impl GstObjectImpl for MarkSink {}

impl ElementImpl for MarkSink {
    metadata!(
        "Mark sink",
        "Sink/File/Metadata",
        "Writes rhythm marks as JSON lines, CSV, Audacity labels, WebVTT or for editors"
    );

    pad_templates! {
        "sink": Sink Always gst::Caps::new_any();
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        // The base class starts at NULL→READY, where nothing is to be touched yet.
        if transition == gst::StateChange::ReadyToPaused {
            or_post(&*self.obj(), self.open())?;
        }
        let obj = self.obj();
        let waits = obj.is_async();
        // On a side branch of a player no buffer may come for a preroll while the other sinks are paused.
        obj.set_async(waits && transition != gst::StateChange::PlayingToPaused);
        let result = self.parent_change_state(transition);
        obj.set_async(waits);
        let down = transition == gst::StateChange::PausedToReady;
        let failed = transition == gst::StateChange::ReadyToPaused && result.is_err();
        if down || failed {
            self.close();
        }
        result
    }
}

impl BaseSinkImpl for MarkSink {
    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.write(&marks::read(buffer))?;
        self.advance(buffer.pts(), buffer.duration())?;
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, event: gst::Event) -> bool {
        let result = match event.view() {
            gst::EventView::CustomDownstream(_) => self.write(marks::from_event(&event).as_slice()),
            gst::EventView::Gap(gap) => {
                let (pts, duration) = gap.get();
                self.advance(Some(pts), duration)
            }
            gst::EventView::StreamStart(_) | gst::EventView::FlushStop(_) => self.end_run(),
            gst::EventView::Eos(_) => self.end(),
            _ => Ok(()),
        };
        // An EOS would report success to the application.
        let failed = result == Err(gst::FlowError::Error);
        let passed = !(failed && event.type_() == gst::EventType::Eos) && self.parent_event(event);
        passed && !failed
    }
}
