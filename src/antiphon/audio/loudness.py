"""How loud a frame is, beside the noise of the line."""

from __future__ import annotations

import math

import numpy as np

from antiphon.audio.pcm import Samples

QUIETEST_DB = -70.0
"""dBFS. What is quieter is silence; a line that sends zeros is no quieter than that."""

FULL_SCALE = 32_768.0

_FALLS, _RISES = 0.2, 0.03
"""What one frame adds to the running floor where it is quieter, and where it is louder."""


def level_db(samples: Samples) -> float:
    """Root mean square in dB of full scale, at least ``QUIETEST_DB``."""
    if not samples.size:
        return QUIETEST_DB
    loud = samples.astype(np.float32)
    power = float(np.dot(loud, loud)) / (samples.size * FULL_SCALE**2)
    return max(QUIETEST_DB, 10 * math.log10(power + 1e-12))


class NoiseFloor:
    """The running level of what is no speech; quick to fall, slow to rise (some two seconds at 32 ms a frame)."""

    def __init__(self) -> None:
        self._floor_db: float | None = None

    def rise_db(self, samples: Samples, *, speech: bool) -> float:
        """How far the next frame is above the floor before it, dB. ``speech`` leaves the floor as it is."""
        level = level_db(samples)
        if self._floor_db is None:
            self._floor_db = level if not speech else QUIETEST_DB
        rise = level - self._floor_db
        if not speech:
            self._floor_db += rise * (_FALLS if rise < 0 else _RISES)
        return rise
