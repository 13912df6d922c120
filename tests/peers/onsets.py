# SPDX-License-Identifier: MPL-2.0
"""The Python half of peers.sh: scores and times onset detectors on exported clips.

  onsets.py make CLIPS WAV      ten minutes of stereo from the clips at 44.1 kHz
  onsets.py score CLIPS         onset F at ±50 and ±25 ms after mir_eval, mean over clips
  onsets.py speed WAV COMMAND   user time of one thread for each detector
"""
import os
import resource
import subprocess
import sys
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import soundfile


def times(path: Path) -> np.ndarray:
    return np.array([float(line.split()[0]) for line in path.read_text().splitlines() if line])


def make(clips: Path, target: Path) -> None:
    parts = []
    for path in sorted(clips.glob("*.wav")):
        samples, rate = soundfile.read(path, dtype="float32")
        if rate == 44_100:
            parts.append(samples)
    one = np.concatenate(parts)
    mono = np.resize(one, 600 * 44_100)
    soundfile.write(target, np.stack([mono, 0.8 * mono], 1), 44_100, subtype="PCM_16")


def score(clips: Path) -> None:
    import librosa
    import mir_eval

    systems = {"superflux": "found", "aubioonset": "aubio", "librosa": None}
    print(f"{'onsets':12} F ±50  F ±25  bias of drums, ms")
    for system, suffix in systems.items():
        wide, narrow, errors = [], [], []
        for path in sorted(clips.glob("*.wav")):
            truth = times(path.with_suffix(".onsets"))
            if suffix:
                found = times(path.with_suffix("." + suffix))
            else:
                y, rate = librosa.load(path)
                found = librosa.onset.onset_detect(y=y, sr=rate, units="time")
            if len(truth) == 0 and len(found) == 0:
                wide.append(1.0)
                narrow.append(1.0)
                continue
            wide.append(mir_eval.onset.f_measure(truth, found, window=0.05)[0])
            narrow.append(mir_eval.onset.f_measure(truth, found, window=0.025)[0])
            if path.name.startswith("drums"):
                for r, e in mir_eval.util.match_events(truth, found, 0.05):
                    errors.append(found[e] - truth[r])
        bias = 1e3 * np.median(errors)
        print(f"{system:12} {np.mean(wide):.3f}  {np.mean(narrow):.3f}  {bias:+.1f}")


LIBROSA = """
import sys, soundfile, librosa
y, rate = soundfile.read(sys.argv[1], dtype="float32")
y = y.mean(1)
if len(sys.argv) > 2:
    y = librosa.resample(y, orig_sr=rate, target_sr=22050)
    librosa.onset.onset_detect(y=y, sr=22050)
"""


def speed(wav: Path, ours: str) -> None:
    seconds = soundfile.info(wav).duration

    def user(*command: object) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    # librosa's time is that of detection alone: importing and reading the file is taken off.
    python = (sys.executable, "-c", LIBROSA, wav)
    user(*python, "detect")
    rows = {
        "superflux": min(user(ours, wav) for _ in range(3)),
        "aubioonset": min(user("aubioonset", wav) for _ in range(3)),
        "librosa": min(user(*python, "detect") for _ in range(3)) - user(*python),
    }
    print(f"\n{seconds:.0f} s of stereo 44.1 kHz, user time of one thread")
    for system, used in rows.items():
        print(f"{system:12} {used:6.2f} s  {seconds / used:6.0f} × real time")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"make": make, "score": score, "speed": speed}[command](
        *(a if k and command == "speed" else Path(a) for k, a in enumerate(arguments))
    )
