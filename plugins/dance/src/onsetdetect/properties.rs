// SPDX-License-Identifier: MPL-2.0
//! The properties, and the settings behind them.

use std::sync::{Arc, LazyLock};

use dance_rhythm::analyzer::{Analyzer, Beats, Config, Error, Event};
use dance_rhythm::network::Network;
use dance_rhythm::{beat, onset};
use gst::glib;
use gst::prelude::*;

use super::{Emit, Method, network};
use crate::delay::Mode;
use crate::marks::Kind;
use crate::model;
use crate::property::{self, Properties, Property};

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub method: Method,
    pub mode: Mode,
    pub min_bpm: f64,
    pub max_bpm: f64,
    pub beats_per_bar: u32,
    pub threshold: f32,
    pub debias: bool,
    pub offset: i64,
    pub post_messages: bool,
    pub emit: Emit,
    /// Shared, since each buffer takes a copy of the settings.
    pub model: Arc<model::Settings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::default(),
            mode: Mode::default(),
            min_bpm: beat::DEFAULT_MIN_BPM,
            max_bpm: beat::DEFAULT_MAX_BPM,
            beats_per_bar: 0,
            threshold: 1.0,
            debias: true,
            offset: 0,
            post_messages: true,
            emit: Emit::default(),
            model: Arc::default(),
        }
    }
}

pub(super) static PROPERTIES: LazyLock<Properties<Settings>> = LazyLock::new(|| {
    let active = glib::ParamSpecEnum::builder::<Method>("active-method")
        .nick("Active method")
        .blurb("What is really detected with; auto = not known before READY")
        .read_only();
    let tempi = beat::LOWEST_BPM..=beat::HIGHEST_BPM;
    Properties::new(property::list! { Settings:
        use model::Settings::properties(network::NEED.file, |s: &mut Settings| Arc::make_mut(&mut s.model));
        "method", "Method", "What onsets and beats are detected with" => READY choice method;
        use [Property::read_only(active.build())];
        "mode", "Mode", "When marks come and whether the audio waits for them" => READY choice mode;
        use property::tempo_range("beats", "", &tempi, |s: &mut Settings| &mut s.min_bpm, |s| &mut s.max_bpm);
        "beats-per-bar", "Beats per bar", "Beats in a bar of the music, 0 = find out (3 or 4)"
            => READY number beats_per_bar in 0..=u32::from(beat::MOST_BEATS_PER_BAR);
        "threshold", "Threshold",
            "Factor on the onset threshold of the method: above 1 detects fewer onsets, below 1 more"
            => READY number threshold in 0.01..=100.0;
        "debias", "Remove bias",
            "Take the known bias of method=librosa off its instants; the other methods always do"
            => READY switch debias;
        use property::offset(|s: &mut Settings| &mut s.offset);
        use property::post_messages(
            "Post a rhythm-mark element message on the bus for every mark",
            |s: &mut Settings| &mut s.post_messages,
        );
        "emit", "Emit", "Kinds of marks to emit; without beats and downbeats no tempo is sought"
            => READY flags emit;
        use property::tempo("Tempo now in beats per minute, 0 = none");
        use property::stats("Counts of samples, of marks by kind, and of what went wrong");
    })
});

impl Settings {
    /// Detects through the network where there is one, else by the method; by SuperFlux for those
    /// that want a network.
    pub fn analyzer(
        &self,
        rate: u32,
        network: Option<Box<dyn Network>>,
    ) -> Result<Analyzer, Error> {
        let config = Config {
            onset: onset::Config {
                rate,
                method: match self.method {
                    Method::Auto | Method::Model | Method::SuperFlux => onset::Method::SuperFlux,
                    Method::Mudar => onset::Method::Mudar,
                    Method::Librosa => onset::Method::Librosa,
                },
                threshold: self.threshold,
                debias: self.debias,
            },
            // The tempo is worth knowing only where beats are: it costs more than the onsets.
            beats: self
                .emit
                .intersects(Emit::BEAT | Emit::DOWNBEAT)
                .then(|| Beats {
                    min_bpm: self.min_bpm,
                    max_bpm: self.max_bpm,
                    beats_per_bar: match self.beats_per_bar {
                        0 => Vec::new(),
                        n => vec![n as u8],
                    },
                }),
            offline: self.mode == Mode::Offline,
        };
        Analyzer::with_network(&config, network)
    }

    /// The kind of mark under which an event is emitted, if at all.
    pub fn kind(&self, event: &Event) -> Option<Kind> {
        match event {
            Event::Onset(_) => self.emit.contains(Emit::ONSET).then_some(Kind::Onset),
            Event::Beat(beat) if beat.beat_in_bar == 1 && self.emit.contains(Emit::DOWNBEAT) => {
                Some(Kind::Downbeat)
            }
            Event::Beat(_) => self.emit.contains(Emit::BEAT).then_some(Kind::Beat),
            Event::Tempo(_) => None,
        }
    }
}
