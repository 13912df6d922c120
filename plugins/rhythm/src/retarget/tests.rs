// SPDX-License-Identifier: MPL-2.0
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

/// What is seen of a real dancer: not every beat, at times the half between two, and things that are no beats at all.
fn unsteady(random: &mut Random, period: f64, seconds: f64) -> Vec<Mark> {
    let mut times = Vec::new();
    let first = random.between(0.2, 1.0);
    for n in 0..((seconds - first) / period) as usize {
        let beat = first + n as f64 * period;
        let mut may = |at: f64, share: f64| {
            if random.uniform() < share {
                times.push(at + 0.035 * random.normal());
            }
        };
        may(beat, 0.65);
        may(beat + 0.5 * period, 0.25);
        may(beat + 0.3 * period, 0.08);
        may(beat + 0.7 * period, 0.08);
    }
    marks(times)
}

#[test]
fn an_unsteady_dance_keeps_near_its_own_speed() {
    let mut random = Random(29);
    // What was chosen wrongly for real dances, and any other pair of tempi.
    let known = [(90.0, 95.0), (110.0, 95.0), (116.0, 135.0)];
    let any = (0..60).map(|_| [0; 2].map(|_| random.between(80.0, 140.0)));
    let pairs: Vec<(f64, f64)> = any.map(|[p, q]| (p, q)).collect();
    let repeated = (0..20).flat_map(|_| known);
    let mut wrong = Vec::new();
    let (mut count, mut known_wrong, mut tempo_wrong) = (0, 0, 0);
    for (n, (dance, song)) in repeated.chain(pairs).enumerate() {
        let seen = unsteady(&mut random, 60.0 / dance, 40.0);
        let heard = grid(
            random.between(0.1, 0.6),
            60.0 / song,
            (90.0 * song / 60.0) as usize,
        );
        // The same tempo, or that of every other beat of either.
        let is_right = |speed: f64| {
            [0.5, 1.0, 2.0].iter().any(|octave| {
                let expected = song / dance * octave;
                (speed / expected - 1.0).abs() < 0.04 && (0.65..=1.6).contains(&expected)
            })
        };
        let tempo = tempo::overall(&seen, &heard, Limits::default());
        let plan = plan(&seen, &heard, &Options::default());
        let (Some(first), Some(last)) = (plan.pairs.first(), plan.pairs.last()) else {
            panic!("no pairs");
        };
        let speed = (last.source - first.source) / (last.output - first.output);
        count += 1;
        tempo_wrong += usize::from(!is_right(tempo));
        if !is_right(speed) {
            wrong.push((dance, song, speed));
            known_wrong += usize::from(n < 60);
        }
    }
    println!(
        "of {count}, tempo of {tempo_wrong} and speed of {} wrong, {known_wrong} of 60 known: {wrong:.2?}",
        wrong.len()
    );
    assert!(tempo_wrong * 20 <= count, "{tempo_wrong}");
    assert!(known_wrong <= 8, "{known_wrong}: {wrong:.2?}");
    assert!(wrong.len() * 8 <= count, "{wrong:.2?}");
}

#[test]
fn where_the_music_has_no_beats_the_dance_goes_at_its_own_speed() {
    let dance = grid(0.4, 0.55, 150);
    // 23 s of intro, a break of 12 s, an end without beats.
    let song: Vec<Mark> = (grid(23.0, 0.5, 60).into_iter())
        .chain(grid(64.5, 0.5, 20))
        .collect();
    let options = Options {
        output_end: Some(100.0),
        ..Options::default()
    };
    let plan = plan(&dance, &song, &options);
    assert!(plan.map.at(0.0).abs() < 0.6, "{}", plan.map.at(0.0));
    for (from, to) in [(0.5, 22.0), (55.0, 62.0), (78.0, 90.0)] {
        let speed = (plan.map.at(to) - plan.map.at(from)) / (to - from);
        assert!((speed - 1.0).abs() < 0.06, "{speed} from {from} to {to}");
    }
    // And in time where it has.
    let speed = (plan.map.at(50.0) - plan.map.at(25.0)) / 25.0;
    assert!((speed - 1.1).abs() < 0.02, "{speed}");
    // A dance that is over before that is left as it is.
    let short = super::plan(&grid(0.4, 0.55, 20), &song, &options);
    assert_eq!(short.map, TimeMap::identity(Limits::default()));
    // From the first beat on it is met at once.
    let options = Options {
        start: 23.0 - 0.05,
        ..options
    };
    let plan = super::plan(&dance, &song, &options);
    assert!(plan.pairs[0].output < 24.1, "{:?}", plan.pairs[0]);
    assert!(plan.pairs[0].source < 2.0, "{:?}", plan.pairs[0]);
}

