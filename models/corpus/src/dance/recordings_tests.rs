// SPDX-License-Identifier: MPL-2.0
//! Tests on small folders in the sets' layouts, made with GStreamer's own test sources.

use super::*;
use crate::dance::folder;
use crate::dance::music::Songs;
use std::process::Command;

/// A video of `seconds`, with a click every half second, or without sound.
fn record(path: &Path, seconds: usize, sound: bool) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let folder = path.parent().unwrap();
    let wav = folder.join("click.tmp");
    clicks(&wav, seconds as f64);
    let audio = "filesrc name=sound ! wavparse ! audioconvert ! queue ! mux.";
    let mut description = format!(
        "videotestsrc num-buffers={} pattern=ball ! video/x-raw,width=160,height=90,framerate=30/1 ! \
         jpegenc ! queue ! avimux name=mux ! filesink name=out ",
        30 * seconds
    );
    if sound {
        description += &audio.replace(
            "name=sound",
            &format!("location={}", super::media::tests::quote(&wav)),
        );
    }
    let description = description.replace(
        "name=out",
        &format!("location={}", super::media::tests::quote(path)),
    );
    let status = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(description.split_whitespace())
        .status()
        .expect("gst-launch-1.0 (Debian: gstreamer1.0-tools)");
    assert!(status.success());
    std::fs::remove_file(wav).unwrap();
}

fn clicks(path: &Path, seconds: f64) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..(16_000.0 * seconds) as usize {
        let since = n % 8_000;
        let tone = (since as f32 * 0.4).sin() * (-(since as f32) / 300.0).exp();
        wav.write_sample((20_000.0 * tone) as i16).unwrap();
    }
    wav.finalize().unwrap();
}

fn names(folder: &Path, layout: Layout, split: Split) -> Vec<String> {
    let set = Recordings::open(folder, layout, split, DABFUSION);
    let stem = |r: &Recording| r.path.file_stem().unwrap().to_string_lossy().into_owned();
    set.map(|s| s.list().iter().map(stem).collect())
        .unwrap_or_default()
}

#[test]
fn a_video_s_middle_is_cut_out_with_its_sound() {
    let folder = tempfile::tempdir().unwrap();
    // A name that means something to a shell and to a pipeline's description.
    let path = folder.path().join("a \"b\" ! c.avi");
    record(&folder.path().join("plain.avi"), 10, true);
    std::fs::rename(folder.path().join("plain.avi"), &path).unwrap();
    let set = Recordings::open(
        folder.path(),
        Layout::Folder,
        split_of(folder.path()),
        MUDAR,
    )
    .unwrap();
    let clip = set.clip(0).unwrap();
    assert_eq!(clip.frames.pixels.dim(), (64, 256, 256, 3));
    assert_eq!(clip.music.len(), 128_000);
    assert!(
        (clip.info.offset - 1.0).abs() < 0.13,
        "{}",
        clip.info.offset
    );
    // 16:9 in a square: black above and below, a white ball on its way between.
    let bright = |y: usize, t: usize| (0..256).any(|x| clip.frames.pixels[[t, y, x, 0]] > 200);
    assert!((0..64).all(|t| !bright(20, t) && !bright(235, t)));
    assert!((0..64).all(|t| (60..200).any(|y| bright(y, t))));
    assert!(
        clip.frames.pixels.index_axis(ndarray::Axis(0), 0)
            != clip.frames.pixels.index_axis(ndarray::Axis(0), 9)
    );
    // The clicks fall on the half seconds of the video, and so on these of the clip.
    let off = |t: &f64| {
        ((t + clip.info.offset) * 2.0 - ((t + clip.info.offset) * 2.0).round()).abs() / 2.0
    };
    assert!(
        clip.info.onsets.len() >= 14 && clip.info.onsets.iter().all(|t| off(t) < 0.02),
        "{:?}",
        clip.info.onsets
    );
    assert!((clip.info.tempo - 120.0).abs() < 2.0, "{}", clip.info.tempo);
    let out = folder.path().join("out");
    folder::write(&clip, &out).unwrap();
    assert!(folder::read(&out).unwrap() == clip);
}

/// The split that the only video of a folder is in.
fn split_of(folder: &Path) -> Split {
    let splits = [Split::Training, Split::Validation, Split::Test];
    let of = |s: &Split| !names(folder, Layout::Folder, *s).is_empty();
    splits.into_iter().find(of).unwrap()
}

