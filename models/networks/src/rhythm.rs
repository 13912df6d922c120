// SPDX-License-Identifier: MPL-2.0
//! Activations of onsets, beats and downbeats of music.

use anyhow::{Result, bail};
use dance_rhythm::network::{BANDS, FEATURES, FRAME_RATE};
use serde::Deserialize;

use crate::layers::Scope;
use crate::network::{About, Network, Port};
use crate::ops::{Conv, Dim, Ops};

/// Seconds from the instant that an activation speaks of to the end of its frame: the look-ahead
/// of the targets.
pub const DELAY: f64 = 0.015;
/// What an activation is of, in order.
pub const LABELS: [&str; 3] = ["onset", "beat", "downbeat"];

/// Frames that each of the two convolutions over time and frequency spans.
const FRONT_KERNEL: usize = 3;
/// Frames before the present one that the front takes.
const FRONT_PAST: usize = 2 * (FRONT_KERNEL - 1);
/// Taps of the dilated convolutions.
const KERNEL: usize = 5;

/// A causal temporal convolutional network, after M. E. P. Davies and S. Böck, "Temporal
/// convolutional networks for musical audio beat tracking", EUSIPCO 2019: convolutions over time
/// and frequency, then residual blocks of convolutions over time whose dilation doubles from block
/// to block. Theirs looks both ways; this one looks back only, and carries what it must remember
/// as state, so that it runs on a stream frame by frame. What lies further back than the blocks
/// reach, a gated recurrent unit remembers: every further block would
/// double the states, whose copying takes most of the time of a frame.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rhythm {
    /// Channels of the convolutions over time and frequency.
    pub front: usize,
    /// Channels of the residual blocks.
    pub channels: usize,
    /// How many blocks; block n has the dilation 2ⁿ, so that 6 reach 2.5 s back.
    pub blocks: usize,
    /// Units of the gated recurrent unit.
    pub memory: usize,
    /// Share of the activations that training drops.
    pub dropout: f32,
}

impl Rhythm {
    fn past(&self, block: usize) -> usize {
        (KERNEL - 1) << block
    }

    /// The states, named `name` and a number.
    fn states(&self, suffix: &str) -> Vec<Port> {
        let batch = || Dim::symbol("batch");
        let mut ports = vec![Port::state(
            &format!("front{suffix}"),
            &[batch(), FRONT_PAST.into(), BANDS.into()],
        )];
        ports.extend((0..self.blocks).map(|n| {
            Port::state(
                &format!("block{n}{suffix}"),
                &[batch(), self.channels.into(), self.past(n).into()],
            )
        }));
        ports.push(Port::state(
            &format!("memory{suffix}"),
            &[batch(), self.memory.into()],
        ));
        ports
    }

    /// The forward pass up to the logits, and the states after it, in the order of the ports.
    ///
    /// # Errors
    /// As the operations it is made of.
    pub fn logits<G: Ops>(
        &self,
        scope: &Scope<G>,
        inputs: &[G::Tensor],
    ) -> Result<(G::Tensor, Vec<G::Tensor>)> {
        let [features, front, past @ .., memory] = inputs else {
            bail!("{} inputs, not {}", inputs.len(), self.blocks + 3);
        };
        let g = scope.ops;
        let mut states = Vec::with_capacity(self.blocks + 2);

        // What came before the first frame was silence, and silence is 0.
        let x = g.concat(&[front, features], 1)?; // [batch, 4 + time, bands]
        states.push(last(g, &x, 1, FRONT_PAST)?); // [batch, 4, bands]
        let x = self.front(scope, &x)?; // [batch, time, channels]

        let mut x = g.transpose(&x, &[0, 2, 1])?; // [batch, channels, time]
        for (n, past) in past.iter().enumerate() {
            let y = g.concat(&[past, &x], -1)?; // [batch, channels, past + time]
            states.push(last(g, &y, -1, self.past(n))?); // [batch, channels, past]
            let y = self.branch(&scope.at(format!("block{n}")), &y, n)?; // [batch, channels, time]
            // Many branches are added up: each begins small.
            x = g.add(&x, &g.scale(&y, 0.3)?)?;
        }

        let x = g.silu(&g.transpose(&x, &[0, 2, 1])?)?; // [batch, time, channels]
        let (y, memory) = scope.at("memory").gru(&x, memory)?; // [batch, time, memory]
        states.push(memory); // [batch, memory]
        let x = g.concat(&[&x, &y], -1)?; // [batch, time, channels + memory]
        let x = scope.at("head").linear(&x, LABELS.len())?; // [batch, time, 3]
        Ok((x, states))
    }

