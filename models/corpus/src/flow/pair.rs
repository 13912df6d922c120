// SPDX-License-Identifier: MPL-2.0
//! Pairs of frames with the flow between them.

use std::path::Path;

use anyhow::Result;

use super::picture::{Flow, Picture};

/// A pair of frames and what is true of them.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The earlier frame.
    pub first: Picture,
    /// The later frame.
    pub second: Picture,
    /// Where each pixel of the first goes.
    pub flow: Flow,
    /// Whether what is at a pixel of the first is seen in the second, where that is known.
    pub visible: Option<Vec<bool>>,
    /// Whether a pixel of the first is a limb's, where that is known.
    pub limb: Option<Vec<bool>>,
}

impl Pair {
    /// Writes it as FlyingChairs does: `NUMBER_img1.png`, `NUMBER_img2.png`, `NUMBER_flow.flo`, and
    /// the limbs, where they are known, as `NUMBER_mask.png`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path, number: u64) -> Result<()> {
        let name = |what: &str| folder.join(format!("{number:05}_{what}"));
        self.first.save(&name("img1.png"))?;
        self.second.save(&name("img2.png"))?;
        self.flow.save(&name("flow.flo"))?;
        if let Some(limb) = &self.limb {
            let grey = |&is_limb: &bool| [if is_limb { 255 } else { 0 }; 3];
            let mask = Picture {
                pixels: limb.iter().map(grey).collect(),
                ..self.first.clone()
            };
            mask.save(&name("mask.png"))?;
        }
        Ok(())
    }
}
