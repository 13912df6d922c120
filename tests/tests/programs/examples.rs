// SPDX-License-Identifier: MPL-2.0
//! The applications in `examples/`, run on a metronome.

use std::process::Command;

use crate::support::{NONE, built, click_track, clicks, command, fails, missed, root, run};

/// The lines of an example as the seconds and the other columns.
fn rows(text: &str) -> Vec<(f64, Vec<String>)> {
    text.lines()
        .map(|line| {
            let mut columns = line.split('\t').map(String::from);
            let seconds = columns.next().unwrap().parse().unwrap();
            (seconds, columns.collect())
        })
        .collect()
}

/// The marks of both readers of the meta: each click is an onset, and later on a beat.
fn check_marks(text: &str) {
    let rows = rows(text);
    let of = |kinds: &[&str]| {
        rows.iter()
            .filter(|(_, columns)| kinds.contains(&columns[0].as_str()))
            .map(|(seconds, _)| *seconds)
            .collect::<Vec<_>>()
    };
    assert_eq!(missed(&clicks(12), &of(&["onset"]), 0.015), NONE, "{text}");
    let beats = of(&["beat", "downbeat"]);
    assert_eq!(missed(&clicks(12)[6..], &beats, 0.015), NONE, "{text}");
}

#[test]
fn rust_prints_the_beats() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("clicks 'n' \"beats\".flac");
    click_track(&media, 12);
    let beats = built().join("beats");
    let text = run(command(60, &beats).arg(&media));
    let rows = rows(&text);
    let seconds = rows.iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(missed(&clicks(12), &seconds, 0.015), NONE, "{text}");
    assert!(rows.iter().all(|row| row.1[1] == "120.0"), "{text}");
    // A bar has a first beat and others.
    for place in ["1", "2"] {
        assert!(rows.iter().any(|row| row.1[0] == place), "{text}");
    }

    assert!(fails(&mut command(60, &beats)).contains("usage"));
    let absent = fails(command(60, &beats).arg("absent.ogg"));
    assert!(absent.contains("not found"), "{absent}");
    let text = fails(command(60, &beats).arg(root().join("Cargo.toml")));
    assert!(text.contains("text file"), "{text}");
}

#[test]
fn python_reads_the_meta() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("clicks é.flac");
    click_track(&media, 12);
    let program = root().join("examples/read_marks.py");
    check_marks(&run(command(60, &program).arg(&media)));
    let absent = fails(command(60, &program).arg("absent.ogg"));
    assert!(absent.contains("not found"), "{absent}");
}

#[test]
fn c_reads_the_meta() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("clicks é.flac");
    click_track(&media, 12);
    let flags = run(Command::new("pkg-config").args(["--cflags", "--libs", "gstreamer-1.0"]));
    let program = dir.path().join("read_marks");
    run(Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(root().join("examples/read_marks.c"))
        .args(flags.split_whitespace()));
    check_marks(&run(command(60, &program).arg(&media)));
    let absent = fails(command(60, &program).arg("absent.ogg"));
    assert!(absent.contains("not found"), "{absent}");
}
