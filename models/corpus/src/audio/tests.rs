// SPDX-License-Identifier: MPL-2.0
//! Tests of whole clips.

use super::fixture::Fixture;
use super::*;

fn same(a: &Clip, b: &Clip) {
    assert_eq!(a.samples, b.samples);
    assert_eq!(a.onsets, b.onsets);
    assert_eq!(a.beats, b.beats);
    assert_eq!(a.recipe, b.recipe);
}

#[test]
fn a_clip_is_a_function_of_its_seed_and_number() {
    let fixture = Fixture::new();
    let mut config = fixture.config();
    let one = Generator::new(&config, Split::Training).unwrap();
    let forward: Vec<Clip> = (0..4).map(|n| one.clip(n)).collect();
    // Another generator, threads, another order, with and without measured notes.
    let other = Generator::new(&config, Split::Training).unwrap();
    std::thread::scope(|scope| {
        for n in [3, 1, 2, 0] {
            let (other, forward) = (&other, &forward);
            scope.spawn(move || same(&other.clip(n), &forward[n as usize]));
        }
    });
    same(&one.clip(2), &forward[2]);
    config.seed += 1;
    let next = Generator::new(&config, Split::Training).unwrap();
    assert_ne!(next.clip(1).samples, forward[1].samples);
    assert_ne!(forward[0].samples, forward[1].samples);
}

#[test]
fn truth_lies_in_the_clip_and_on_rising_energy() {
    let fixture = Fixture::new();
    let config = fixture.config();
    let generator = Generator::new(&config, Split::Training).unwrap();
    let (mut musical, mut rises) = (0, Vec::new());
    for index in 0..40 {
        let clip = generator.clip(index);
        assert_eq!(clip.samples.len(), 64_000);
        assert!(clip.samples.iter().all(|x| x.is_finite() && x.abs() <= 1.0));
        let top = peak(&clip.samples);
        assert!(
            (gain(-36.0)..=1.0).contains(&top) || clip.recipe == "silence",
            "{top} {}",
            clip.recipe
        );
        let inside = |t: f64| (0.0..4.0).contains(&t);
        assert!(clip.onsets.iter().all(|&t| inside(t)));
        let apart = truth::COMBINE - 1e-3;
        assert!(clip.onsets.windows(2).all(|w| w[1] - w[0] > apart));
        assert!(clip.beats.iter().all(|b| inside(b.time)));
        assert!(clip.beats.windows(2).all(|w| w[1].time > w[0].time));
        let numbers = 1..=clip.meter;
        assert!(clip.beats.iter().all(|b| numbers.contains(&b.bar_position)));
        assert_eq!(clip.beats.is_empty(), clip.meter == 0);
        assert!(clip.tempo == 0.0 && clip.meter == 0 || (37.0..240.0).contains(&clip.tempo));
        musical += usize::from(clip.onsets.len() > 3 && clip.beats.len() > 2);
        for &onset in &clip.onsets {
            let at = (onset * 16_000.0) as usize;
            if at > 160 && !clip.recipe.contains("dB;") {
                let before = rms(&clip.samples[at - 160..at]);
                let after = rms(&clip.samples[at..at + 320]);
                rises.push(after / before.max(1e-6));
            }
        }
    }
    assert!(musical > 28, "{musical}");
    rises.sort_by(f32::total_cmp);
    assert!(rises[rises.len() / 2] > 1.3, "{}", rises[rises.len() / 2]);
}

#[test]
fn splits_share_nothing() {
    let fixture = Fixture::new();
    let mut config = fixture.config();
    let train = Generator::new(&config, Split::Training).unwrap();
    let held_out = Generator::new(&config, Split::Validation).unwrap();
    let sources: Vec<&str> = held_out.sources().collect();
    assert_eq!(sources.len(), 3);
    assert!(train.sources().all(|s| !sources.contains(&s)));
    assert_ne!(train.clip(0).recipe, held_out.clip(0).recipe);
    config.validation.kits.push(fixture.path("kit-train"));
    let error = Generator::new(&config, Split::Training).err().unwrap();
    assert!(error.to_string().contains("kit-train"), "{error}");
}

#[test]
fn what_is_missing_or_broken_is_named() {
    let fixture = Fixture::new();
    let error = |change: &dyn Fn(&mut Config)| {
        let mut config = fixture.config();
        change(&mut config);
        let error = Generator::new(&config, Split::Training).err();
        error.expect("an error").to_string()
    };
    let text = error(&|c| c.train.soundfonts[0] = "/nowhere/a.sf2".into());
    assert_eq!(text, "/nowhere/a.sf2: no such soundfont");
    let text = error(&|c| c.train.kits[0] = "/nowhere/kit".into());
    assert_eq!(text, "/nowhere/kit: no such drum kit");
    let text = error(&|c| c.groove = "/nowhere/groove".into());
    assert!(text.contains("/nowhere/groove/info.csv"), "{text}");
    let text = error(&|c| c.train.kits.clear());
    assert!(text.contains("at least one soundfont and one kit"));
    assert!(error(&|c| c.seconds = f64::NAN).contains("seconds"));
    assert!(error(&|c| c.rate = 8_000).contains("rate"));
    let broken = fixture.path("broken.sf2");
    std::fs::write(&broken, b"RIFF nothing").unwrap();
    let text = error(&|c| c.train.soundfonts[0].clone_from(&broken));
    assert!(text.contains("broken.sf2"), "{text}");
    let sample = fixture.path("kit-train").join("snare_2.wav");
    std::fs::write(&sample, b"RIFF nothing").unwrap();
    assert!(error(&|_| ()).contains("snare_2.wav"));
}

#[test]
fn the_shipped_configuration_is_read_and_bad_ones_are_refused() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/audio.toml");
    let config = Config::read(&shipped).unwrap();
    assert_eq!(config.validation.kits.len(), 2);
    let fixture = Fixture::new();
    let bad = fixture.path("bad.toml");
    std::fs::write(&bad, "seconds = 3\nspeed = 4").unwrap();
    assert!(
        Config::read(&bad)
            .unwrap_err()
            .to_string()
            .contains("bad.toml")
    );
    assert!(Config::read(Path::new("/nowhere.toml")).is_err());
}
