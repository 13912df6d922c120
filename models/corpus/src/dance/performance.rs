// SPDX-License-Identifier: MPL-2.0
//! A dance without pictures: a whole song of it, for little.
//!
//! Where only the motion is wanted, nothing is drawn, dressed or lit: the same songs, people,
//! genres and moves as in a [`Scene`](super::Scene), with the same splits, as joints in the world.

use super::anny::Shape;
use super::music::Song;
use super::scene::{PEOPLE, genre, lock, motion};
use super::skeleton::{Figure, JOINTS};
use super::sources::Sources;
use super::{Corpus, body};
use crate::Error;
use crate::random::Random;
use glam::Vec3;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A dance to the whole of a song.
pub struct Performance {
    /// The song.
    pub song: Arc<Song>,
    /// Index into [`genres::shipped`](super::genres::shipped).
    pub genre: usize,
    /// Who dances.
    pub person: u64,
    /// Whether the motion was captured.
    pub captured: bool,
    /// The dancer's height at rest in metres.
    pub height: f32,
    /// The joints of each frame, as [`JOINT_NAMES`](super::skeleton::JOINT_NAMES), in metres: y is
    /// up, at rest the dancer looks along z. Frame t shows the instant t / fps of the song.
    pub joints: Vec<[Vec3; JOINTS]>,
    /// The joints of somebody who stands and has not begun to dance.
    pub standing: [Vec3; JOINTS],
}

/// Bodies by number: a body costs more than a dance.
#[derive(Default)]
pub struct Figures(Mutex<BTreeMap<u64, Arc<Figure>>>);

impl Figures {
    fn get(&self, sources: &Sources, person: u64) -> Result<Arc<Figure>, Error> {
        // A thread that panicked left the map as it was.
        let known = |figures: &Self| {
            let map = figures.0.lock().unwrap_or_else(PoisonError::into_inner);
            map.get(&person).cloned()
        };
        if let Some(figure) = known(self) {
            return Ok(figure);
        }
        let who = &mut Random::new(sources.config.seed ^ PEOPLE, person);
        let body = match &sources.bodies {
            Some(anny) => anny.body(&Shape::any(who))?,
            None => body::capsule(who.range(1.5, 1.95) as f32),
        };
        let figure = Arc::new(body.figure.clone());
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(map.entry(person).or_insert(figure).clone())
    }
}

impl Corpus {
    /// Dance number `index`, always the same, `fps` frames a second. Consecutive dances share a
    /// song, as many as `music.clips` of the configuration says.
    ///
    /// # Errors
    /// When a file that it needs cannot be read; the error names it.
    pub fn performance(
        &self,
        index: u64,
        fps: f64,
        figures: &Figures,
    ) -> Result<Performance, Error> {
        let sources = &self.sources;
        let config = &sources.config;
        let random = &mut sources.random(index);
        let finite = sources.songs.count();
        let group = index / config.music.clips;
        let number = |group| {
            sources.share.song(
                group,
                finite.unwrap_or(config.music.songs),
                finite.is_some(),
            )
        };
        let song = sources.songs.song(number(group)?)?;
        let seconds = song.seconds();
        let genre = genre(sources, number(group)?, &song, random)?;
        let songs = [number(group)?, number(group + 1)?];
        let (_, pulse) = lock(sources, &song, songs, 0.0, random)?;
        let person = sources.share.person(config.people, random)?;
        let figure = figures.get(sources, person)?;
        let motion = motion(sources, genre, &pulse, seconds, random)?;
        let count = (seconds * fps).floor() as usize + 1;
        let at = |time: f64| figure.joints(&motion.pose(&figure, time));
        let standing = figure.joints(&standing(&figure));
        Ok(Performance {
            joints: (0..count).map(|t| at(t as f64 / fps)).collect(),
            captured: matches!(motion, super::motion::Motion::Capture(_)),
            height: figure.height(),
            standing,
            genre,
            person,
            song,
        })
    }
}

/// The pose of somebody who stands with the arms down, as people do on photographs.
fn standing(figure: &Figure) -> super::skeleton::Pose {
    use super::skeleton::{
        FINGERS, HAND, LOWER_ARM, PELVIS, Pose, SIDE, THUMB, TIPS, UPPER_ARM, arm,
    };
    use glam::Quat;
    let mut pose = Pose {
        root: figure.rest[PELVIS],
        ..Pose::default()
    };
    for (side, out) in [(0, 1.0), (SIDE, -1.0)] {
        let upper = Vec3::new(0.22 * out, -1.0, 0.02).normalize();
        let fore = Vec3::new(0.12 * out, -1.0, 0.15).normalize();
        let [a, b] = arm(side, Quat::IDENTITY, upper, fore);
        pose.rotation[UPPER_ARM + side] = a;
        for bone in [LOWER_ARM, HAND, FINGERS, TIPS, THUMB] {
            pose.rotation[bone + side] = b;
        }
    }
    pose
}

#[cfg(test)]
mod tests {
    use super::super::Share;
    use super::super::tests::{Small, config, small};
    use super::*;
    use crate::Split;
    use std::collections::BTreeSet;

    fn corpus(split: Split) -> Small {
        let mut config = config();
        config.off = 0.0;
        small(config, Share::all(split))
    }

    #[test]
    fn a_dance_is_a_function_of_its_number_and_fills_its_song() {
        let corpus = &corpus(Split::Training).corpus;
        let figures = Figures::default();
        let a = corpus.performance(3, 30.0, &figures).unwrap();
        let b = corpus.performance(3, 30.0, &Figures::default()).unwrap();
        assert_eq!(a.joints, b.joints);
        let other = corpus.performance(2, 30.0, &figures).unwrap();
        assert_eq!(other.song.name, a.song.name);
        assert_ne!(other.joints, a.joints);
        let seconds = (a.joints.len() - 1) as f64 / 30.0;
        assert!((a.song.seconds() - seconds).abs() < 1.0 / 30.0);
        // Feet are on the floor and the head is above them, standing and dancing.
        for joints in a.joints.iter().chain([&a.standing]) {
            let lowest = joints.iter().map(|p| p.y).fold(f32::MAX, f32::min);
            assert!((-0.1..0.4).contains(&lowest), "{lowest}");
            assert!((0.4..1.15).contains(&(joints[3].y / a.height)));
        }
        // Who stands has its hands beside its hips.
        for hand in [7, 15] {
            let p = a.standing[hand];
            assert!(p.y < a.standing[0].y && p.x.abs() < 0.4 * a.height, "{p}");
        }
    }

    #[test]
    fn held_out_people_are_others() {
        let people = |split| -> BTreeSet<u64> {
            let corpus = &corpus(split).corpus;
            let figures = Figures::default();
            let dance = |n| corpus.performance(n, 10.0, &figures).unwrap();
            (0..8).map(|n| dance(n).person).collect()
        };
        assert!(people(Split::Training).is_disjoint(&people(Split::Test)));
    }
}
