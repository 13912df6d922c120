// SPDX-License-Identifier: MPL-2.0
//! The dance genres that ship: the ten of AIST, and some from elsewhere. They stand in
//! `data/genres.toml`.

use super::arms;
use super::genre::Genre;
use super::moves::MOVES;
use crate::audio::repertoire::Repertoire;
use crate::{Error, data};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The file, for errors.
const FILE: &str = "models/corpus/data/genres.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hands: BTreeMap<String, Vec<String>>,
    genre: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    moves: Vec<String>,
    arms: String,
    snap: f32,
    flow: f32,
    bounce: f32,
    low: f32,
    turnout: f32,
    grip: f32,
    size: f32,
    music: Vec<String>,
}

/// All genres that ship; elsewhere a genre is its number among them.
///
/// # Errors
/// Naming the data file and the key that is wrong.
pub fn shipped() -> Result<&'static [Genre], Error> {
    static SHIPPED: LazyLock<Result<Vec<Genre>, Error>> =
        LazyLock::new(|| parse(include_str!("../../data/genres.toml")));
    SHIPPED.as_deref().map_err(Clone::clone)
}

/// The number of the genre of that name.
///
/// # Errors
/// As [`shipped`].
pub fn find(name: &str) -> Result<Option<usize>, Error> {
    Ok(shipped()?.iter().position(|genre| genre.name == name))
}

fn parse(text: &str) -> Result<Vec<Genre>, Error> {
    let File { hands, genre } = data::read(FILE, text)?;
    let styles = &Repertoire::shipped()?.styles;
    genre
        .into_iter()
        .map(|written| {
            let wrong = |key: &str, reason: String| {
                data::wrong(FILE, format!("genre.{}.{key}", written.name), reason)
            };
            let known = |name: &&String| MOVES.iter().any(|m| m.name == **name);
            if let Some(name) = written.moves.iter().find(|name| !known(name)) {
                return Err(wrong("moves", format!("no move is called {name}")));
            }
            let known = |name: &&String| styles.iter().any(|style| style.name == **name);
            if let Some(name) = written.music.iter().find(|name| !known(name)) {
                return Err(wrong("music", format!("no style is called {name}")));
            }
            let names = hands.get(&written.arms).filter(|names| !names.is_empty());
            let names = names
                .ok_or_else(|| wrong("arms", format!("{} is no list of hands", written.arms)))?;
            let arms = names.iter().map(|name| {
                arms::named(name).ok_or_else(|| {
                    let key = format!("hands.{}", written.arms);
                    data::wrong(FILE, key, format!("no position of arms is called {name}"))
                })
            });
            Ok(Genre {
                arms: arms.collect::<Result<_, Error>>()?,
                name: written.name.clone(),
                moves: written.moves,
                snap: written.snap,
                flow: written.flow,
                bounce: written.bounce,
                low: written.low,
                turnout: written.turnout,
                grip: written.grip,
                size: written.size,
                music: written.music,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_genres_are_read() {
        let salsa = &shipped().unwrap()[find("salsa").unwrap().unwrap()];
        assert_eq!(salsa.moves[..3], ["salsa", "salsa", "salsa"]);
        assert_eq!(salsa.arms.len(), 4);
        assert_eq!(find("polka").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_file_and_key() {
        let text = include_str!("../../data/genres.toml");
        for (right, wrong, words) in [
            (
                "\"toprock\"",
                "\"toprok\"",
                "genre.break.moves: no move is called toprok",
            ),
            ("\"funk\"", "\"funky\"", "genre.break.music"),
            ("arms = \"street\"", "arms = \"strait\"", "genre.break.arms"),
            ("\"basket\"", "\"baskets\"", "hands.street"),
            ("snap = 0.35", "snap = \"late\"", "snap"),
            ("grip = 0.5", "grasp = 0.5", "grasp"),
        ] {
            let changed = text.replacen(right, wrong, 1);
            assert_ne!(changed, text, "{right}");
            let error = parse(&changed).unwrap_err().to_string();
            assert!(error.starts_with(FILE) && error.contains(words), "{error}");
        }
    }
}
