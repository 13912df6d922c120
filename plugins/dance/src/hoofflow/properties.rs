// SPDX-License-Identifier: MPL-2.0
//! The properties, and the settings behind them.

use std::sync::{Arc, LazyLock};

use dance_rhythm::motion::hoof::{DEFAULT_BINS, FEWEST_BINS, MOST_BINS};
use gst::prelude::*;

use super::analysis::{Config, NEED};
use crate::model;
use crate::property::{self, Properties};

const DEFAULT_SIZE: u32 = 256;
const MOST_CELLS: u32 = 16;

#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Shared, since each buffer takes a copy of the settings.
    pub model: Arc<model::Settings>,
    width: u32,
    height: u32,
    pub fps: gst::Fraction,
    bins: u32,
    grid: u32,
    backward: bool,
    pub flow_scale: f64,
    pub post_messages: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: Arc::default(),
            width: DEFAULT_SIZE,
            height: DEFAULT_SIZE,
            fps: gst::Fraction::new(0, 1),
            bins: DEFAULT_BINS as u32,
            grid: 0,
            backward: false,
            flow_scale: 16.0,
            post_messages: true,
        }
    }
}

impl Settings {
    /// Width and height of the picture that is analysed.
    pub fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    pub fn config(&self) -> Config {
        Config {
            size: self.size(),
            bins: self.bins as usize,
            grid: [self.grid; 2],
            interval: self.interval(),
            backward: self.backward,
        }
    }

    /// The time from one analysed frame to the next; none where all are.
    pub fn interval(&self) -> Option<gst::ClockTime> {
        let number = u64::try_from(self.fps.numer()).ok()?;
        let of = u64::try_from(self.fps.denom()).ok()?;
        (number > 0)
            .then(|| gst::ClockTime::SECOND.mul_div_round(of, number))
            .flatten()
    }
}

pub(super) static PROPERTIES: LazyLock<Properties<Settings>> = LazyLock::new(|| {
    const SIDE: &str = "in pixels of the picture that is analysed; the model must be made for it";
    let (width, height) = (format!("Width {SIDE}"), format!("Height {SIDE}"));
    fn model(settings: &mut Settings) -> &mut model::Settings {
        Arc::make_mut(&mut settings.model)
    }
    let threads = property::list! { model::Settings:
        "threads", "Threads", "Threads that the model runs on, 0 = one a core" => READY number threads in 0..=256;
    };
    Properties::new(property::list! { Settings:
        use model::Settings::properties(NEED.file, model);
        use threads.into_iter().map(|row| row.within(model));
        "analysis-width", "Width of the analysis", &width => READY number width in 16..=4096;
        "analysis-height", "Height of the analysis", &height => READY number height in 16..=4096;
        "analysis-fps", "Frame rate of the analysis", "Frames that are analysed in a second, 0 = all of them"
            => READY fraction fps in 1000;
        "bins", "Bins", "Directions of the histogram"
            => READY number bins in FEWEST_BINS as u32..=MOST_BINS as u32;
        "grid", "Grid", "Columns and rows of cells that have histograms of their own, 0 = none"
            => READY number grid in 0..=MOST_CELLS;
        "backward", "Backward flow",
            "Attach the flow back to the frame before as well, which takes as long again"
            => READY switch backward;
        "flow-scale", "Scale of the flow",
            "Pixels from one analysed frame to the next that have the deepest colours on the pad flow"
            => PLAYING number flow_scale in 0.01..=4096.0;
        use property::post_messages(
            "Post a hoof element message on the bus for every analysed frame",
            |s: &mut Settings| &mut s.post_messages,
        );
        use property::stats(
            "Counts of frames, of those analysed and left out, of cuts and repetitions, and times in nanoseconds"
        );
    })
});
