// SPDX-License-Identifier: MPL-2.0
//! Sources for tests, written into a folder of their own: no package and no download is needed.

use std::path::{Path, PathBuf};

use midly::num::{u4, u7, u15, u28};
use midly::{Format, Header, MetaMessage, MidiMessage, Smf, Timing, TrackEvent, TrackEventKind};
use tempfile::TempDir;

use super::{Config, Sources};

/// A folder with two soundfonts, two kits and a Groove folder; gone when dropped.
pub struct Fixture {
    folder: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for (number, split) in ["train", "validation"].into_iter().enumerate() {
            let kit = at.join(format!("kit-{split}"));
            std::fs::create_dir_all(&kit).unwrap();
            for (n, file) in ["kick", "snare", "hat_closed", "tom_low"]
                .iter()
                .enumerate()
            {
                stroke(&kit.join(format!("{file}.wav")), n, 40.0 + number as f32);
            }
            std::fs::write(at.join(format!("{split}.sf2")), soundfont(number)).unwrap();
        }
        groove(&at.join("groove"));
        songs(&at.join("songs"));
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> Config {
        let sources = |split: &str| Sources {
            soundfonts: vec![self.path(&format!("{split}.sf2"))],
            kits: vec![self.path(&format!("kit-{split}"))],
        };
        Config {
            train: sources("train"),
            validation: sources("validation"),
            groove: self.path("groove"),
            songs: None,
            seconds: 4.0,
            rate: 16_000,
            seed: 3,
        }
    }
}

fn stroke(path: &Path, kind: usize, pitch: f32) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 22_050,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..6_000 {
        let t = n as f32 / 22_050.0;
        let tone = (pitch * (1 + kind * 17) as f32 * std::f32::consts::TAU * t).sin();
        let x = tone * (-t / 0.05).exp() * (t / 0.001).min(1.0);
        for _ in 0..2 {
            wav.write_sample((20_000.0 * x) as i16).unwrap();
        }
    }
    wav.finalize().unwrap();
}

/// SoundFont 2.04 with one looped sample for one program and one drum set.
fn soundfont(number: usize) -> Vec<u8> {
    fn chunk(id: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut out = id.to_vec();
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        if data.len() % 2 == 1 {
            out.push(0);
        }
        out
    }
    fn list(kind: &[u8; 4], chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut data = kind.to_vec();
        data.extend(chunks.concat());
        chunk(b"LIST", &data)
    }
    fn name(text: &str) -> Vec<u8> {
        let mut out = text.as_bytes().to_vec();
        out.resize(20, 0);
        out
    }
    fn words(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
    let length = 4_000u32;
    let period = 40.0 + number as f32;
    let wave = (0..length + 46).map(|n| {
        let x = (std::f32::consts::TAU * n as f32 / period).sin();
        let rise = (n as f32 / 60.0).min(1.0);
        if n < length {
            (12_000.0 * x * rise) as i16
        } else {
            0
        }
    });
    let wave: Vec<u8> = wave.flat_map(i16::to_le_bytes).collect();
    let preset = |title: &str, bank: u16, bag: u16| {
        [name(title), words(&[0, bank, bag, 0, 0, 0, 0, 0, 0])].concat()
    };
    let sample = |title: &str, end: u32| {
        let mut out = name(title);
        for v in [0, end, end.min(400), end.saturating_sub(200), 22_050] {
            out.extend(v.to_le_bytes());
        }
        out.extend([69, 0]);
        out.extend(words(&[0, 1]));
        out
    };
    let info = [
        chunk(b"ifil", &words(&[2, 4])),
        chunk(b"isng", b"EMU8000\0"),
        chunk(b"INAM", b"fixture\0"),
    ];
    let presets = [
        preset("tone", 0, 0),
        preset("drums", 128, 1),
        preset("EOP", 0, 2),
    ];
    let pdta = [
        chunk(b"phdr", &presets.concat()),
        chunk(b"pbag", &words(&[0, 0, 1, 0, 2, 0])),
        chunk(b"pmod", &[0; 10]),
        chunk(b"pgen", &words(&[41, 0, 41, 0, 0, 0])),
        chunk(
            b"inst",
            &[name("tone"), words(&[0]), name("EOI"), words(&[1])].concat(),
        ),
        chunk(b"ibag", &words(&[0, 0, 2, 0])),
        chunk(b"imod", &[0; 10]),
        chunk(b"igen", &words(&[54, 1, 53, 0, 0, 0])),
        chunk(
            b"shdr",
            &[sample("wave", length), sample("EOS", 0)].concat(),
        ),
    ];
    let mut data = b"sfbk".to_vec();
    data.extend(list(b"INFO", &info));
    data.extend(list(b"sdta", &[chunk(b"smpl", &wave)]));
    data.extend(list(b"pdta", &pdta));
    chunk(b"RIFF", &data)
}

/// `count` short strokes of the drums in turn, `step` ticks apart; 480 are a quarter.
fn strokes(keys: &[u8], count: usize, step: u32) -> Vec<TrackEvent<'static>> {
    let mut track = Vec::new();
    for n in 0..count {
        let key = u7::new(keys[n % keys.len()]);
        for (delta, vel) in [(if n == 0 { 0 } else { step - 40 }, 100), (40, 0)] {
            let message = MidiMessage::NoteOn {
                key,
                vel: u7::new(vel),
            };
            let channel = u4::new(9);
            track.push(TrackEvent {
                delta: u28::new(delta),
                kind: TrackEventKind::Midi { channel, message },
            });
        }
    }
    track
}

fn meta(delta: u32, message: MetaMessage<'static>) -> TrackEvent<'static> {
    TrackEvent {
        delta: u28::new(delta),
        kind: TrackEventKind::Meta(message),
    }
}

fn save(mut track: Vec<TrackEvent>, path: &Path) {
    track.push(meta(0, MetaMessage::EndOfTrack));
    let header = Header::new(Format::SingleTrack, Timing::Metrical(u15::new(480)));
    let mut file = Smf::new(header);
    file.tracks.push(track);
    file.save(path).unwrap();
}

/// A waltz and a march; what changes its metre; what has nothing on its beats.
fn songs(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let tempo = meta(0, MetaMessage::Tempo(600_000.into()));
    let metre = |beats| meta(0, MetaMessage::TimeSignature(beats, 2, 24, 8));
    let waltz = [vec![metre(3), tempo], strokes(&[36, 38, 38], 12, 480)].concat();
    save(waltz, &folder.join("waltz.mid"));
    save(
        strokes(&[36, 42, 38, 42], 32, 240),
        &folder.join("march.mid"),
    );
    let turns = strokes(&[36, 38, 38], 12, 480);
    let turns = [vec![metre(3)], turns.clone(), vec![metre(4)], turns].concat();
    save(turns, &folder.join("turns.mid"));
    let mut late = strokes(&[36, 38], 16, 480);
    late[0].delta = u28::new(140);
    save(late, &folder.join("late.mid"));
}

/// One take a split: two bars of kick, hat, snare, hat.
fn groove(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let mut list = "drummer,session,id,style,bpm,beat_type,time_signature,midi_filename,\
                    audio_filename,duration,split\n"
        .to_owned();
    for split in ["train", "validation", "test"] {
        list += &format!("d,s,1,rock/x,120,beat,4-4,{split}.mid,,4.0,{split}\n");
        let track = strokes(&[36, 42, 38, 42], 16, 240);
        save(track, &folder.join(format!("{split}.mid")));
    }
    std::fs::write(folder.join("info.csv"), list).unwrap();
}
