// SPDX-License-Identifier: MPL-2.0
//! The pipelines in `docs/` and `README.md` do what they are printed for: they run.

use std::path::Path;

use crate::support::{click_movie, click_song, command, root, run};

/// The `gst-launch-1.0` commands in the fenced blocks of a page, continued lines joined.
fn pipelines(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let mut blocks = text.split("```");
    let mut found = Vec::new();
    // Blocks are every second piece.
    while let (Some(_), Some(block)) = (blocks.next(), blocks.next()) {
        let (_, lines) = block.split_once('\n').unwrap_or_default();
        for line in lines.replace("\\\n", " ").lines() {
            if line.trim_start().starts_with("gst-launch-1.0 ") {
                found.push(line.trim().to_owned());
            }
        }
    }
    found
}

/// Runs the pipelines of a page where its files are, without devices and to an end in any case.
fn check(page: &Path) {
    let dir = tempfile::tempdir().unwrap();
    click_song(&dir.path().join("song.ogg"), 4);
    click_movie(&dir.path().join("dance.mp4"), 4);
    // The dance beats every 600 ms, the song every 500.
    let mark =
        |kind, at: u64| format!("{{\"kind\":\"{kind}\",\"timestamp\":{at},\"strength\":1.0}}\n");
    let dance = (1..7).map(|n| mark("visual-beat", n * 600_000_000));
    let song = (1..8).map(|n| mark("beat", n * 500_000_000));
    let marks: String = dance.chain(song).collect();
    std::fs::write(dir.path().join("marks.jsonl"), marks).unwrap();
    let found = pipelines(page);
    assert!(!found.is_empty(), "no pipeline in {page:?}");
    for pipeline in found {
        let mut line = pipeline.clone();
        for (device, stand_in) in [
            ("autovideosink", "fakevideosink"),
            ("autoaudiosink", "fakeaudiosink"),
            (
                "autoaudiosrc",
                "audiotestsrc is-live=true wave=ticks num-buffers=200",
            ),
            ("autovideosrc", "videotestsrc is-live=true num-buffers=100"),
        ] {
            line = line.replace(device, stand_in);
        }
        line = line.replace("/path/", &format!("{}/", dir.path().display()));
        println!("{line}");
        // The shell of the reader splits it, so a shell does here.
        run(command(30, "sh")
            .arg("-c")
            .arg(line)
            .current_dir(dir.path()));
    }
}

#[test]
fn pages_of_the_elements() {
    let mut pages = 0;
    for entry in std::fs::read_dir(root().join("plugins/dance/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.join("imp.rs").exists() {
            let name = path.file_name().unwrap().to_str().unwrap();
            check(&root().join("docs").join(name).with_extension("md"));
            pages += 1;
        }
    }
    assert!(pages >= 4, "{pages} elements");
}

#[test]
fn readme() {
    check(&root().join("README.md"));
}
