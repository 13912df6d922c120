// SPDX-License-Identifier: MPL-2.0
//! Small networks, one for each operation, and two composed ones.
// Each test uses its own part of this.
#![allow(dead_code)]

use anyhow::Result;
use dance_networks::layers::Scope;
use dance_networks::network::{About, Array, Network, Port};
use dance_networks::ops::{
    Binary, Compare, Conv, ConvTranspose, Dim, Gru, Init, Interpolation, Ops, Outside, PadMode,
    Reduce, Size, Unary,
};
use std::collections::BTreeMap;

/// `["batch", 3, …]`: numbers are fixed, words are symbols.
fn port(name: &str, shape: &str) -> Port {
    let shape: Vec<Dim> = shape
        .split(' ')
        .map(|dim| match dim.parse::<usize>() {
            Ok(n) => n.into(),
            Err(_) => dim.into(),
        })
        .collect();
    Port::signal(name, &shape, "")
}

/// A float32 weight that is nowhere zero or one, so that a bias or scale left out shows.
fn weight<G: Ops>(scope: &Scope<G>, name: &str, shape: &[usize]) -> Result<G::Tensor> {
    scope.weight(name, shape, Init::Normal(0.4))
}

/// Defines networks and a visitor over all of them. The numbers are the ranks of the outputs.
macro_rules! networks {
    ($($(#[$meta:meta])* $name:ident ( $($input:expr),* ) -> [ $($rank:literal),* ]
        |$s:ident, $g:ident, $x:ident| $body:block)*) => {
        $(
            #[allow(non_camel_case_types)]
            pub struct $name;
            impl Network for $name {
                fn name(&self) -> &str {
                    stringify!($name)
                }
                fn inputs(&self) -> Vec<Port> {
                    vec![$($input),*]
                }
                fn outputs(&self) -> Vec<Port> {
                    let ranks: &[usize] = &[$($rank),*];
                    ranks.iter().enumerate().map(|(i, &rank)| {
                        let shape: Vec<Dim> =
                            (0..rank).map(|axis| Dim::symbol(format!("y{i}_{axis}"))).collect();
                        Port::signal(&format!("y{i}"), &shape, "")
                    }).collect()
                }
                fn about(&self) -> About {
                    About::default()
                }
                fn forward<G: Ops>(&self, $s: &Scope<G>, $x: &[G::Tensor]) -> Result<Vec<G::Tensor>> {
                    let $g = $s.ops;
                    $body
                }
            }
        )*
        /// Visits every network.
        pub fn visit(mut visitor: impl Visitor) {
            $(visitor.visit(&$name);)*
        }
    };
}

/// What is done with each network.
pub trait Visitor {
    fn visit<N: Network>(&mut self, network: &N);
}

networks! {
    conv1d(port("x", "batch 4 time")) -> [3, 3, 3] |s, g, x| {
        let w = weight(s, "w", &[6, 4, 3])?;
        let b = weight(s, "b", &[6])?;
        let depthwise = weight(s, "d", &[4, 1, 3])?;
        Ok(vec![
            g.conv(&x[0], &w, Some(&b), &Conv { padding: 1.into(), ..Conv::default() })?,
            g.conv(&x[0], &w, None, &Conv { stride: 2.into(), dilation: 2.into(), padding: 3.into(), ..Conv::default() })?,
            g.conv(&x[0], &depthwise, None, &Conv { groups: 4, ..Conv::default() })?,
        ])
    }
    conv2d(port("x", "batch 3 9 12")) -> [4] |s, g, x| {
        let w = weight(s, "w", &[5, 3, 3, 2])?;
        let b = weight(s, "b", &[5])?;
        let geometry = Conv { stride: [2, 1].into(), padding: [1, 0].into(), dilation: [1, 3].into(), groups: 1 };
        Ok(vec![g.conv(&x[0], &w, Some(&b), &geometry)?])
    }
    conv3d(port("x", "batch 2 time 6 5")) -> [5] |s, g, x| {
        let w = weight(s, "w", &[4, 2, 3, 3, 3])?;
        let b = weight(s, "b", &[4])?;
        let geometry = Conv { stride: [1, 2, 2].into(), padding: [0, 1, 1].into(), ..Conv::default() };
        Ok(vec![g.conv(&x[0], &w, Some(&b), &geometry)?])
    }
    conv_transpose(port("a", "batch 4 time"), port("b", "batch 4 5 6"), port("c", "batch 2 3 4 5")) -> [3, 4, 5] |s, g, x| {
        let bias = weight(s, "bias", &[6])?;
        let one = weight(s, "one", &[4, 3, 4])?;
        let two = weight(s, "two", &[4, 6, 3, 2])?;
        let three = weight(s, "three", &[2, 6, 2, 3, 3])?;
        Ok(vec![
            g.conv_transpose(&x[0], &one, Some(&bias), &ConvTranspose { stride: 2.into(), padding: 1.into(), groups: 2, ..ConvTranspose::default() })?,
            g.conv_transpose(&x[1], &two, Some(&bias), &ConvTranspose { stride: [2, 3].into(), padding: [1, 0].into(), output_padding: [1, 2].into(), ..ConvTranspose::default() })?,
            g.conv_transpose(&x[2], &three, None, &ConvTranspose { stride: [1, 2, 2].into(), dilation: [2, 1, 1].into(), ..ConvTranspose::default() })?,
        ])
    }
    group_norm(port("a", "batch 6 time"), port("b", "batch 6 height width")) -> [3, 4] |s, g, x| {
        let scale = weight(s, "scale", &[6])?;
        let bias = weight(s, "bias", &[6])?;
        Ok(vec![
            g.group_norm(&x[0], 3, &scale, &bias, 1e-5)?,
            g.group_norm(&x[1], 2, &scale, &bias, 1e-3)?,
        ])
    }
    instance_norm(port("x", "batch 5 7 time")) -> [4] |s, g, x| {
        let scale = weight(s, "scale", &[5])?;
        let bias = weight(s, "bias", &[5])?;
        Ok(vec![g.instance_norm(&x[0], &scale, &bias, 1e-5)?])
    }
    layer_norm(port("x", "batch time 5")) -> [3] |s, g, x| {
        let scale = weight(s, "scale", &[5])?;
        let bias = weight(s, "bias", &[5])?;
        Ok(vec![g.layer_norm(&x[0], &scale, &bias, 1e-5)?])
    }
    linear(port("x", "batch time 5")) -> [3, 3] |s, g, x| {
        let w = weight(s, "w", &[5, 7])?;
        let b = weight(s, "b", &[7])?;
        Ok(vec![g.linear(&x[0], &w, Some(&b))?, g.linear(&x[0], &w, None)?])
    }
    matmul(port("a", "batch 2 time 5"), port("b", "2 5 3")) -> [4] |_s, g, x| {
        Ok(vec![g.matmul(&x[0], &x[1])?])
    }
    softmax(port("x", "batch 4 time")) -> [3, 3] |_s, g, x| {
        Ok(vec![g.softmax(&x[0], 1)?, g.softmax(&x[0], -1)?])
    }
    attention(port("q", "batch 2 time 4"), port("k", "batch 2 5 4"), port("v", "batch 2 5 3"), port("m", "time 5")) -> [4, 4] |_s, g, x| {
        Ok(vec![
            g.attention(&x[0], &x[1], &x[2], None)?,
            g.attention(&x[0], &x[1], &x[2], Some(&x[3]))?,
        ])
    }
    grid_sample(port("x", "batch 3 6 8"), port("grid", "batch 5 4 2")) -> [4, 4, 4, 4] |_s, g, x| {
        Ok(vec![
            g.grid_sample(&x[0], &x[1], Outside::Zeros, true)?,
            g.grid_sample(&x[0], &x[1], Outside::Zeros, false)?,
            g.grid_sample(&x[0], &x[1], Outside::Border, true)?,
            g.grid_sample(&x[0], &x[1], Outside::Border, false)?,
        ])
    }
    resize(port("a", "batch 3 5 6"), port("b", "batch 3 time")) -> [4, 4, 4, 4, 4, 3, 3] |_s, g, x| {
        let between = |align_corners| Interpolation::Linear { align_corners };
        Ok(vec![
            g.resize(&x[0], &Size::Scale(vec![2, 3]), Interpolation::Nearest)?,
            g.resize(&x[0], &Size::Scale(vec![2, 3]), between(true))?,
            g.resize(&x[0], &Size::Scale(vec![2, 3]), between(false))?,
            g.resize(&x[0], &Size::To(vec![3, 10]), between(true))?,
            g.resize(&x[0], &Size::To(vec![3, 10]), between(false))?,
            g.resize(&x[1], &Size::Scale(vec![2]), between(false))?,
            g.resize(&x[1], &Size::To(vec![4]), Interpolation::Nearest)?,
        ])
    }
    pad(port("x", "batch 3 4 time")) -> [4, 4, 4, 4] |_s, g, x| {
        Ok(vec![
            g.pad(&x[0], -1, 2, 1, PadMode::Constant(0.5))?,
            g.pad(&x[0], 1, 1, 0, PadMode::Constant(0.0))?,
            g.pad(&x[0], -2, 2, 3, PadMode::Reflect)?,
            g.pad(&x[0], -1, 2, 0, PadMode::Edge)?,
        ])
    }
    slice(port("x", "batch 5 time")) -> [3, 3, 3, 3, 3] |_s, g, x| {
        Ok(vec![
            g.slice(&x[0], 1, 1, Some(4))?,
            g.slice(&x[0], 1, -2, None)?,
            g.slice(&x[0], -1, 2, None)?,
            g.slice(&x[0], -1, 1, Some(-1))?,
            g.slice(&x[0], -1, -3, None)?,
        ])
    }
    concat(port("a", "batch 2 time"), port("b", "batch 3 time")) -> [3, 3] |_s, g, x| {
        Ok(vec![
            g.concat(&[&x[0], &x[1], &x[0]], 1)?,
            g.concat(&[&x[0], &x[0]], -1)?,
        ])
    }
    gather(port("x", "batch 4 5"), Port::indices("i", &["batch".into(), 2.into()], 4)) -> [4, 3] |s, g, x| {
        let table = weight(s, "table", &[4, 6])?;
        Ok(vec![g.gather(&x[0], &x[1], 1)?, g.gather(&table, &x[1], 0)?])
    }
    reduce(port("x", "batch 4 time")) -> [3, 2, 1, 2, 0] |_s, g, x| {
        Ok(vec![
            g.reduce(&x[0], Reduce::Sum, &[1], true)?,
            g.reduce(&x[0], Reduce::Mean, &[-1], false)?,
            g.reduce(&x[0], Reduce::Max, &[1, 2], false)?,
            g.reduce(&x[0], Reduce::Min, &[2], false)?,
            g.mean_all(&x[0])?,
        ])
    }
    axes(port("x", "batch time 6")) -> [3, 4, 2, 3, 4, 3, 3] |_s, g, x| {
        let merged = g.reshape(&x[0], &[-1, 6])?;
        let back = g.unflatten(&merged, &x[0], 2)?;
        let long = g.unsqueeze(&x[0], 1)?;
        let short = g.squeeze(&long, 1)?;
        let first = g.slice(&x[0], -1, 0, Some(1))?;
        Ok(vec![
            g.transpose(&x[0], &[2, 0, 1])?,
            g.reshape(&x[0], &[0, 0, 2, 3])?,
            merged,
            back,
            long,
            short,
            g.expand_as(&first, &x[0])?,
        ])
    }
    unary(port("x", "batch time")) -> [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2] |_s, g, x| {
        let positive = g.add(&g.unary(&x[0], Unary::Abs)?, &g.scalar(0.1)?)?;
        Ok(vec![
            g.relu(&x[0])?,
            g.leaky_relu(&x[0], 0.1)?,
            g.gelu(&x[0])?,
            g.silu(&x[0])?,
            g.sigmoid(&x[0])?,
            g.tanh(&x[0])?,
            g.unary(&x[0], Unary::Softplus)?,
            g.unary(&x[0], Unary::Exp)?,
            g.unary(&positive, Unary::Log)?,
            g.unary(&positive, Unary::Sqrt)?,
            positive,
            g.unary(&x[0], Unary::Neg)?,
            g.unary(&x[0], Unary::Sin)?,
            g.unary(&x[0], Unary::Cos)?,
        ])
    }
    binary(port("a", "batch 3 time"), port("b", "3 1")) -> [3, 3, 3, 3, 3, 3, 3, 3] |_s, g, x| {
        let positive = g.add(&g.unary(&x[0], Unary::Abs)?, &g.scalar(0.5)?)?;
        let divisor = g.add(&g.unary(&x[1], Unary::Abs)?, &g.scalar(0.5)?)?;
        Ok(vec![
            g.add(&x[0], &x[1])?,
            g.sub(&x[1], &x[0])?,
            g.mul(&x[0], &x[1])?,
            g.div(&x[0], &divisor)?,
            g.binary(&positive, &x[1], Binary::Pow)?,
            g.binary(&x[0], &x[1], Binary::Max)?,
            g.binary(&x[0], &x[1], Binary::Min)?,
            g.clamp(&x[0], -0.5, 0.75)?,
        ])
    }
    compare(port("a", "batch 3"), port("b", "3")) -> [2, 2, 2, 2, 2] |_s, g, x| {
        let all = [Compare::Greater, Compare::GreaterOrEqual, Compare::Less, Compare::LessOrEqual, Compare::Equal];
        // Rounded, so that equality occurs.
        let a = g.clamp(&x[0], -0.1, 0.1)?;
        let b = g.clamp(&x[1], -0.1, 0.1)?;
        all.iter().map(|&c| g.select(&g.compare(&a, &b, c)?, &x[0], &x[1])).collect()
    }
    gru(port("x", "batch time 5"), port("h", "batch 4")) -> [3, 2] |s, g, x| {
        let weights = Gru {
            input: weight(s, "input", &[12, 5])?,
            recurrent: weight(s, "recurrent", &[12, 4])?,
            bias: weight(s, "bias", &[24])?,
        };
        let (all, last) = g.gru(&x[0], &x[1], &weights)?;
        Ok(vec![all, last])
    }
    /// What causal networks do with an axis of time that may be as short as one frame.
    causal(port("a", "batch 3 frames"), port("past", "batch 3 6"), port("b", "batch 2 frames 9")) -> [3, 3, 4, 4, 3, 3] |s, g, x| {
        let dilated = weight(s, "dilated", &[4, 3, 3])?;
        let plane = weight(s, "plane", &[4, 2, 2, 3])?;
        let bias = weight(s, "bias", &[4])?;
        let geometry = Conv { dilation: 3.into(), ..Conv::default() };
        let joined = g.concat(&[&x[1], &x[0]], -1)?;
        let padded = g.pad(&x[0], -1, 6, 0, PadMode::Constant(0.0))?;
        let wide = g.pad(&g.pad(&x[2], -1, 0, 2, PadMode::Constant(0.0))?, 2, 1, 0, PadMode::Constant(0.0))?;
        let edge = g.pad(&x[2], -1, 1, 2, PadMode::Edge)?;
        let strided = Conv { stride: [1, 2].into(), ..Conv::default() };
        let padding = Conv { stride: [1, 2].into(), padding: [1, 0].into(), dilation: [2, 1].into(), groups: 1 };
        Ok(vec![
            g.conv(&joined, &dilated, Some(&bias), &geometry)?,
            g.conv(&padded, &dilated, None, &geometry)?,
            g.conv(&wide, &plane, Some(&bias), &strided)?,
            g.conv(&edge, &plane, None, &padding)?,
            g.slice(&joined, -1, -6, None)?,
            g.slice(&joined, -1, 0, Some(-2))?,
        ])
    }
    /// A streaming network over frames of a spectrum, with explicit state; its states come last.
    network_stream(port("x", "batch frames 20"), port("past", "batch 1 2 20"), port("deep", "batch 28 8"), port("h", "batch 6")) -> [3, 4, 3, 2] |s, g, x| {
        let y = g.concat(&[&x[1], &g.unsqueeze(&x[0], 1)?], 2)?;
        let past = g.slice(&y, 2, -2, None)?;
        let y = g.pad(&y, -1, 2, 1, PadMode::Constant(0.0))?;
        let strided = Conv { stride: [1, 3].into(), ..Conv::default() };
        let y = g.silu(&s.at("plane").conv(&y, 4, &[3, 3], &strided)?)?;
        let y = g.reshape(&g.transpose(&y, &[0, 1, 3, 2])?, &[0, 28, -1])?;
        let joined = g.concat(&[&x[2], &y], -1)?;
        let deep = g.slice(&joined, -1, -8, None)?;
        let dilated = Conv { dilation: 4.into(), ..Conv::default() };
        let z = g.relu(&s.at("line").conv(&joined, 28, &[3], &dilated)?)?;
        let y = g.transpose(&g.add(&y, &z)?, &[0, 2, 1])?;
        let (y, h) = s.at("gru").gru(&s.at("norm").layer_norm(&y)?, &x[3])?;
        Ok(vec![s.at("head").linear(&y, 3)?, past, deep, h])
    }
    /// The layers of a transformer block.
    network_transformer(port("x", "batch time 8"), port("memory", "batch 5 6")) -> [3] |s, g, x| {
        let y = s.at("norm").layer_norm(&x[0])?;
        let y = g.add(&x[0], &s.at("attention").attention(&y, &x[1], 2, None)?)?;
        let z = s.at("norm2").layer_norm(&y)?;
        let z = g.gelu(&s.at("wide").linear(&z, 16)?)?;
        Ok(vec![g.add(&y, &s.at("narrow").linear(&g.dropout(&z, 0.1)?, 8)?)?])
    }
    /// The layers of an encoder and decoder with warping.
    network_pictures(port("x", "batch 3 16 16"), port("flow", "batch 16 16 2")) -> [4] |s, g, x| {
        let down = Conv { stride: 2.into(), padding: 1.into(), ..Conv::default() };
        let y = s.at("encoder").at(0).conv(&x[0], 8, &[3, 3], &down)?;
        let y = g.silu(&s.at("encoder").at(1).group_norm(&y, 4)?)?;
        let y = s.at("encoder").at(2).instance_norm(&y)?;
        let up = ConvTranspose { stride: 2.into(), padding: 1.into(), ..ConvTranspose::default() };
        let a = s.at("decoder").conv_transpose(&y, 4, &[4, 4], &up)?;
        let b = g.resize(&y, &Size::Scale(vec![2, 2]), Interpolation::Linear { align_corners: false })?;
        let y = g.concat(&[&a, &b], 1)?;
        Ok(vec![g.grid_sample(&y, &x[1], Outside::Border, true)?])
    }
}

/// The extents of two runs: another batch size, and other lengths. `frames` is what a network is
/// fed as it comes, and in a piece.
pub fn extents() -> [BTreeMap<String, usize>; 2] {
    [(1, 7, 1, 5, 9), (3, 12, 37, 4, 6)].map(|(batch, time, frames, height, width)| {
        [
            ("batch", batch),
            ("time", time),
            ("frames", frames),
            ("height", height),
            ("width", width),
        ]
        .map(|(name, n)| (name.to_owned(), n))
        .into()
    })
}

/// Random inputs.
pub fn inputs<N: Network>(
    network: &N,
    extents: &BTreeMap<String, usize>,
) -> BTreeMap<String, Array> {
    network
        .inputs()
        .iter()
        .map(|port| (port.name.clone(), port.random(3, extents).unwrap()))
        .collect()
}
