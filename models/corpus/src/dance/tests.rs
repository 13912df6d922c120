// SPDX-License-Identifier: MPL-2.0
//! Tests of whole clips.

use super::genres;
use super::motion::Motion;
use super::music::Songs;
use super::pulse::Pulse;
use super::skeleton::*;
use super::*;
use crate::Split;
use crate::audio::Generator;
use crate::audio::fixture::Fixture;
use crate::random::Random;
use ndarray::{Axis, s};
use std::path::Path;

/// Small clips of capsule figures to the test band.
pub(super) struct Small {
    // Its folder is there as long as it is.
    _sounds: Fixture,
    pub(super) corpus: Corpus,
}

pub(super) fn config() -> Config {
    Config {
        seed: 7,
        picture: Picture {
            height: 96,
            width: 64,
            fps: 12.0,
            frames: 8,
        },
        music: Music {
            band: "unused".into(),
            groove: None,
            folder: None,
            seconds: 6.0,
            rate: 16_000,
            songs: 50,
            clips: 2,
        },
        people: 50,
        bodies: None,
        mocap: None,
        recorded: Vec::new(),
        captured: 0.5,
        photos: None,
        photographed: 0.0,
        off: 0.2,
        lens: true,
    }
}

pub(super) fn small(config: Config, share: Share) -> Small {
    let sounds = Fixture::new();
    let mut band = sounds.config();
    band.seconds = config.music.seconds;
    let generator = Generator::new(&band, Split::Training).unwrap();
    Small {
        corpus: Corpus {
            sources: Sources {
                share,
                songs: Songs::band(generator, config.music.rate),
                bodies: None,
                takes: Vec::new(),
                photos: Vec::new(),
                config,
            },
        },
        _sounds: sounds,
    }
}

fn training() -> Share {
    Share::all(Split::Training)
}

#[test]
fn a_clip_is_a_function_of_its_seed_and_number() {
    let one = small(config(), training());
    let forward: Vec<Clip> = (0..3).map(|n| one.corpus.clip(n).unwrap()).collect();
    let other = small(config(), training());
    std::thread::scope(|scope| {
        for n in [2, 0, 1] {
            let (other, forward) = (&other, &forward);
            scope.spawn(move || assert!(other.corpus.clip(n).unwrap() == forward[n as usize]));
        }
    });
    let mut config = config();
    config.seed += 1;
    let next = small(config, training());
    assert!(next.corpus.clip(0).unwrap().frames.pixels != forward[0].frames.pixels);
    assert!(forward[0].frames.pixels != forward[1].frames.pixels);
}

#[test]
fn a_pair_is_a_part_of_its_clip() {
    let small = small(config(), training());
    for n in 0..4 {
        let whole = small.corpus.clip(n).unwrap().frames;
        let pair = small.corpus.scene(n).unwrap().pair(3);
        assert!(pair.pixels == whole.pixels.slice(s![3..5, .., .., ..]));
        assert!(pair.forward == whole.forward.slice(s![3..4, .., .., ..]));
        assert!(pair.backward == whole.backward.slice(s![3..4, .., .., ..]));
        assert!(pair.occluded == whole.occluded.slice(s![3..4, .., ..]));
        assert!(pair.uncovered == whole.uncovered.slice(s![3..4, .., ..]));
        assert!(pair.parts == whole.parts.slice(s![3..5, .., ..]));
    }
}

#[test]
fn the_flow_leads_to_what_looks_the_same() {
    let mut config = config();
    config.lens = false;
    (config.picture.height, config.picture.width) = (128, 128);
    let small = small(config, training());
    let (mut all, mut dancer, mut still) = (0.0, 0.0, 0.0);
    for n in 0..12 {
        let frames = small.corpus.clip(n).unwrap().frames;
        let error = frames.warp_error(false);
        assert!(error.0 < 2.0, "clip {n}: {error:?}");
        all += error.0 / 12.0;
        let error = frames.warp_error(true);
        dancer += error.0 / 12.0;
        still += error.1 / 12.0;
    }
    assert!(
        all < 1.5 && dancer < 8.0 && dancer < 0.5 * still,
        "{all} {dancer} {still}"
    );
}

