"""Silero, outside of any server: what a caller's turn looks like to it, and what it costs by itself.

With the scores of exactly what a caller sent it is known which packet made a turn complete, so that what is
measured from there is a server's doing, and not the model's hold on the last sound of a word.

    python -m load.activity CORE    (prints what one second of one call's audio costs, for some sizes of batch, by the
                                     ONNX runtime and as Antiphon computes it)
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from antiphon.client.wav import Samples
from antiphon.engines.silero_network import SileroNetwork, Workspace
from antiphon.engines.weights import cache

FRAME, CONTEXT, STATE = 512, 64, 128
RATE = 16_000
FRAME_S = FRAME / RATE
ENDPOINT_FRAMES = 12
"""0.384 s."""
BATCHES = (1, 4, 8, 16, 24)


def weights() -> Path:
    """The fetched model. Raises :class:`~antiphon.errors.ModelMissing`, which says how to fetch it."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache.find("silero-vad", Path(os.environ.get("ANTIPHON_MODELS") or caches / "antiphon" / "models"))


class Activity:
    """The model by itself."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort  # after antiphon, which turns its telemetry off

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._rate = np.array(RATE, np.int64)
        self._network = SileroNetwork(path)

    def run(self, frames: NDArray[np.float32], state: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """``frames [B, 64 + 512]`` and ``state [2, B, 128]`` to scores ``[B, 1]`` and the next state."""
        scores, state = self._session.run(None, {"input": frames, "state": state, "sr": self._rate})
        return [scores, state]

    def score(self, sound: NDArray[np.int16]) -> NDArray[np.float32]:
        """The scores of ``sound [B, whole frames]``, ``[B, frames]``."""
        calls, samples = sound.shape
        padded = np.pad(sound, ((0, 0), (CONTEXT, 0))).astype(np.float32) / np.float32(32_768)
        state = np.zeros((2, calls, STATE), np.float32)
        scores = np.empty((calls, samples // FRAME), np.float32)
        for frame in range(samples // FRAME):
            one, state = self.run(padded[:, frame * FRAME : (frame + 1) * FRAME + CONTEXT], state)
            scores[:, frame] = one[:, 0]
        return scores

    def costs_ms(self, batch: int, sound: Samples) -> dict[str, float]:
        """Processor milliseconds for one second of one call's audio, ``batch`` calls at a time, by who computes it."""
        frame = np.tile(sound[: FRAME + CONTEXT].astype(np.float32) / np.float32(32_768), (batch, 1))
        state = np.zeros((2, batch, STATE), np.float32)
        ours, workspace = np.zeros((batch, 2, STATE), np.float32), Workspace(batch)
        return {
            "onnxruntime": _cost_ms(lambda: self.run(frame, state), batch),
            "antiphon": _cost_ms(lambda: self._network.run(frame, ours, workspace), batch),
        }


def _cost_ms(work: Callable[[], object], batch: int, seconds: float = 1.0) -> float:
    for _ in range(50):
        work()
    began, runs = time.process_time(), 0
    while time.process_time() - began < seconds:
        for _ in range(20):
            work()
        runs += 20
    return (time.process_time() - began) / (runs * batch) / FRAME_S * 1000


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    activity = Activity(weights())
    sound = np.random.default_rng(5).normal(0, 3_000, RATE).astype(np.int16)
    json.dump({batch: activity.costs_ms(batch, sound) for batch in BATCHES}, sys.stdout)


if __name__ == "__main__":
    main()
