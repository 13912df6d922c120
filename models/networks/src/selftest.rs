// SPDX-License-Identifier: MPL-2.0
//! A small network that proves the machinery: it has a convolution and a recurrence, and state.

use crate::layers::Scope;
use crate::network::{About, Network, Port};
use crate::ops::{Conv, Dim, Ops};
use anyhow::Result;

/// Convolution, layer normalisation, recurrence, linear layer; causal, with explicit state.
#[derive(Clone, Debug)]
pub struct Small {
    /// The channels of the convolution.
    pub channels: usize,
    /// The units of the recurrence.
    pub hidden: usize,
}

/// Taps of the convolution.
pub const KERNEL: usize = 3;

impl Network for Small {
    fn name(&self) -> &str {
        "selftest"
    }

    fn inputs(&self) -> Vec<Port> {
        let batch = || Dim::symbol("batch");
        vec![
            Port::signal("signal", &[batch(), 1.into(), "time".into()], "amplitude"),
            Port::state("past", &[batch(), 1.into(), (KERNEL - 1).into()]),
            Port::state("hidden", &[batch(), self.hidden.into()]),
        ]
    }

    fn outputs(&self) -> Vec<Port> {
        let batch = || Dim::symbol("batch");
        vec![
            Port::signal("activation", &[batch(), "time".into()], "logit"),
            Port::state("past_next", &[batch(), 1.into(), (KERNEL - 1).into()]),
            Port::state("hidden_next", &[batch(), self.hidden.into()]),
        ]
    }

    fn about(&self) -> About {
        About {
            task: "selftest".into(),
            description: "Rises of a signal while its running mean is positive".into(),
            labels: vec!["rise".into()],
            ..About::default()
        }
    }

    fn forward<G: Ops>(&self, scope: &Scope<G>, inputs: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
        let [signal, past, hidden] = inputs else {
            anyhow::bail!("{} inputs, not 3", inputs.len());
        };
        let g = scope.ops;
        let x = g.concat(&[past, signal], -1)?;
        let past = g.slice(&x, -1, -(KERNEL as i64 - 1), None)?;
        let y = scope
            .at("conv")
            .conv(&x, self.channels, &[KERNEL], &Conv::default())?;
        let y = g.silu(&y)?;
        let y = g.transpose(&y, &[0, 2, 1])?;
        let y = scope.at("norm").layer_norm(&y)?;
        let (y, hidden) = scope.at("gru").gru(&y, hidden)?;
        let y = scope.at("head").linear(&g.dropout(&y, 0.05)?, 1)?;
        Ok(vec![g.squeeze(&y, -1)?, past, hidden])
    }
}
