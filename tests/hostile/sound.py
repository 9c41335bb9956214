"""What callers say here: the scripted voice activity hears what is loud."""

from __future__ import annotations

import numpy as np

from antiphon.client.wav import Samples

RATE = 16_000


def tone(seconds: float, rate: int = RATE) -> Samples:
    """Loud: speech."""
    times = np.arange(int(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * 220 * times)).astype(np.int16)


def silence(seconds: float, rate: int = RATE) -> Samples:
    """Not speech."""
    return np.zeros(int(seconds * rate), np.int16)


def pcm(samples: Samples) -> bytes:
    """As it goes over the wire."""
    return samples.astype("<i2").tobytes()