#[test]
fn a_short_dance_goes_round_on_the_beat() {
    // 12 s of dance to four minutes of music.
    let dance = grid(0.4, 0.6, 19);
    let song = grid(0.2, 0.5, 480);
    for jump in [None, Some(1.0)] {
        let mut rounds = Rounds::new(&dance, &song, &Options::default(), 12.0);
        let mut turns = Vec::new();
        while rounds.end() < 235.0 {
            turns.push(rounds.end());
            let (backward, turn) = rounds.turn();
            assert!((0.0..=12.0).contains(&turn), "{turn}");
            // Every other time it begins again.
            let beginnings = rounds.beginnings();
            assert!(backward || beginnings.contains(&1.0), "{beginnings:?}");
            rounds.extend(jump.filter(|_| !backward));
        }
        assert!((20..30).contains(&turns.len()), "{}", turns.len());
        // Every turn is on a beat, at an instant of a mark.
        for turn in &turns {
            let beat = (turn - 0.2) / 0.5;
            assert!((beat - beat.round()).abs() < 0.02, "{turn}");
        }
        let mut before = rounds.at(0.0);
        let (mut met, mut count) = (0, 0);
        for n in 1..23_000 {
            let output = f64::from(n) * 0.01;
            let place = rounds.at(output);
            assert!((-0.6..=12.01).contains(&place.source), "{place:?}");
            let speed = (place.source - before.source) / 0.01;
            if place.round == before.round {
                let forward = if place.backward { -speed } else { speed };
                assert!((0.5 - 1e-6..=2.0 + 1e-6).contains(&forward), "{forward}");
            } else if jump.is_none() {
                // It turns where it is.
                assert!((place.source - before.source).abs() < 0.05, "{place:?}");
            }
            before = place;
            // At each beat of the song one of the dance.
            if n % 50 == 20 && n > 100 {
                let phase = (place.source - 0.4) / 0.6;
                count += 1;
                met += i32::from((phase - phase.round()).abs() * 0.6 < 0.03);
            }
        }
        assert!(met * 20 >= count * 19, "{met} of {count}");
    }
}

#[test]
fn rounds_survive_anything() {
    let mut random = Random(3);
    for round in 0..200 {
        let mut some = |most: f64, length: f64| {
            let count = random.between(0.0, most) as usize;
            marks(
                (0..count)
                    .map(|_| random.between(0.0, length))
                    .collect::<Vec<_>>(),
            )
        };
        let length = [0.02, 1.0, 20.0][round % 3];
        let (dance, song) = (some(30.0, length), some(300.0, 100.0));
        let options = Options {
            strength: random.between(0.0, 1.0),
            start: random.between(0.0, 9.0),
            ..Options::default()
        };
        let mut rounds = Rounds::new(&dance, &song, &options, length);
        for n in 0..50 {
            let before = rounds.end();
            let jump = rounds.beginnings().first().copied();
            rounds.extend(jump.filter(|_| n % 3 == 1));
            // However short it is, it goes on.
            assert!(rounds.end() >= before + 0.019, "{before} {}", rounds.end());
        }
        for n in 0..1000 {
            let place = rounds.at(f64::from(n) * 0.2);
            assert!(place.source.is_finite());
        }
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
