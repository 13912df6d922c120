#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Makes the fixtures of librosa.rs with librosa 0.11: python3 make_librosa_fixtures.py

Two short signals as 16-bit WAV (drum-like bursts, a gliding tone, a chord, a pause) and what
librosa's defaults make of them, as little-endian float32. Spectrogram-like arrays keep every
fourth column to stay small.
"""
from pathlib import Path

import librosa
import numpy as np
import soundfile

HERE = Path(__file__).parent / "fixtures"


def signal(rate: int, seconds: float) -> np.ndarray:
    rng = np.random.default_rng(11)
    t = np.arange(int(rate * seconds)) / rate
    y = 0.2 * np.sin(2 * np.pi * (220 * t + 60 * t**2)) * (t > 0.2)
    for k, start in enumerate(np.arange(0.15, seconds - 0.1, 0.23)):
        u = t - start
        burst = np.where(u >= 0, np.exp(-np.maximum(u, 0) * (20 + 15 * (k % 3))), 0)
        tone = np.sin(2 * np.pi * 70 * (k % 4 + 1) * u)
        y = y + burst * (0.3 * tone + 0.2 * (k % 2) * rng.standard_normal(len(t)))
    y[int(0.80 * len(y)) : int(0.88 * len(y))] = 0
    return np.clip(y, -1, 1)


def keep(name: str, values: np.ndarray) -> None:
    (HERE / name).write_bytes(np.ascontiguousarray(values, dtype="<f4").tobytes())


assert librosa.__version__.startswith("0.11"), librosa.__version__
HERE.mkdir(exist_ok=True)
for rate, seconds in ((22050, 3.0), (16000, 2.5)):
    path = HERE / f"{rate}.wav"
    soundfile.write(path, signal(rate, seconds), rate, subtype="PCM_16")
    y, _ = soundfile.read(path, dtype="float32")
    mel = librosa.feature.melspectrogram(y=y, sr=rate)
    envelope = librosa.onset.onset_strength(y=y, sr=rate)
    keep(f"{rate}.mel", mel[:, ::4])
    keep(f"{rate}.db", librosa.power_to_db(mel)[:, ::4])
    keep(f"{rate}.envelope", envelope)
    keep(f"{rate}.tempogram", librosa.feature.tempogram(y=y, sr=rate)[:, ::4])
    keep(f"{rate}.onsets", librosa.onset.onset_detect(y=y, sr=rate))
