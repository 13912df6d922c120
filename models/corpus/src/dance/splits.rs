// SPDX-License-Identifier: MPL-2.0
//! What trains and what is held out, factor by factor.

use super::camera::VIEWS;
use crate::{Error, Split};
use std::str::FromStr;

/// What splits may hold out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// People.
    Bodies,
    /// Songs, and the sounds they are played with.
    Songs,
    /// Moves, and variations of moves.
    Moves,
    /// Genres on songs: both are known, but not together.
    GenresBySong,
    /// Camera views.
    Views,
}

impl FromStr for Factor {
    type Err = Error;

    /// Reads `bodies`, `songs`, `moves`, `genres-by-song`, `views`.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "bodies" => Ok(Self::Bodies),
            "songs" => Ok(Self::Songs),
            "moves" => Ok(Self::Moves),
            "genres-by-song" => Ok(Self::GenresBySong),
            "views" => Ok(Self::Views),
            _ => Err(Error::Config(format!(
                "nothing called {name} can be held out: bodies, songs, moves, genres-by-song or views"
            ))),
        }
    }
}

/// All of them.
pub const FACTORS: [Factor; 5] = [
    Factor::Bodies,
    Factor::Songs,
    Factor::Moves,
    Factor::GenresBySong,
    Factor::Views,
];

/// A split, and what it holds out; all else is as in training.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Which.
    pub split: Split,
    /// What it holds out; without effect in training.
    pub held_out: Vec<Factor>,
}

impl Share {
    /// A split that holds out everything.
    pub fn all(split: Split) -> Self {
        Self {
            split,
            held_out: FACTORS.to_vec(),
        }
    }

    /// The split whose share of a factor is drawn from.
    pub fn class(&self, factor: Factor) -> Split {
        if self.held_out.contains(&factor) {
            self.split
        } else {
            Split::Training
        }
    }

    /// One of `count` people, or an error when there are too few.
    pub fn person(&self, count: u64, random: &mut crate::random::Random) -> Result<u64, Error> {
        let class = self.class(Factor::Bodies);
        for _ in 0..1_000 {
            let person = random.index(count as usize) as u64;
            if tenth(person) == class {
                return Ok(person);
            }
        }
        Err(Error::Config(format!(
            "people = {count}: too few to hold any out"
        )))
    }

    /// The number of the song of a group of clips, of `count` songs; `finite` where they are a
    /// list of recordings.
    pub fn song(&self, group: u64, count: u64, finite: bool) -> Result<u64, Error> {
        let class = self.class(Factor::Songs);
        if !finite {
            // Held-out bands play on other instruments; their numbers part validation from test.
            let number = group % count;
            return Ok(match class {
                Split::Training => number,
                Split::Validation => 2 * number,
                Split::Test => 2 * number + 1,
            });
        }
        let of_class: Vec<u64> = (0..count).filter(|&n| tenth(n) == class).collect();
        match of_class.len() as u64 {
            0 => Err(Error::Config(format!(
                "{count} recordings are too few to hold any out"
            ))),
            n => Ok(of_class[(group % n) as usize]),
        }
    }

    /// Whether a variation of a move is danced.
    pub fn allows(&self, index: usize, variation: u64) -> bool {
        let class = match (index % 13, variation) {
            (5, _) => Split::Validation,
            (8, _) => Split::Test,
            (_, 6) => Split::Validation,
            (_, 7) => Split::Test,
            _ => Split::Training,
        };
        class == self.class(Factor::Moves)
    }

    /// Whether a genre is danced to a song.
    pub fn pairs(&self, genre: usize, song: u64) -> bool {
        let mixed = (song.wrapping_mul(31).wrapping_add(genre as u64 * 7))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> 40;
        tenth(mixed) == self.class(Factor::GenresBySong)
    }

    /// The views that are filmed from.
    pub fn views(&self) -> Vec<usize> {
        let class = |view: usize| match view {
            3 => Split::Validation,
            6 => Split::Test,
            _ => Split::Training,
        };
        (0..VIEWS)
            .filter(|&v| class(v) == self.class(Factor::Views))
            .collect()
    }
}

/// Eight parts train, one validates, one tests.
pub(super) fn tenth(n: u64) -> Split {
    match n % 10 {
        8 => Split::Validation,
        9 => Split::Test,
        _ => Split::Training,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dance::choreography::VARIATIONS;
    use crate::dance::moves::MOVES;
    use crate::random::Random;
    use std::collections::BTreeSet;

    #[test]
    fn splits_are_disjoint_in_what_they_hold_out_and_only_in_that() {
        let splits = [Split::Training, Split::Validation, Split::Test].map(Share::all);
        let parts = splits.each_ref().map(|share| {
            let random = &mut Random::new(1, 1);
            let people: BTreeSet<u64> = (0..2_000)
                .map(|_| share.person(100, random).unwrap())
                .collect();
            let moves: BTreeSet<u64> = (0..MOVES.len())
                .flat_map(|m| (0..VARIATIONS).map(move |v| (m, v)))
                .filter(|&(m, v)| share.allows(m, v))
                .map(|(m, v)| m as u64 * VARIATIONS + v)
                .collect();
            let pairs: BTreeSet<u64> = (0..14u64)
                .flat_map(|g| (0..50).map(move |s| (g, s)))
                .filter(|&(g, s)| share.pairs(g as usize, s))
                .map(|(g, s)| 100 * g + s)
                .collect();
            let songs: BTreeSet<u64> = (0..200).map(|g| share.song(g, 40, true).unwrap()).collect();
            let views: BTreeSet<u64> = share.views().into_iter().map(|v| v as u64).collect();
            [people, moves, pairs, songs, views]
        });
        let [train, validation, test] = &parts;
        for (a, (b, c)) in train.iter().zip(validation.iter().zip(test)) {
            assert!(!a.is_empty() && !b.is_empty() && !c.is_empty());
            assert!(a.is_disjoint(b) && a.is_disjoint(c) && b.is_disjoint(c));
        }
        // Held out one by one: only that differs.
        let views = Share {
            split: Split::Test,
            held_out: vec![Factor::Views],
        };
        assert_eq!(views.views(), [6]);
        assert_eq!(
            views.song(7, 40, false).unwrap(),
            splits[0].song(7, 40, false).unwrap()
        );
        assert_eq!(
            (0..99).filter(|&m| views.allows(m, 0)).count(),
            (0..99).filter(|&m| splits[0].allows(m, 0)).count()
        );
        assert!(Share::all(Split::Test).song(0, 5, true).is_err());
    }
}