#[test]
fn forward_and_backward_flow_undo_each_other() {
    let mut config = config();
    config.lens = false;
    let small = small(config, training());
    let (mut sum, mut count) = (0.0, 0);
    for n in 0..6 {
        let f = small.corpus.clip(n).unwrap().frames;
        let (pairs, _, height, width) = f.forward.dim();
        for t in 0..pairs {
            for y in 0..height {
                for x in 0..width {
                    let [u, v] = [0, 1].map(|k| f.forward[[t, k, y, x]]);
                    let (gx, gy) = (x as f32 + 0.5 + u, y as f32 + 0.5 + v);
                    if f.occluded[[t, y, x]] {
                        continue;
                    }
                    assert!(gx >= 0.0 && gy >= 0.0 && gx < width as f32 && gy < height as f32);
                    let (gx, gy) = (gx as usize, gy as usize);
                    if f.parts[[t, y, x]] != f.parts[[t + 1, gy, gx]] {
                        continue;
                    }
                    let back = [0, 1].map(|k| f.backward[[t, k, gy, gx]]);
                    // Half a pixel off where it lands, the flow is only about the same.
                    sum += (u + back[0]).hypot(v + back[1]);
                    count += 1;
                }
            }
        }
    }
    assert!(
        count > 100_000 && sum / (count as f32) < 0.1,
        "{count} {}",
        sum / count as f32
    );
}

#[test]
fn truth_is_about_the_pictures() {
    let small = small(config(), training());
    for n in 0..10 {
        let clip = small.corpus.clip(n).unwrap();
        let seconds = 8.0 / 12.0;
        assert_eq!(clip.music.len(), (16_000.0f64 * seconds).round() as usize);
        let inside = |t: f64| (0.0..seconds).contains(&t);
        assert!(clip.info.beats.iter().all(|b| inside(b.time)));
        assert!(clip.info.onsets.iter().all(|&t| inside(t)));
        assert!(clip.info.visual_beats.iter().all(|&t| inside(t)));
        let moves = &clip.info.moves;
        assert!(moves.first().unwrap().start <= 0.0 && moves.last().unwrap().end >= seconds - 1e-9);
        let mask = clip.frames.mask();
        let share = mask.iter().filter(|&&m| m).count() as f32 / mask.len() as f32;
        assert!((0.01..0.7).contains(&share), "{share}");
        // Joints of a limb lie mostly where the dancer is.
        let (mut on, mut all) = (0, 0);
        for t in 0..8 {
            for j in [1, 2, 9, 17] {
                let [x, y] = [0, 1].map(|k| clip.frames.joints[[t, j, k]]);
                if x > 0.0 && y > 12.0 && x < 64.0 && y < 84.0 {
                    all += 1;
                    on += usize::from(mask[[t, y as usize, x as usize]]);
                }
            }
        }
        assert!(on * 10 >= all * 9, "clip {n}: {on} of {all}");
    }
}

