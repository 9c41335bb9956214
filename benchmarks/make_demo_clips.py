"""Make the clips that `antiphon demo` speaks: flite's `rms` voice, silence at both ends cut away.

Voice and sentences were chosen such that the end-of-turn model hears that each is complete. It does not with
every synthetic sentence, and the agent then waits longer.

Needs Debian's `flite`. The clips are in the repository, so this only has to run again to change them:

    python benchmarks/make_demo_clips.py
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLIPS = {
    "capital": "What is the capital of France?",
    "story": "Please tell me a short story about a ship in a storm.",
    "sum": "Wait, stop please. What is two plus three?",
    "day": "Thanks. What day comes after Monday?",
}
FOLDER = Path(__file__).parents[1] / "src" / "antiphon" / "demo"
RATE = 16_000
QUIET = 0.01
"""Of full scale: what lies below at either end is cut."""
LONGEST_PAUSE_S = 0.24
"""Pauses within a clip are shortened to this, so that each clip is one turn."""


def speak(text: str) -> NDArray[np.int16]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.wav"
        subprocess.run(["flite", "-voice", "rms", "-t", text, path], check=True)
        with wave.open(str(path)) as file:
            assert file.getframerate() == RATE
            return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def trimmed(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """The samples from the first loud one to the last, with long pauses shortened."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET * 32768)
    longest = int(LONGEST_PAUSE_S * RATE)
    pieces = []
    start = loud[0]
    for before, after in pairwise(loud):
        if after - before > longest:
            pieces.append(samples[start : before + longest // 2])
            start = after - longest // 2
    pieces.append(samples[start : loud[-1] + 1])
    return np.concatenate(pieces)


def main() -> None:
    for name, text in CLIPS.items():
        samples = trimmed(speak(text))
        with wave.open(str(FOLDER / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))
            file.writeframes(samples.tobytes())
        print(f"{name}: {len(samples) / RATE:.2f} s")


if __name__ == "__main__":
    main()
