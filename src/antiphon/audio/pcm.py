"""Mono 16-bit PCM: bytes as they travel, samples as we compute with them, frames as models want them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]
"""One-dimensional mono audio."""

BYTES_PER_SAMPLE = 2

_WIRE = np.dtype("<i2")


def silence(count: int) -> Samples:
    """``count`` samples of silence."""
    return np.zeros(count, np.int16)


def samples_from_bytes(data: bytes | bytearray | memoryview) -> Samples:
    """s16le bytes as samples, without a copy where the machine is little-endian.

    Raises ``ValueError`` for an odd number of bytes; :class:`OddByteJoiner` is for streams that have them.
    """
    samples = np.frombuffer(data, _WIRE)
    return samples if _WIRE.isnative else samples.astype(np.int16)


def bytes_from_samples(samples: Samples) -> bytes:
    """Samples as s16le bytes."""
    return samples.astype(_WIRE, copy=False).tobytes()


def int16_from_float(signal: NDArray[np.floating[Any]]) -> Samples:
    """A signal of full scale ±1.0 as samples: rounded, clipped beyond full scale, ``nan`` as silence."""
    scaled = np.nan_to_num(np.asarray(signal, np.float64) * 32768.0, nan=0.0)
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)


def float_from_int16(samples: Samples) -> NDArray[np.float32]:
    """Samples as a signal of full scale ±1.0."""
    return samples.astype(np.float32) / np.float32(32768.0)


class OddByteJoiner:
    """Makes samples of binary frames that may split a sample: the odd byte waits for the next frame."""

    def __init__(self) -> None:
        self._odd = b""

    def push(self, data: bytes) -> Samples:
        """The whole samples that are there with ``data``; none is lost and none invented."""
        if self._odd or len(data) & 1:
            data = self._odd + data
            whole = len(data) & ~1
            self._odd = data[whole:]
            data = data[:whole]
        return samples_from_bytes(data)


class Framer:
    """Cuts a stream of samples into frames of exactly ``size`` samples, keeping the rest for later."""

    def __init__(self, size: int = 512) -> None:
        if size < 1:
            raise ValueError("a frame has at least one sample")
        self.size = size
        self._next = np.empty(size, np.int16)
        self.pending = 0
        """Samples kept that do not make a frame yet."""

    def push(self, samples: Samples) -> list[Samples]:
        """The frames complete with ``samples``, oldest first; each has memory of its own."""
        filled = self.pending + len(samples)
        if filled < self.size:
            self._next[self.pending : filled] = samples
            self.pending = filled
            return []
        frames = []
        start = 0
        while filled >= self.size:
            stop = start + self.size - self.pending
            self._next[self.pending :] = samples[start:stop]
            frames.append(self._next)
            self._next = np.empty(self.size, np.int16)
            self.pending = 0
            start = stop
            filled -= self.size
        self._next[:filled] = samples[start:]
        self.pending = filled
        return frames

    def reset(self) -> None:
        """Forget what is pending."""
        self.pending = 0