    /// Convolutions over time and frequency, `[batch, 4 + time, bands]` to
    /// `[batch, time, channels]`: each halves the bands, rounded up.
    fn front<G: Ops>(&self, scope: &Scope<G>, x: &G::Tensor) -> Result<G::Tensor> {
        let g = scope.ops;
        let conv = |name: &str, x: &G::Tensor, out: usize, frames: usize| {
            let geometry = Conv {
                stride: [1, 2].into(),
                padding: [0, 1].into(),
                ..Conv::default()
            };
            let x = scope.at(name).conv(x, out, &[frames, 3], &geometry)?;
            g.silu(&x)
        };
        let wide = self.front + self.front / 2;
        let x = g.unsqueeze(x, 1)?; // [batch, 1, 4 + time, bands]
        let x = conv("front0", &x, self.front, FRONT_KERNEL)?; // [batch, front, 2 + time, bands / 2]
        let x = conv("front1", &x, self.front, FRONT_KERNEL)?; // [batch, front, time, bands / 4]
        let x = conv("front2", &x, wide, 1)?; // [batch, wide, time, bands / 8]
        let width = g.size(&x, 1)? * g.size(&x, 3)?;
        let x = g.transpose(&x, &[0, 2, 1, 3])?; // [batch, time, wide, bands / 8]
        let x = g.reshape(&x, &[0, 0, width as i64])?; // [batch, time, wide · bands / 8]
        let x = scope.at("mix").linear(&x, self.channels)?; // [batch, time, channels]
        scope.at("norm").layer_norm(&x)
    }

    /// What block `n` adds, `[batch, channels, past + time]` to `[batch, channels, time]`.
    fn branch<G: Ops>(&self, scope: &Scope<G>, x: &G::Tensor, n: usize) -> Result<G::Tensor> {
        let g = scope.ops;
        let dilated = Conv {
            dilation: (1usize << n).into(),
            ..Conv::default()
        };
        let x = scope
            .at("dilated")
            .conv(x, self.channels, &[KERNEL], &dilated)?; // [batch, channels, time]
        let x = g.dropout(&g.silu(&x)?, self.dropout)?;
        scope
            .at("mix")
            .conv(&x, self.channels, &[1], &Conv::default()) // [batch, channels, time]
    }
}

/// The last `n` elements along an axis: what the next call must know of this one.
fn last<G: Ops>(g: &G, x: &G::Tensor, axis: isize, n: usize) -> Result<G::Tensor> {
    g.slice(x, axis, -(n as i64), None)
}

impl Network for Rhythm {
    fn name(&self) -> &str {
        "rhythm"
    }

    fn inputs(&self) -> Vec<Port> {
        let features = Port::signal(
            "features",
            &[Dim::symbol("batch"), "time".into(), BANDS.into()],
            "log10(1 + 30 · band magnitude / recent level)",
        );
        [vec![features], self.states("")].concat()
    }

    fn outputs(&self) -> Vec<Port> {
        let activations = Port::signal(
            "activations",
            &[Dim::symbol("batch"), "time".into(), LABELS.len().into()],
            "probability",
        );
        [vec![activations], self.states("_next")].concat()
    }

    fn about(&self) -> About {
        About {
            task: "rhythm".into(),
            description:
                "Onsets, beats and downbeats of music, causal, from a log-frequency spectrum".into(),
            frame_rate: Some(FRAME_RATE),
            labels: LABELS.map(String::from).into(),
            parameters: toml::Table::from_iter([
                ("features".to_owned(), FEATURES.into()),
                ("delay".to_owned(), DELAY.into()),
            ]),
        }
    }

    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
        let (logits, states) = self.logits(scope, inputs)?;
        Ok([vec![scope.ops.sigmoid(&logits)?], states].concat())
    }
}
