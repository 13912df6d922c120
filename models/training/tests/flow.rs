// SPDX-License-Identifier: MPL-2.0
//! The parts of the networks of optical flow compute what they say.
// The helpers of tests are tests, too, and fail as they do.
#![allow(clippy::panic, clippy::unwrap_used)]
#![cfg(feature = "libtorch")]

use dance_networks::flow::{cost_volume, warp};
use dance_networks::network::Array;
use dance_networks::weights::{self, Weights};
use dance_training::config::Precision;
use dance_training::torch::{Torch, Value, download};
use ndarray::Array4;

fn torch() -> Torch {
    Torch::new(tch::Device::Cpu, Precision::Float32, Weights::Seeded(1))
}

fn noise(seed: u64, shape: [usize; 4]) -> Array4<f32> {
    let mut rng = weights::rng(seed, "noise");
    let values = weights::normal(&mut rng, shape.iter().product());
    Array4::from_shape_vec(shape, values).unwrap()
}

fn tensor(torch: &Torch, array: &Array4<f32>) -> Value {
    torch.tensor(&Array::from(array.clone())).unwrap()
}

#[test]
fn costs_are_means_of_products_with_displaced_features() {
    let (batch, channels, height, width) = (2, 5, 6, 9);
    let shape = [batch, channels, height, width];
    let (a, b) = (noise(1, shape), noise(2, shape));
    for reach in [1, 3] {
        let torch = torch();
        let found = cost_volume(&torch, &tensor(&torch, &a), &tensor(&torch, &b), reach);
        let found = download(&found.unwrap()).unwrap();
        let n = 2 * reach + 1;
        assert_eq!(found.shape(), [batch, n * n, height, width]);
        for (at, value) in found.indexed_iter() {
            let (dy, dx) = (at[1] / n, at[1] % n);
            let (y, x) = (at[2] + dy, at[3] + dx);
            let inside = y >= reach && x >= reach;
            let mut sum = 0.0;
            for c in 0..channels {
                let there = inside
                    .then(|| b.get([at[0], c, y - reach, x - reach]))
                    .flatten();
                sum += a[[at[0], c, at[2], at[3]]] * there.copied().unwrap_or(0.0);
            }
            let right = sum / channels as f32;
            assert!((value - right).abs() < 1e-5, "{at:?}: {value} {right}");
        }
    }
}

#[test]
fn warping_reads_where_the_flow_leads() {
    let torch = torch();
    let x = noise(3, [1, 2, 5, 7]);
    let flow = Array4::from_shape_fn((1, 2, 5, 7), |(_, axis, _, _)| [2.0, -1.0][axis]);
    let found = warp(&torch, &tensor(&torch, &x), &tensor(&torch, &flow), 0.5).unwrap();
    let found = download(&found).unwrap();
    // One pixel to the right, half a pixel up.
    for (y, x0) in [(1, 0), (3, 4), (4, 5)] {
        let right = (x[[0, 1, y, x0 + 1]] + x[[0, 1, y - 1, x0 + 1]]) / 2.0;
        assert!((found[[0, 1, y, x0]] - right).abs() < 1e-5);
    }
    assert_eq!(found[[0, 0, 2, 6]], 0.0);
}
