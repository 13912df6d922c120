// SPDX-License-Identifier: MPL-2.0
//! The network that is asked what a dance is without its noise.

use anyhow::{Result, bail};
use dance_rhythm::motion_diffusion::{
    COORDINATES, Clock, GIVEN, JOINTS, PER_BEAT, PER_SECOND, TOKENS, music, pose, schedule,
};
use ndarray::{ArrayD, IxDyn};
use serde::Deserialize;

use crate::layers::Scope;
use crate::network::{About, Network, Port};
use crate::ops::{Conv, Dim, Init, Ops, Unary};

/// Frames of music that are taken together before anything else looks at them.
const TOGETHER: usize = 5;
/// Shift, scale and gate of each half of a layer.
const MODULATIONS: usize = 6;

/// A transformer over the tokens of a window, one step of a diffusion: noisy tokens, how noisy they
/// are, and what is known of the dance in; the tokens without noise out.
///
/// After W. Peebles, S. Xie, "Scalable diffusion models with transformers", ICCV 2023 (layers that
/// the condition shifts, scales and gates, here frame by frame), with one modulation for all layers
/// and an offset for each as in J. Chen et al., "PixArt-α", ICLR 2024; x₀ is predicted as in G.
/// Tevet et al., "Human motion diffusion model", ICLR 2023.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Motion {
    /// Numbers that a token has inside.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of each attention.
    pub heads: usize,
    /// Names of the styles.
    pub styles: Vec<String>,
    /// How tokens lie in time.
    pub time: Time,
}

/// How tokens lie in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Time {
    /// [`PER_BEAT`] tokens a beat.
    Beats,
    /// [`PER_SECOND`] tokens a second.
    Seconds,
}

impl From<Time> for Clock {
    fn from(time: Time) -> Self {
        match time {
            Time::Beats => Self::Beats,
            Time::Seconds => Self::Seconds,
        }
    }
}

impl Motion {
    /// What all tokens share, `[batch, width]`: how noisy they are, the reference, the style, how
    /// energetic the dance is; the latter two only where `on` `[batch, 1]` is 1.
    fn shared<G: Ops>(
        &self,
        scope: &Scope<G>,
        [timestep, reference, style, energy, on]: [&G::Tensor; 5],
    ) -> Result<G::Tensor> {
        let g = scope.ops;
        let two = |scope: Scope<G>, x: &G::Tensor| -> Result<G::Tensor> {
            let x = g.silu(&scope.at(0).linear(x, self.width)?)?;
            scope.at(1).linear(&x, self.width)
        };
        // [batch] to [batch, width]: sines and cosines of ever longer periods.
        let half = self.width / 2;
        let rates: Vec<f32> = (0..half)
            .map(|k| (-(10_000f64.ln()) * k as f64 / half as f64).exp() as f32)
            .collect();
        let rates = g.constant(ArrayD::from_shape_vec(IxDyn(&[1, half]), rates)?)?;
        let angles = g.mul(&g.unsqueeze(timestep, 1)?, &rates)?;
        let waves = [g.unary(&angles, Unary::Sin)?, g.unary(&angles, Unary::Cos)?];
        let waves = g.concat(&[&waves[0], &waves[1]], 1)?;
        let mut sum = two(scope.at("timestep"), &waves)?;

        // [batch, coordinates] to [batch, width].
        sum = g.add(&sum, &two(scope.at("reference"), reference)?)?;

        // [batch, styles] to [batch, width]; no style at all adds nothing.
        let count = self.styles.len();
        let table = scope.weight("style", &[count, self.width], Init::Normal(0.1))?;
        sum = g.add(&sum, &g.linear(&g.mul(style, on)?, &table, None)?)?;

        // [batch, 2] to [batch, width].
        let table = scope.weight("energy", &[2, self.width], Init::Normal(0.1))?;
        g.add(&sum, &g.linear(&g.mul(energy, on)?, &table, None)?)
    }

