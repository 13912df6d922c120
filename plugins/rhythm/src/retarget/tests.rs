use super::*;
use crate::metrics::f_measure;

/// A generator of the same numbers in every run.
pub(super) struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Of mean 0 and deviation 1, near enough.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn marks(times: impl IntoIterator<Item = f64>) -> Vec<Mark> {
    let mark = |time| Mark {
        time,
        strength: 1.0,
    };
    times.into_iter().map(mark).collect()
}

fn grid(first: f64, period: f64, count: usize) -> Vec<Mark> {
    marks((0..count).map(|n| first + n as f64 * period))
}

/// A dance with accents, and the same dance after a warp: tempo ±30 % in slow waves, a shift of up
/// to a second, jitter, a twentieth of the marks missed and as many made up. Returns both and the
/// warp as a function of points.
fn warped(random: &mut Random) -> (Vec<Mark>, Vec<Mark>, Vec<Anchor>) {
    let period = 60.0 / random.between(85.0, 150.0);
    let count = (30.0 / period) as usize;
    let shift = random.between(0.0, 1.0);
    let [a, b] = [random.between(0.05, 0.15), random.between(0.05, 0.15)];
    let [p, q] = [0; 2].map(|_| random.between(0.0, 6.3));
    let [f, g] = [random.between(0.3, 0.8), random.between(0.8, 1.5)];
    // The speed is 1 + a·sin + b·sin, so at most 30 % off.
    let part = |t: f64, amount: f64, phase: f64, rate: f64| {
        amount / rate * (phase.cos() - (rate * t + phase).cos())
    };
    let warp = |t: f64| t + shift + part(t, a, p, f) + part(t, b, q, g);
    let mut time = random.between(0.2, 0.8);
    let (mut music, mut dance) = (Vec::new(), Vec::new());
    for n in 0..count {
        let accent = if n % 4 == 0 { 2.0 } else { 1.0 };
        let strength = accent * random.between(0.6, 1.4);
        music.push(Mark { time, strength });
        let seen = Mark {
            time: warp(time) + 0.015 * random.normal(),
            strength: strength * random.between(0.7, 1.3),
        };
        if random.uniform() > 0.05 {
            dance.push(seen);
        }
        if random.uniform() < 0.05 {
            dance.push(Mark {
                time: warp(time + random.between(0.2, 0.8) * period),
                strength: random.between(0.5, 1.0),
            });
        }
        // Dancers are no machines.
        time += period * random.between(0.97, 1.03);
    }
    let truth = (0..=300).map(|n| {
        let output = music[0].time + f64::from(n) / 300.0 * (time - period - music[0].time);
        Anchor {
            output,
            source: warp(output),
        }
    });
    let truth = truth.collect();
    (music, dance, truth)
}

#[test]
fn a_known_warp_is_undone() {
    let mut random = Random(0x5eed);
    let mut errors = Vec::new();
    for _ in 0..100 {
        let (music, dance, truth) = warped(&mut random);
        let plan = plan(&dance, &music, &Options::default());
        let error = |anchor: &Anchor| (plan.map.at(anchor.output) - anchor.source).abs();
        errors.push(truth.iter().map(error).sum::<f64>() / truth.len() as f64);
    }
    errors.sort_by(f64::total_cmp);
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    println!(
        "mean {mean}, median {}, 95 % {}, worst {}",
        errors[50], errors[95], errors[99]
    );
    assert!(mean <= 0.04, "{mean}");
}

#[test]
fn nothing_random_breaks_a_plan() {
    let mut random = Random(42);
    for round in 0..400 {
        let mut some = |most: f64| -> Vec<Mark> {
            let count = random.between(0.0, most) as usize;
            let length = random.between(0.0, 300.0);
            (0..count)
                .map(|n| Mark {
                    time: match n % 17 {
                        13 => f64::NAN,
                        14 => f64::INFINITY,
                        15 => -1.0,
                        16 => 7.0,
                        _ => random.between(0.0, length),
                    },
                    strength: if n % 11 == 0 {
                        f64::NAN
                    } else {
                        random.uniform()
                    },
                })
                .collect()
        };
        let (visual, audio) = (some(200.0), some(if round % 3 == 0 { 3.0 } else { 200.0 }));
        let limits = Limits::new(random.between(0.1, 1.0), random.between(1.0, 4.0)).unwrap();
        for method in [
            Method::Shift,
            Method::Acceleration,
            Method::Dtw,
            Method::DtwBounded,
        ] {
            let options = Options {
                method,
                limits,
                strength: random.between(-0.2, 1.2),
                start: random.between(0.0, 3.0),
                source_end: (round % 2 == 0).then(|| random.between(0.0, 100.0)),
                output_end: (round % 5 < 3).then(|| random.between(0.0, 100.0)),
            };
            let map = plan(&visual, &audio, &options).map;
            let mut before = map.at(-1.0);
            for n in 1..600 {
                let output = -1.0 + f64::from(n) * 0.5;
                let speed = map.speed(output);
                assert!(
                    speed >= limits.min() - 1e-9 && speed <= limits.max() + 1e-9,
                    "{speed}"
                );
                let source = map.at(output);
                let mean = (source - before) / 0.5;
                assert!(
                    mean >= limits.min() - 1e-6 && mean <= limits.max() + 1e-6,
                    "{mean}"
                );
                assert!((map.inverse(source) - output).abs() < 1e-6);
                before = source;
            }
        }
    }
}

