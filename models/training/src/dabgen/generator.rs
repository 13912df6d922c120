// SPDX-License-Identifier: MPL-2.0
//! An exported network that makes dances.

use crate::runtime::Graph;
use anyhow::{Context, Result};
use dance_networks::network::Array;
use dance_rhythm::motion_diffusion::music::VALUES;
use dance_rhythm::motion_diffusion::sampler::{Denoiser, Predicted, Settings};
use dance_rhythm::motion_diffusion::schedule::Schedule;
use dance_rhythm::motion_diffusion::windows::{Dance, Start};
use dance_rhythm::motion_diffusion::{COORDINATES, GIVEN, TOKENS};
use ndarray::{ArrayD, IxDyn};
use std::collections::BTreeMap;

/// What a dance is asked to be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The reference as the network sees it.
    pub reference: [f32; COORDINATES],
    /// Share of each style; all 0 for any.
    pub style: Vec<f32>,
    /// ln(speed / usual), where it is asked for.
    pub energy: Option<f32>,
    /// Whether the reference is the first token.
    pub from_reference: bool,
}

/// Tokens of a dance of so many windows.
pub fn tokens(windows: usize) -> usize {
    TOKENS + windows.saturating_sub(1) * (TOKENS - GIVEN)
}

/// One window of the graph.
struct Step<'a> {
    graph: &'a mut Graph,
    wish: &'a Wish,
    music: &'a [f32],
    start: Start,
}

impl Step<'_> {
    fn run(&mut self, noisy: &[f32], step: usize, conditions: &[f32]) -> Result<Vec<f32>> {
        let batch = conditions.len();
        let array = |shape: &[usize], one: &[f32]| -> Result<Array> {
            let shape: Vec<usize> = std::iter::once(batch)
                .chain(shape.iter().copied())
                .collect();
            Ok(ArrayD::from_shape_vec(IxDyn(&shape), one.repeat(batch))?.into())
        };
        let energy = self.wish.energy.map_or([0.0, 0.0], |e| [e, 1.0]);
        let mask: Vec<f32> = (0..TOKENS)
            .map(|n| f32::from(u8::from(n < self.start.known)))
            .collect();
        let inputs = BTreeMap::from([
            ("noisy".to_owned(), array(&[TOKENS, COORDINATES], noisy)?),
            ("timestep".to_owned(), array(&[], &[step as f32])?),
            ("music".to_owned(), array(&[TOKENS, VALUES], self.music)?),
            (
                "reference".to_owned(),
                array(&[COORDINATES], &self.wish.reference)?,
            ),
            (
                "style".to_owned(),
                array(&[self.wish.style.len()], &self.wish.style)?,
            ),
            ("energy".to_owned(), array(&[2], &energy)?),
            (
                "known".to_owned(),
                array(&[TOKENS, COORDINATES], &self.start.tokens)?,
            ),
            ("mask".to_owned(), array(&[TOKENS], &mask)?),
            (
                "condition".to_owned(),
                ArrayD::from_shape_vec(IxDyn(&[batch]), conditions.to_vec())?.into(),
            ),
        ]);
        let mut outputs = self.graph.run(&inputs)?;
        let motion = outputs
            .remove("motion")
            .context("the graph has no motion")?;
        Ok(motion.into_iter().collect())
    }
}

impl Denoiser for Step<'_> {
    type Error = anyhow::Error;

    fn denoise(&mut self, noisy: &[f32], step: usize, guided: bool) -> Result<Predicted> {
        let conditions: &[f32] = if guided { &[1.0, 0.0] } else { &[1.0] };
        let mut conditional = self.run(noisy, step, conditions)?;
        let unconditional = conditional.split_off(noisy.len().min(conditional.len()));
        Ok(Predicted {
            conditional,
            unconditional,
        })
    }
}

/// Makes the tokens of a dance, window after window, to `music` (tokens × [`VALUES`], for
/// [`tokens`]`(windows)` of them).
///
/// # Errors
/// When the music is too short, or the graph fails.
pub fn dance(
    graph: &mut Graph,
    wish: &Wish,
    music: &[f32],
    (windows, seed): (usize, u64),
    settings: &Settings,
) -> Result<Vec<f32>> {
    let schedule = Schedule::default();
    let mut dance = if wish.from_reference {
        Dance::from_reference(seed)
    } else {
        Dance::new(seed)
    };
    // A dance that starts from the reference shows it.
    let mut out = if wish.from_reference {
        vec![0.0; COORDINATES]
    } else {
        Vec::new()
    };
    for n in 0..windows {
        let from = n * (TOKENS - GIVEN) * VALUES;
        let music = music
            .get(from..from + TOKENS * VALUES)
            .context("the music is too short")?;
        let start = dance.start();
        let mut network = Step {
            graph,
            wish,
            music,
            start,
        };
        out.extend(dance.next(&mut network, &schedule, settings)?);
    }
    Ok(out)
}