    /// The music of each token, `[batch, tokens, width]`; something learned where `on` is 0.
    fn heard<G: Ops>(
        &self,
        scope: &Scope<G>,
        music: &G::Tensor,
        on: &G::Tensor,
    ) -> Result<G::Tensor> {
        let g = scope.ops;
        let geometry = Conv {
            padding: (TOGETHER / 2).into(),
            ..Conv::default()
        };
        // [batch, tokens, values] to [batch, width, tokens] and back.
        let x = g.transpose(music, &[0, 2, 1])?;
        let x = scope
            .at("front")
            .conv(&x, self.width, &[TOGETHER], &geometry)?;
        let x = g.transpose(&g.silu(&x)?, &[0, 2, 1])?;
        let x = scope.at("out").linear(&x, self.width)?;
        let none = scope.weight("none", &[self.width], Init::Normal(0.1))?;
        let on = g.unsqueeze(on, 2)?;
        // on · x + (1 − on) · none.
        g.add(&none, &g.mul(&on, &g.sub(&x, &none)?)?)
    }

    /// `x` normalised, scaled and shifted.
    fn modulated<G: Ops>(
        scope: &Scope<G>,
        x: &G::Tensor,
        [shift, scale]: [&G::Tensor; 2],
    ) -> Result<G::Tensor> {
        let g = scope.ops;
        let x = scope.layer_norm(x)?;
        g.add(&g.add(&x, &g.mul(&x, scale)?)?, shift)
    }

    /// A linear layer that gives zeros before training.
    fn silent<G: Ops>(scope: &Scope<G>, x: &G::Tensor, out: usize) -> Result<G::Tensor> {
        let features = scope.ops.size(x, -1)?;
        let weight = scope.weight("weight", &[features, out], Init::ZEROS)?;
        let bias = scope.weight("bias", &[out], Init::ZEROS)?;
        scope.ops.linear(x, &weight, Some(&bias))
    }
}

impl Network for Motion {
    fn name(&self) -> &str {
        "dabgen-motion"
    }

    fn inputs(&self) -> Vec<Port> {
        let port = |name: &str, shape: &[usize], unit: &str| {
            let shape: Vec<Dim> = std::iter::once(Dim::symbol("batch"))
                .chain(shape.iter().map(|&n| n.into()))
                .collect();
            Port::signal(name, &shape, unit)
        };
        vec![
            port("noisy", &[TOKENS, COORDINATES], pose::TOKEN),
            port("timestep", &[], "steps of the schedule"),
            port("music", &[TOKENS, music::VALUES], music::FEATURES),
            port(
                "reference",
                &[COORDINATES],
                "joints from the pelvis, in sizes of the body",
            ),
            port(
                "style",
                &[self.styles.len()],
                "share of each style, 0 for any",
            ),
            port(
                "energy",
                &[2],
                "ln(mean speed of the joints / usual), 1; or 0, 0 for any",
            ),
            port("known", &[TOKENS, COORDINATES], pose::TOKEN),
            port("mask", &[TOKENS], "1 where the token is known"),
            port(
                "condition",
                &[],
                "1 with music, style and energy, 0 without",
            ),
        ]
    }

    fn outputs(&self) -> Vec<Port> {
        let port = |name: &str, last: usize, unit: &str| {
            Port::signal(
                name,
                &[Dim::symbol("batch"), TOKENS.into(), last.into()],
                unit,
            )
        };
        vec![
            port("motion", COORDINATES, pose::TOKEN),
            port("depth", JOINTS, "behind the pelvis, in sizes of the body"),
        ]
    }