#[test]
fn few_marks_are_enough_or_change_nothing() {
    let one = marks([2.0]);
    let song = grid(0.5, 0.5, 60);
    let identity = TimeMap::identity(Limits::default());
    for (visual, audio) in [(&[][..], &song[..]), (&song, &[]), (&[], &[])] {
        assert_eq!(plan(visual, audio, &Options::default()).map, identity);
    }
    for (visual, audio) in [(&one, &song), (&song, &one), (&one, &one)] {
        let plan = plan(visual, audio, &Options::default());
        assert_eq!(plan.pairs.len(), 1);
        let pair = plan.pairs[0];
        assert!((plan.map.at(pair.output) - pair.source).abs() < 1e-9);
    }
}

/// Share of the marks of the dance that meet one of the music at 100 ms, within the length of the
/// output.
fn met(plan: &Plan, dance: &[Mark], music: &[Mark]) -> f64 {
    let end = music.last().unwrap().time;
    let moved = dance.iter().map(|mark| plan.map.inverse(mark.time));
    let moved: Vec<f64> = moved.filter(|time| (0.0..=end).contains(time)).collect();
    let music: Vec<f64> = music.iter().map(|mark| mark.time).collect();
    f_measure(&music, &moved, 0.1).precision
}

#[test]
fn tempi_of_an_octave_apart_meet() {
    // A dance at 120 to songs at half, at nearly half, the same, nearly double and double tempo.
    for (period, least) in [
        (1.0, 0.49),
        (0.93, 0.49),
        (0.5, 0.99),
        (0.27, 0.99),
        (0.25, 0.99),
    ] {
        let dance = grid(0.3, 0.5, 100);
        let song = grid(0.1, period, (40.0 / period) as usize);
        let plan = plan(&dance, &song, &Options::default());
        let share = met(&plan, &dance, &song);
        assert!(share >= least, "{share} at a period of {period}");
        let speed = (plan.map.at(35.0) - plan.map.at(5.0)) / 30.0;
        assert!(
            (0.8..=1.25).contains(&speed),
            "{speed} at a period of {period}"
        );
    }
}

#[test]
fn a_dance_meets_another_song() {
    let mut random = Random(11);
    for _ in 0..30 {
        let period = |random: &mut Random| 60.0 / random.between(90.0, 140.0);
        let (p, q) = (period(&mut random), period(&mut random));
        let mut dance = Vec::new();
        for n in 0..80 {
            if random.uniform() > 0.15 {
                dance.push(0.4 + f64::from(n) * p + 0.03 * random.normal());
            }
        }
        let (dance, song) = (marks(dance), grid(0.2, q, 80));
        let plan = plan(&dance, &song, &Options::default());
        let share = met(&plan, &dance, &song);
        assert!(share > 0.9, "{share} of {p} on {q}");
        let shown: Vec<f64> = (0..900).map(|n| plan.map.at(f64::from(n) / 30.0)).collect();
        let frames: Vec<f64> = (0..2400).map(|n| f64::from(n) / 30.0).collect();
        let found = crate::metrics::retarget::retiming(&shown, 1.0 / 30.0, &frames);
        assert!(found.speed_p95 <= 1.6, "{found:?} of {p} on {q}");
        assert!(found.freeze <= 0.1, "{found:?} of {p} on {q}");
    }
}

#[test]
fn lengths_may_differ_by_far() {
    for (dance, song) in [(8, 7200), (7200, 8), (3, 2000)] {
        let (dance, song) = (grid(0.6, 0.55, dance), grid(0.2, 0.5, song));
        let plan = plan(&dance, &song, &Options::default());
        assert!(plan.pairs.len() + 1 >= dance.len().min(song.len()));
    }
}

#[test]
fn gaps_on_either_side_are_run_past() {
    let all = grid(0.3, 0.5, 240);
    let with_gap = |gap: std::ops::Range<f64>| -> Vec<Mark> {
        let outside = all.iter().filter(|mark| !gap.contains(&mark.time));
        outside.copied().collect()
    };
    let gap = || with_gap(40.0..75.0);
    for (dance, song) in [(gap(), all.clone()), (all.clone(), gap()), (gap(), gap())] {
        let plan = plan(&dance, &song, &Options::default());
        assert!(plan.pairs.len() > 160, "{}", plan.pairs.len());
        for time in [10.0, 55.0, 80.0, 100.0] {
            let source = plan.map.at(time);
            assert!((source - time).abs() < 0.01, "{source}");
        }
    }
}

