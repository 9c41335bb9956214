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
    return np.frombuffer(data, _WIRE).astype(np.int16, copy=False)


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
        if self._odd:
            data = self._odd + data
        whole = len(data) & ~1
        self._odd = data[whole:]
        return samples_from_bytes(memoryview(data)[:whole])


class Framer:
    """Cuts a stream of samples into frames of exactly ``size`` samples, keeping the rest for later."""

    def __init__(self, size: int = 512) -> None:
        if size < 1:
            raise ValueError("a frame has at least one sample")
        self.size = size
        self._kept: list[Samples] = []
        self.pending = 0
        """Samples kept that do not make a frame yet."""

    def push(self, samples: Samples) -> list[Samples]:
        """The frames complete with ``samples``, oldest first."""
        self.pending += len(samples)
        if self.pending < self.size:
            # What may change under us is copied; what came over a socket cannot.
            self._kept.append(samples.copy() if samples.flags.writeable else samples)
            return []
        self._kept.append(samples)
        stream = np.concatenate(self._kept) if len(self._kept) > 1 else samples
        whole = self.pending // self.size * self.size
        # A copy: the rest outlives the (possibly large) buffer it was cut from.
        self._kept = [stream[whole:].copy()]
        self.pending -= whole
        return [stream[start : start + self.size] for start in range(0, whole, self.size)]

    def reset(self) -> None:
        """Forget what is pending."""
        self._kept, self.pending = [], 0
