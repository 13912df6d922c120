// SPDX-License-Identifier: MPL-2.0
//! Dances without end, window after window.

use super::sampler::{Denoiser, Settings, noise, sample};
use super::schedule::Schedule;
use super::{COORDINATES, GIVEN, TOKENS};

/// What of a window is known before it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// [`TOKENS`] × [`COORDINATES`]: the tokens that are known, 0 elsewhere.
    pub tokens: Vec<f32>,
    /// How many of them are, from the first on.
    pub known: usize,
}

/// One dance, which goes on for ever.
#[derive(Clone, Debug)]
pub struct Dance {
    seed: u64,
    number: u64,
    /// The last tokens of the window before, or those that the dance starts from.
    known: Vec<f32>,
}

impl Dance {
    /// A dance that starts as it likes.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            number: 0,
            known: Vec::new(),
        }
    }

    /// A dance that starts from the pose of the reference picture.
    pub fn from_reference(seed: u64) -> Self {
        Self {
            known: vec![0.0; COORDINATES],
            ..Self::new(seed)
        }
    }

    /// What is known of the next window.
    pub fn start(&self) -> Start {
        let mut tokens = vec![0.0; TOKENS * COORDINATES];
        tokens[..self.known.len()].copy_from_slice(&self.known);
        Start {
            tokens,
            known: self.known.len() / COORDINATES,
        }
    }

    /// The number of the next window.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Makes the next window with a network that has its music, and what [`start`](Self::start)
    /// says; gives the tokens that are new.
    ///
    /// # Errors
    /// The network's. The dance is then as it was.
    pub fn next<D: Denoiser>(
        &mut self,
        network: &mut D,
        schedule: &Schedule,
        settings: &Settings,
    ) -> Result<Vec<f32>, D::Error> {
        let count = TOKENS * COORDINATES;
        let made = sample(
            network,
            schedule,
            settings,
            noise(self.seed, self.number, count),
        )?;
        Ok(self.accept(&made))
    }

    /// Goes on after a window that was made elsewhere; gives its new tokens. The first of them are
    /// moved so that they go on where those before end, and as fast.
    pub fn accept(&mut self, window: &[f32]) -> Vec<f32> {
        let mut new = window.get(self.known.len()..).unwrap_or_default().to_vec();
        self.join(&mut new);
        let from = window.len().saturating_sub(GIVEN * COORDINATES);
        self.known = window[from..].to_vec();
        self.number += 1;
        new
    }

    fn join(&self, new: &mut [f32]) {
        let before = self.known.len() / COORDINATES;
        if before == 0 || new.len() < 2 * COORDINATES {
            return;
        }
        for c in 0..COORDINATES {
            let known = |n: usize| self.known[n * COORDINATES + c];
            let ahead = new[COORDINATES + c] - new[c];
            // The reference alone has no speed.
            let behind = if before > 1 {
                known(before - 1) - known(before - 2)
            } else {
                ahead
            };
            let off = known(before - 1) + 0.5 * (behind + ahead) - new[c];
            for (k, token) in new.chunks_exact_mut(COORDINATES).take(JOIN).enumerate() {
                let left = 1.0 - k as f32 / JOIN as f32;
                token[c] += off * left * left * (3.0 - 2.0 * left);
            }
        }
    }
}

/// Tokens over which a new window comes back to where it was made.
const JOIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::sampler::Predicted;
    use super::*;

    /// Counts tokens on from what is known.
    struct Counting {
        start: Start,
    }

    impl Denoiser for Counting {
        type Error = ();

        fn denoise(&mut self, noisy: &[f32], _: usize, guided: bool) -> Result<Predicted, ()> {
            let known = self.start.known;
            let last = known
                .checked_sub(1)
                .map(|n| self.start.tokens[n * COORDINATES]);
            let clean: Vec<f32> = (0..noisy.len())
                .map(|n| {
                    let token = n / COORDINATES;
                    if token < known {
                        self.start.tokens[n]
                    } else {
                        last.unwrap_or(-0.01) + 0.01 * (token + 1 - known) as f32
                    }
                })
                .collect();
            Ok(Predicted {
                unconditional: if guided { clean.clone() } else { Vec::new() },
                conditional: clean,
            })
        }
    }

    #[test]
    fn windows_join_without_a_seam() {
        let (schedule, settings) = (Schedule::default(), Settings::default());
        for mut dance in [Dance::new(1), Dance::from_reference(1)] {
            let mut all = Vec::new();
            for n in 0..4 {
                assert_eq!(dance.number(), n);
                let mut network = Counting {
                    start: dance.start(),
                };
                all.extend(dance.next(&mut network, &schedule, &settings).unwrap());
            }
            let steps = all.chunks_exact(COORDINATES).map(|token| token[0]);
            let first = all[0];
            for (n, x) in steps.enumerate() {
                assert!((x - first - 0.01 * n as f32).abs() < 1e-4, "{n} {x}");
            }
            let known = all.len() / COORDINATES;
            assert!(known == 4 * TOKENS - 3 * GIVEN || known == 4 * TOKENS - 3 * GIVEN - 1);
        }
    }

    #[test]
    fn a_window_that_jumps_is_joined() {
        let mut dance = Dance::new(1);
        let window = |high: f32| -> Vec<f32> {
            let tokens = 0..TOKENS * COORDINATES;
            tokens
                .map(|n| if n < GIVEN * COORDINATES { 0.0 } else { high })
                .collect()
        };
        dance.accept(&window(0.0));
        let new = dance.accept(&window(1.0));
        let heights: Vec<f32> = new
            .chunks_exact(COORDINATES)
            .map(|token| token[0])
            .collect();
        assert!(heights[0].abs() < 1e-6 && (heights[JOIN] - 1.0).abs() < 1e-6);
        for pair in heights.windows(2) {
            assert!((-1e-6..0.25).contains(&(pair[1] - pair[0])), "{heights:?}");
        }
        // The next window starts from what was made, not from what was moved.
        assert_eq!(dance.start().tokens[0], 1.0);
    }
}