#[test]
fn the_patterns_do_as_printed() {
    let dance = grid(1.0, 0.6, 30);
    let song = grid(0.5, 0.5, 30);
    let with = |method| {
        let options = Options {
            method,
            ..Options::default()
        };
        plan(&dance, &song, &options)
    };
    let shift = with(Method::Shift);
    // Some mark of the dance is there at the first of the song.
    let mark = (shift.map.at(0.5) - 1.0) / 0.6;
    assert!((mark - mark.round()).abs() < 1e-9, "{mark}");
    assert_eq!(shift.map.speed(5.0), 1.0);
    let acceleration = with(Method::Acceleration);
    assert_eq!(acceleration.pairs.len(), 30);
    assert!((acceleration.map.at(10.0) - (1.0 + 19.0 * 0.6)).abs() < 1e-9);
    // Times as they are: the nearest, wherever the tempo is.
    let dtw = with(Method::Dtw);
    let mean = |plan: &Plan| {
        let apart = plan
            .pairs
            .iter()
            .map(|pair| (pair.output - pair.source).abs());
        apart.sum::<f64>() / plan.pairs.len() as f64
    };
    assert!(mean(&dtw) < mean(&acceleration));
}

/// Runs a planner over streams that are known `ahead` seconds before they are due; returns what it
/// showed.
fn live(dance: &[Mark], song: &[Mark], strength: f64, end: f64) -> Vec<f64> {
    let ahead = 2.0;
    let mut planner = Planner::new(Limits::default(), 1.0, strength, 0.0);
    let known = |marks: &[Mark], now: f64| -> Vec<Mark> {
        let known = marks.iter().filter(|mark| mark.time <= now + ahead);
        known.copied().collect()
    };
    (1..(end * 30.0) as usize)
        .map(|n| {
            let now = n as f64 / 30.0;
            planner.step(now, &known(dance, now), &known(song, now), now + ahead)
        })
        .collect()
}

#[test]
fn a_live_dance_is_pulled_onto_the_beat() {
    let mut random = Random(5);
    let song = grid(0.25, 0.5, 120);
    // Late by 180 ms, unsteadily.
    let dance: Vec<f64> = (0..120)
        .map(|n| 0.43 + f64::from(n) * 0.5 + 0.03 * random.normal())
        .collect();
    let dance = marks(dance);
    let shown = live(&dance, &song, 1.0, 58.0);
    let at = |time: f64| shown[(time * 30.0) as usize - 1];
    let mut error = 0.0;
    for beat in &song[8..110] {
        let seen = at(beat.time);
        let nearest = dance.iter().map(|mark| (mark.time - seen).abs());
        error += nearest.fold(f64::INFINITY, f64::min) / 102.0;
    }
    assert!(error < 0.03, "{error}");
    for pair in shown.windows(2) {
        let speed = (pair[1] - pair[0]) * 30.0;
        assert!((0.5 - 1e-9..=2.0 + 1e-9).contains(&speed), "{speed}");
    }
    // Without strength nothing moves.
    for (n, source) in live(&dance, &song, 0.0, 20.0).into_iter().enumerate() {
        assert!((source - (n + 1) as f64 / 30.0).abs() < 1e-9);
    }
}

#[test]
fn a_planner_survives_anything() {
    let mut random = Random(77);
    for _ in 0..100 {
        let mut some = || -> Vec<Mark> {
            let count = random.between(0.0, 120.0) as usize;
            (0..count)
                .map(|n| Mark {
                    time: if n % 13 == 7 {
                        f64::NAN
                    } else {
                        random.between(0.0, 20.0)
                    },
                    strength: random.between(-1.0, 3.0),
                })
                .collect()
        };
        let (dance, song) = (some(), some());
        let mut planner = Planner::new(
            Limits::default(),
            random.between(-0.1, 3.0),
            random.between(0.0, 1.0),
            0.0,
        );
        let (mut now, mut arrived, mut before) = (0.0, 0.0f64, 0.0);
        for _ in 0..600 {
            let step = random.between(0.0, 0.08);
            now += step;
            // At times nothing comes.
            if random.uniform() > 0.3 {
                arrived = arrived.max(now + random.between(-1.0, 2.0));
            }
            let shown = planner.step(now, &dance, &song, arrived);
            assert!(shown >= before && shown <= arrived.max(before), "{shown}");
            assert!(shown - before <= 2.0 * step + 1e-9);
            before = shown;
        }
    }
}