#[test]
fn standing_feet_stand_still_and_no_foot_is_under_the_floor() {
    let pulse = Pulse::new(&[0.1, 0.6, 1.1, 1.6, 2.1, 2.6], 0, 4).unwrap();
    let figure = body::capsule(1.7).figure;
    let mut stood = 0;
    for (n, genre) in genres::shipped().unwrap().iter().enumerate() {
        let random = &mut Random::new(5, n as u64);
        let dance = choreography::Dance::new(genre, &pulse, 12.0, &|_, _| true, random);
        let ball = |t: f64, side: usize| figure.heads(&dance.pose(&figure, t))[BALL + side];
        for k in 0..1_200 {
            let t = f64::from(k) / 100.0;
            for side in [0, SIDE] {
                let (a, b) = (ball(t, side), ball(t + 0.01, side));
                assert!(
                    a.y > figure.rest[BALL + side].y - 0.02,
                    "{} {t} {a}",
                    genre.name
                );
                if (a.y - figure.rest[BALL + side].y).abs() < 0.002 && (b.y - a.y).abs() < 1e-3 {
                    stood += 1;
                    assert!(a.distance(b) < 0.01, "{} {t} {a} {b}", genre.name);
                }
            }
        }
    }
    // 1 cm in 10 ms would be a foot that steps; standing is what most feet do mostly.
    assert!(stood > 14 * 1_200, "{stood}");
}

#[test]
fn every_genre_is_locked_to_its_beats() {
    let beats: Vec<f64> = (0..40).map(|k| 0.2 + 0.55 * f64::from(k)).collect();
    let pulse = Pulse::new(&beats, 0, 4).unwrap();
    let figure = body::capsule(1.7).figure;
    for genre in genres::shipped().unwrap() {
        let (mut hit, mut null) = (Vec::new(), Vec::new());
        for n in 0..6 {
            let random = &mut Random::new(11, n);
            let dance = choreography::Dance::new(genre, &pulse, 20.0, &|_, _| true, random);
            let speed = kinetics::speeds(&figure, &|t| dance.pose(&figure, t), 0.0, 20.0);
            let stops = kinetics::minima(&speed);
            let stops: Vec<f64> = stops
                .into_iter()
                .map(|n| n as f64 / kinetics::RATE)
                .collect();
            assert!(stops.len() > 12, "{}: {}", genre.name, stops.len());
            hit.push(kinetics::hits(&stops, &beats, 0.05).unwrap());
            null.push(kinetics::null(&stops, &beats, 0.05, 20.0).unwrap());
        }
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        assert!(
            mean(&hit) >= 0.75 && mean(&null) <= 0.35,
            "{} {hit:?} {null:?}",
            genre.name
        );
    }
}

#[test]
fn dances_that_are_off_are_said_to_be() {
    let mut config = config();
    config.off = 1.0;
    let small = small(config, training());
    let mut kinds = [0; 3];
    for n in 0..18 {
        let scene = small.corpus.scene(n).unwrap();
        kinds[match scene.info.lock {
            Lock::WrongSong => 0,
            Lock::Shifted(late) => {
                assert!(late.abs() > 0.05);
                1
            }
            Lock::Stretched(by) => {
                assert!((by - 1.0).abs() > 0.07);
                2
            }
            Lock::Matched => panic!("clip {n} is not off"),
        }] += 1;
        assert!(matches!(scene.stage.motion, Motion::Dance(_)));
    }
    assert!(kinds.iter().all(|&k| k > 0), "{kinds:?}");
}