#[test]
fn each_set_is_split_as_it_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let touch = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    };
    for song in 0..6 {
        for camera in ["c01", "c09"] {
            touch(&format!("aist/gKR_sBM_{camera}_d28_mKR{song}_ch01.mp4"));
        }
    }
    let aist = folder.path().join("aist");
    assert_eq!(names(&aist, Layout::Aist, Split::Training).len(), 8);
    assert_eq!(
        names(&aist, Layout::Aist, Split::Validation),
        ["gKR_sBM_c01_d28_mKR4_ch01", "gKR_sBM_c09_d28_mKR4_ch01"]
    );
    let set = Recordings::open(&aist, Layout::Aist, Split::Test, MUDAR).unwrap();
    let last = &set.list()[1];
    assert_eq!(
        (last.genre.as_str(), last.song.as_str(), last.view),
        ("krump", "mKR5", 8)
    );
    // The lists of AIST++ have the last word.
    touch("aist/splits/crossmodal_val.txt");
    std::fs::write(
        aist.join("splits/crossmodal_val.txt"),
        "gKR_sBM_cAll_d28_mKR0_ch01\n",
    )
    .unwrap();
    assert_eq!(names(&aist, Layout::Aist, Split::Validation).len(), 4);
    touch("aist/holiday.mp4");
    let error = Recordings::open(&aist, Layout::Aist, Split::Test, MUDAR).unwrap_err();
    assert!(error.to_string().contains("holiday.mp4"), "{error}");

    for n in 0..60 {
        for start in [10, 250] {
            touch(&format!("lets/ballet/abc{n}_x_{start}.mp4"));
        }
        for dancer in 0..2 {
            touch(&format!("fifty/song{n}/d{dancer}.webm"));
        }
    }
    for (name, layout, cut) in [
        ("lets", Layout::LetsDance, 0),
        ("fifty", Layout::Dance50, 1),
    ] {
        let at = folder.path().join(name);
        let mut all = 0;
        for split in [Split::Training, Split::Validation, Split::Test] {
            let set = Recordings::open(&at, layout, split, MUDAR).unwrap();
            all += set.list().len();
            assert_eq!(set.list().len() % 2, 0, "what belongs together is parted");
            assert!(
                set.list()
                    .iter()
                    .all(|r| [&r.genre, &r.song][1 - cut].is_empty())
            );
            assert!(
                set.list()
                    .iter()
                    .all(|r| !([&r.genre, &r.song][cut]).is_empty())
            );
        }
        assert_eq!(all, 120);
    }
}

#[test]
fn recordings_that_are_no_use_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &str| {
        let at = folder.path().join(name);
        let set = Recordings::open(&at, Layout::Folder, split_of(&at), DABFUSION).unwrap();
        set.clip(0).unwrap_err().to_string()
    };
    record(&folder.path().join("mute/mute.avi"), 5, false);
    let text = error("mute");
    assert!(
        text.contains("mute.avi") && text.contains("no audio"),
        "{text}"
    );
    record(&folder.path().join("short/short.avi"), 2, true);
    let text = error("short");
    assert!(
        text.contains("short.avi") && text.contains("shorter"),
        "{text}"
    );
    std::fs::create_dir(folder.path().join("bad")).unwrap();
    std::fs::write(folder.path().join("bad/bad.mp4"), "no video").unwrap();
    assert!(error("bad").contains("bad.mp4"));
    let none = Recordings::open(
        &folder.path().join("nowhere"),
        Layout::Folder,
        Split::Test,
        MUDAR,
    );
    assert!(none.unwrap_err().to_string().contains("nowhere"));
}

#[test]
fn songs_out_of_a_folder_beat_and_empty_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    clicks(&folder.path().join("a.wav"), 12.0);
    clicks(&folder.path().join("b.wav"), 0.0);
    let songs = Songs::folder(folder.path(), 16_000).unwrap();
    assert_eq!(songs.count(), Some(2));
    let song = songs.song(0).unwrap();
    assert!(
        (song.tempo - 120.0).abs() < 1.0 && song.pulse.period() > 0.49,
        "{}",
        song.tempo
    );
    let error = songs.song(1).unwrap_err().to_string();
    assert!(error.contains("b.wav"), "{error}");
}