    fn about(&self) -> About {
        let mut parameters = toml::Table::from_iter([
            ("tokens".to_owned(), pose::TOKEN.into()),
            ("music".to_owned(), music::FEATURES.into()),
            ("steps".to_owned(), (schedule::STEPS as i64).into()),
            ("given".to_owned(), (GIVEN as i64).into()),
            (
                "styles".to_owned(),
                self.styles
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .into(),
            ),
        ]);
        let frame_rate = match self.time {
            Time::Beats => {
                parameters.insert("tokens_per_beat".into(), (PER_BEAT as i64).into());
                None
            }
            Time::Seconds => Some(PER_SECOND),
        };
        About {
            task: "dance-motion".into(),
            description:
                "One step of a diffusion of dance motion: what the joints of a dancer are \
                          without noise, given music, a reference pose, and the tokens before"
                    .into(),
            frame_rate,
            labels: Vec::new(),
            parameters,
        }
    }

    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
        let [
            noisy,
            timestep,
            music,
            reference,
            style,
            energy,
            known,
            mask,
            condition,
        ] = inputs
        else {
            bail!("{} inputs", inputs.len());
        };
        let g = scope.ops;
        let width = self.width;

        // What is known has no noise: [batch, tokens, 40], with 1 for known [batch, tokens, 41].
        let mask = g.unsqueeze(mask, 2)?;
        let merged = |made: &G::Tensor| g.add(made, &g.mul(&mask, &g.sub(known, made)?)?);
        let x = g.concat(&[&merged(noisy)?, &mask], 2)?;
        let x = scope.at("token").linear(&x, width)?;

        // The music is added to the tokens, and modulates the layers together with what all tokens
        // share: [batch, tokens, width].
        let on = g.unsqueeze(condition, 1)?;
        let heard = self.heard(&scope.at("music"), music, &on)?;
        let shared = self.shared(
            &scope.at("shared"),
            [timestep, reference, style, energy, &on],
        )?;
        let places = scope.weight("place", &[TOKENS, width], Init::Normal(0.1))?;
        let mut x = g.add(&g.add(&x, &heard)?, &places)?;
        let context = g.silu(&g.add(&heard, &g.unsqueeze(&shared, 1)?)?)?;

        // Attention over tokens, then each token by itself; the modulation of all layers is one,
        // [batch, tokens, 6 · width], with an offset for each.
        let modulation = Self::silent(&scope.at("modulation"), &context, MODULATIONS * width)?;
        for n in 0..self.layers {
            let layer = scope.at("layer").at(n);
            let offset = layer.weight("offset", &[MODULATIONS * width], Init::ZEROS)?;
            let all = g.add(&modulation, &offset)?;
            let part = |k: usize| {
                let (from, to) = ((k * width) as i64, ((k + 1) * width) as i64);
                g.slice(&all, 2, from, Some(to))
            };
            let gated = |y: &G::Tensor, gate: &G::Tensor| g.add(y, &g.mul(y, gate)?);
            let h = Self::modulated(&layer.at("norm"), &x, [&part(0)?, &part(1)?])?;
            let h = layer.at("attention").attention(&h, &h, self.heads, None)?;
            x = g.add(&x, &gated(&h, &part(2)?)?)?;
            let h = Self::modulated(&layer.at("norm2"), &x, [&part(3)?, &part(4)?])?;
            let h = g.gelu(&layer.at("in").linear(&h, 4 * width)?)?;
            let h = layer.at("out").linear(&h, width)?;
            x = g.add(&x, &gated(&h, &part(5)?)?)?;
        }

        // [batch, tokens, 40] and [batch, tokens, 20].
        let last = Self::silent(&scope.at("last"), &context, 2 * width)?;
        let ends = [
            g.slice(&last, 2, 0, Some(width as i64))?,
            g.slice(&last, 2, width as i64, None)?,
        ];
        let x = Self::modulated(&scope.at("norm"), &x, [&ends[0], &ends[1]])?;
        let motion = Self::silent(&scope.at("motion"), &x, COORDINATES)?;
        let depth = Self::silent(&scope.at("depth"), &x, JOINTS)?;
        Ok(vec![merged(&motion)?, depth])
    }
}
