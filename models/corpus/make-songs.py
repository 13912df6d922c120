#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Makes MIDI songs for the training audio: make-songs.py FOLDER [--count N] [--seed N]

Accompaniments by MMA (Debian: mma) over chords and sections drawn here, in every groove of its
libraries named below, and the music of Freedoom (Debian: freedoom). Writes FOLDER/train and
FOLDER/validation, which share no groove file and no piece.
"""

import argparse
import concurrent.futures
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import zlib

MMA = pathlib.Path("/usr/share/mma/lib")
# Not its conversions of a keyboard maker's style files (yamaha).
LIBRARIES = ["stdlib", "pflib", "alexis", "kara", "casio", "zoom"]
# Beats per minute that words in a groove's name suggest; the first that is there counts.
TEMPI = [
    ("ballad|slow|ambient|hymn|lullaby|spiritual|serenade|desert|trip", (54, 96)),
    ("16|funk|hip|soul|r.b|bossa|beguine|reggae|lfusion", (74, 116)),
    ("techno|house|trance|rave|dance|disco|boneym|euro", (112, 152)),
    ("metal|punk|quickstep|polka|bebop|fast|samba|dixie|bluegrass|viennese", (130, 210)),
    ("march|waltz|swing|jazz|combo|band|fox|twist|ska|jive", (96, 180)),
]  # fmt: skip
OTHERS = (80, 150)
FREEDOOM = pathlib.Path("/usr/share/games/doom")
PROGRESSIONS = [
    "C G Am F", "C Am F G7", "C F G7 C", "Am F C G", "Am G F E7", "Dm7 G7 CM7 CM7", "C C F G",
    "Am Dm E7 Am", "C Em F Fm", "Am Am Dm E7", "C Bb F C", "Em C G D", "C5 C5 Bb5 F5",
    "Em Em G A", "Cm Ab Bb Cm", "Dm Bb C Dm", "C7 F7 C7 G7", "Am C D F", "F G Em Am", "CM7 A7 Dm7 G7",
    "Am", "C", "Cm Fm", "E5 G5",
]  # fmt: skip


def grooves(path):
    """The grooves that a file of the library defines, in its order."""
    text = path.read_text(encoding="latin-1")
    return re.findall(r"^\s*DefGroove\s+(\S+)", text, re.MULTILINE | re.IGNORECASE)


def score(path, seed):
    """A song of about a minute and a half in one file's grooves."""
    choose = random.Random(f"{path.name} {seed}")
    names = grooves(path)
    role = lambda word: [n for n in names if word in n.lower()]
    intros, ends, fills = role("intro"), role("end"), role("fill")
    main = [n for n in names if n not in intros + ends + fills] or names
    prefix = "" if path.parent.name == "stdlib" else f"{path.parent.name}:"
    suggested = (tempo for words, tempo in TEMPI if re.search(words, path.stem.lower()))
    lines = [f"Tempo {choose.randint(*next(suggested, OTHERS))}", f"RndSeed {seed}"]
    bar = 0

    def play(groove, chords):
        nonlocal bar
        lines.append(f"Groove {prefix}{groove}")
        for chord in chords:
            bar += 1
            lines.append(f"{bar} {chord}")

    sections = [choose.choice(PROGRESSIONS).split() for _ in range(2)]
    if intros and choose.random() < 0.5:
        play(choose.choice(intros), (sections[0] * 4)[:4])
    for section in range(choose.randint(4, 6)):
        chords = (sections[section % 3 == 2] * 8)[:8]
        groove = choose.choice(main)
        if fills and choose.random() < 0.6:
            play(groove, chords[:7])
            play(choose.choice(fills), chords[7:])
        else:
            play(groove, chords)
    if ends and choose.random() < 0.3:
        play(choose.choice(ends), sections[0][:1] * 2)
    return "\n".join(lines) + "\n"


def accompany(path, seed, out):
    """Whether MMA could write the song."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "song.mma"
        source.write_text(score(path, seed))
        made = subprocess.run(
            ["mma", source, "-f", out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    if made.returncode:
        out.unlink(missing_ok=True)
    return made.returncode == 0


def lumps(wad):
    """The MIDI files in a WAD."""
    data = wad.read_bytes()
    count, at = struct.unpack("<ii", data[4:12])
    for n in range(count):
        start, length, name = struct.unpack_from("<ii8s", data, at + 16 * n)
        if name.startswith(b"D_") and data[start : start + 4] == b"MThd":
            yield name.rstrip(b"\0").decode("ascii").lower(), data[start : start + length]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--count", type=int, default=1200, help="of accompaniments")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    files = [f for library in LIBRARIES for f in sorted((MMA / library).glob("*.mma"))]
    files = [f for f in files if "metronome" not in f.name and grooves(f)]
    wads = sorted(FREEDOOM.glob("freedoom?.wad"))
    if not files or not wads:
        sys.exit("needs the Debian packages mma and freedoom")
    held_out = lambda name: zlib.crc32(name.encode()) % 10 == 0
    split = lambda name: given.folder / ("validation" if held_out(name) else "train")
    for name in ("train", "validation"):
        (given.folder / name).mkdir(parents=True, exist_ok=True)
    for wad in wads:
        for name, midi in lumps(wad):
            # Both games share pieces: one file each, whichever game it is named in.
            (split(f"{zlib.crc32(midi)}") / f"freedoom-{zlib.crc32(midi):08x}.mid").write_bytes(midi)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        jobs = []
        for n in range(given.count):
            file = files[n % len(files)]
            seed = given.seed * 100_000 + n
            name = f"{file.parent.name}-{file.stem}-{n // len(files)}.mid"
            jobs.append(pool.submit(accompany, file, seed, split(file.name) / name))
        made = sum(job.result() for job in jobs)
    print(f"{made} of {given.count} accompaniments", file=sys.stderr)
    if made < given.count / 2:
        sys.exit("MMA refused most of them")


main()