#[test]
fn folders_hold_clips_to_the_bit_and_damage_is_named() {
    let small = small(config(), training());
    let clip = small.corpus.clip(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("clip");
    folder::write(&clip, &at).unwrap();
    assert!(folder::read(&at).unwrap() == clip);
    for name in [
        "clip.json",
        "truth.safetensors",
        "music.wav",
        "frames/0003.png",
    ] {
        let path = at.join(name);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        let error = format!(
            "{:#}",
            folder::read(&at).err().unwrap_or_else(|| panic!("{name}"))
        );
        assert!(error.contains(name), "{name}: {error}");
        std::fs::remove_file(&path).unwrap();
        let error = format!("{:#}", folder::read(&at).unwrap_err());
        assert!(error.contains(name), "{name}: {error}");
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn what_is_missing_or_makes_no_sense_is_named() {
    let sounds = Fixture::new();
    let band = sounds.path("band.toml");
    let at = |name: &str| sounds.path(name).display().to_string();
    let text = format!(
        "seconds = 6.0\nrate = 16000\nseed = 1\ngroove = '{}'\n[train]\nsoundfonts = ['{}']\nkits = ['{}']\n\
         [validation]\nsoundfonts = ['{}']\nkits = ['{}']\n",
        at("groove"),
        at("train.sf2"),
        at("kit-train"),
        at("validation.sf2"),
        at("kit-validation")
    );
    std::fs::write(&band, text).unwrap();
    let good = || {
        let mut config = config();
        config.music.band.clone_from(&band);
        config
    };
    Corpus::new(good(), training()).unwrap().clip(0).unwrap();
    let error = |change: &dyn Fn(&mut Config)| {
        let mut config = good();
        change(&mut config);
        Corpus::new(config, training())
            .err()
            .expect("an error")
            .to_string()
    };
    assert!(error(&|c| c.bodies = Some("/nowhere/anny".into())).contains("/nowhere/anny"));
    assert!(error(&|c| c.photos = Some("/nowhere/p".into())).contains("/nowhere/p"));
    assert!(error(&|c| c.music.folder = Some("/nowhere/m".into())).contains("/nowhere/m"));
    assert!(error(&|c| c.music.band = "/nowhere/b.toml".into()).contains("/nowhere/b.toml"));
    assert!(error(&|c| c.music.seconds = 0.3).contains("music.seconds"));
    assert!(error(&|c| c.picture.height = 32).contains("picture.height"));
    assert!(error(&|c| c.picture.fps = f32::NAN).contains("picture.fps"));
    assert!(error(&|c| c.off = 1.5).contains("off = 1.5"));
    assert!(error(&|c| c.people = 3).contains("people"));
    let take = |genre: &str| Recorded {
        folder: "takes".into(),
        genre: genre.into(),
        rate: None,
    };
    assert!(error(&|c| c.recorded = vec![take("polka")]).contains("polka"));
    let empty = sounds.path("takes");
    std::fs::create_dir(&empty).unwrap();
    let mocap = |c: &mut Config| {
        c.mocap = empty.parent().map(Into::into);
        c.recorded = genres::shipped()
            .unwrap()
            .iter()
            .map(|g| take(&g.name))
            .collect();
        c.captured = 1.0;
    };
    assert!(error(&mocap).contains("no bvh"));
    // Read when it is first used.
    std::fs::write(empty.join("broken.bvh"), "HIERARCHY\nROOT hip\n").unwrap();
    let mut config = good();
    mocap(&mut config);
    let error = Corpus::new(config, training())
        .unwrap()
        .scene(0)
        .err()
        .expect("an error");
    assert!(error.to_string().contains("broken.bvh"), "{error}");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/corpus.toml");
    assert!(Config::read(&shipped).unwrap().check().is_ok());
}

#[test]
fn letterbox_blur_and_cameras_keep_the_truth_s_shape() {
    let mut config = config();
    config.picture.frames = 3;
    let small = small(config, training());
    let mut bars = 0;
    for n in 0..40 {
        let scene = small.corpus.scene(n).unwrap();
        let rows = scene.stage.bars;
        let frames = scene.draw(0, 3);
        if rows > 0 {
            bars += 1;
            let bar = frames.parts.slice(s![.., ..rows, ..]);
            assert!(bar.iter().all(|&p| p == 0));
            assert!(
                frames
                    .forward
                    .slice(s![.., .., ..rows, ..])
                    .iter()
                    .all(|&v| v == 0.0)
            );
            assert!(
                frames
                    .occluded
                    .slice(s![.., ..rows, ..])
                    .iter()
                    .all(|&o| !o)
            );
        }
        assert!(
            frames
                .forward
                .iter()
                .chain(&frames.backward)
                .all(|v| v.is_finite())
        );
        assert!(
            frames.pixels.index_axis(Axis(0), 1).iter().any(|&v| v > 8),
            "clip {n} is black"
        );
    }
    assert!(bars > 0);
}
