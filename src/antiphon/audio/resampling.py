"""Changing the sample rate: live and streaming with a delay of at most 1.5 ms, or a whole file at once.

The live method is a windowed sinc (Kaiser) evaluated at each output sample's exact place between the
input samples. Coefficients are rounded to multiples of 2**-24; with 16-bit input every sum is then exact
in a double, so the result does not depend on the order of summation, nor on how the input was chopped.

Source of the design formulas: J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window
function", ISCAS 1974 (window shape and transition width from stop-band attenuation).
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, pi
from typing import Final, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from antiphon.audio.pcm import Samples, silence

_Signal = NDArray[np.float64]

MAX_DELAY_S: Final = 0.0015
"""What the live resampler holds back at most: it must hear this much of the future."""

_STOP_BAND_DB: Final = 60.0
_PASS_BAND: Final = 0.8
"""Of the new band when downsampling; at low rates the 1.5 ms do not buy both this and a stop band from Nyquist on."""

_QUANTUM: Final = 2.0**24
_TABLE_PHASES: Final = 256
_GATHERED: Final = 128
_LARGEST_MATRICES: Final = 500_000
"""Coefficients of one pair of rates beyond which the phases are interpolated instead."""


class LiveResampler:
    """Resamples one stream, piece by piece, from any whole rate to any other.

    Output sample ``n`` lies at the input's time ``n / to_rate``: there is no shift between the two, the
    output only comes up to ``delay_s`` later. Equal rates pass through untouched. What comes out, joined,
    is the same to the bit however the input is chopped.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        if from_rate < 1 or to_rate < 1:
            raise ValueError("sample rates are positive")
        self.from_rate = from_rate
        self.to_rate = to_rate
        divisor = gcd(from_rate, to_rate)
        self._up = to_rate // divisor
        self._down = from_rate // divisor
        self._kernel = _kernel(from_rate, to_rate) if from_rate != to_rate else None
        self._begin()

    @property
    def delay_s(self) -> float:
        """Seconds of input that must follow an output sample before it can be computed."""
        return self._kernel.half / self.from_rate if self._kernel else 0.0

    def push(self, samples: Samples) -> Samples:
        """The output that is complete with ``samples``, possibly none."""
        if self._kernel is None:
            return samples
        # In pieces: memory stays small for a huge frame, and the products too small for BLAS to start threads.
        piece = max(self.from_rate // 25, 1)
        if len(samples) <= piece:
            return self._advance(self._kernel, samples)
        parts = [self._advance(self._kernel, samples[at : at + piece]) for at in range(0, len(samples), piece)]
        return np.concatenate(parts)

    def flush(self) -> Samples:
        """The rest, as if silence followed. The next ``push`` begins a new stream.

        All output together then is ``ceil(input * to_rate / from_rate)`` samples.
        """
        if self._kernel is None:
            return silence(0)
        rest = self._advance(self._kernel, silence(self._kernel.half))
        self._begin()
        return rest

    def _begin(self) -> None:
        self._taken = 0
        self._given = 0
        self._history = np.zeros(self._kernel.reach if self._kernel else 0)

    def _advance(self, kernel: _Kernel, samples: Samples) -> Samples:
        kept, fresh = len(self._history), len(samples)
        signal = np.zeros(kept + fresh + kernel.overhang)
        signal[:kept] = self._history
        signal[kept : kept + fresh] = samples
        begins = self._taken - kept
        self._taken += fresh
        self._history = signal[fresh : kept + fresh]
        # Output n needs the input up to floor(n * down / up) + half.
        ready = max(-(-(self._taken - kernel.half) * self._up // self._down), 0)
        first, count = self._given, ready - self._given
        if count <= 0:
            return silence(0)
        self._given = ready
        output = kernel.render(signal, begins, first, count)
        np.rint(output, out=output)
        np.minimum(output, 32767.0, out=output)
        np.maximum(output, -32768.0, out=output)
        return output.astype(np.int16)


class _Kernel(Protocol):
    """The filter between two rates; shared by all streams of that pair, so it has no state."""

    half: int
    """Input samples needed after an output sample's place (and, less one, before it)."""
    reach: int
    """Input samples before the newest that ``render`` may look at."""
    overhang: int
    """Zeros that must follow the newest input sample; they never change a result."""

    def render(self, signal: _Signal, begins: int, first: int, count: int) -> _Signal:
        """``count`` outputs from output ``first`` on; ``signal[0]`` is the stream's input sample ``begins``."""


def _half_width(from_rate: int) -> int:
    return max(int(MAX_DELAY_S * from_rate), 2)


def _coefficients(fractions: _Signal, from_rate: int, to_rate: int) -> _Signal:
    """Filter taps for outputs that lie ``fractions`` (0 to 1) of a sample after an input sample.

    Shape ``(len(fractions), 2 * half)``; the taps of row i belong to the inputs ``-half + 1 ... half``
    around that sample. Multiples of ``1 / _QUANTUM``; each row sums to one within rounding.
    """
    half = _half_width(from_rate)
    transition = (_STOP_BAND_DB - 8) / (2.285 * 2 * pi * (2 * half / from_rate))
    nyquist = min(from_rate, to_rate) / 2
    # Going up, the roll-off is centred on Nyquist: images of speech lie as far above as it lies below.
    pass_edge = max(nyquist - transition, _PASS_BAND * nyquist) if to_rate < from_rate else nyquist - transition / 2
    cutoff = pass_edge + transition / 2
    beta = 0.1102 * (_STOP_BAND_DB - 8.7)
    offsets = fractions[:, None] - np.arange(1 - half, half + 1)
    window = np.i0(beta * np.sqrt(np.clip(1 - (offsets / half) ** 2, 0, None)))
    taps = np.sinc(2 * cutoff / from_rate * offsets) * window
    taps /= taps.sum(axis=1, keepdims=True)
    rounded: _Signal = np.rint(taps * _QUANTUM) / _QUANTUM
    return rounded


@lru_cache(maxsize=32)
def _kernel(from_rate: int, to_rate: int) -> _Kernel:
    divisor = gcd(from_rate, to_rate)
    up, down = to_rate // divisor, from_rate // divisor
    run = _run_length(up)
    runs = up // gcd(up, run)
    width = 2 * _half_width(from_rate) + run * down // up + 1
    if runs * run * width <= _LARGEST_MATRICES:
        return _Polyphase(from_rate, to_rate, run)
    return _Interpolated(from_rate, to_rate)


def _run_length(up: int) -> int:
    """Outputs to compute in one product: about 32, and such that the phases come round after few products."""
    return min(range(16, 65), key=lambda run: (up // gcd(up, run), abs(run - 32)))


class _Polyphase:
    """For ratios with few phases: runs of consecutive outputs, each one product with a banded matrix.

    A run is a window of the input times a matrix whose columns are the taps, each in its place. Runs
    whose phases agree share the matrix and are computed in one product, a row each.
    """

    def __init__(self, from_rate: int, to_rate: int, run: int) -> None:
        divisor = gcd(from_rate, to_rate)
        up, down = to_rate // divisor, from_rate // divisor
        self.half = _half_width(from_rate)
        self._run = run
        self._runs = up // gcd(up, run)
        self._stride = self._runs * run * down // up
        self._width = 2 * self.half + run * down // up + 1
        # The oldest output of a run, whose window opens half before it, may be a run before the newest wanted.
        self.reach = 2 * self.half + run * down // up + 2
        self.overhang = self._width
        taps = _coefficients(np.arange(up) / up, from_rate, to_rate)
        self._starts: list[int] = []
        self._matrices: list[_Signal] = []
        for index in range(self._runs):
            places = np.arange(index * run, (index + 1) * run) * down
            start = int(places[0]) // up
            matrix = np.zeros((self._width, run))
            for column, place in enumerate(places.tolist()):
                row = place // up - start
                matrix[row : row + 2 * self.half, column] = taps[place % up]
            self._starts.append(start - self.half + 1)
            self._matrices.append(matrix)

    def render(self, signal: _Signal, begins: int, first: int, count: int) -> _Signal:
        run, runs, width, stride = self._run, self._runs, self._width, self._stride
        block, last = first // run, (first + count - 1) // run
        output = np.empty((last - block + 1, run))
        size = signal.itemsize
        for index in range(min(runs, last - block + 1)):
            turn, phase = divmod(block + index, runs)
            rows = (last - block - index) // runs + 1
            start = turn * stride + self._starts[phase] - begins
            windows: _Signal = np.ndarray((rows, width), np.float64, signal, start * size, (stride * size, size))
            if rows > 1 and width > stride:
                windows = windows.copy()  # BLAS takes no overlapping rows
            output[index::runs] = windows @ self._matrices[phase]
        skip = first - block * run
        return output.reshape(-1)[skip : skip + count]


class _Interpolated:
    """For ratios with a great many phases (44,100 to 47,999): 256 phases, and straight lines between them."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        divisor = gcd(from_rate, to_rate)
        self._up, self._down = to_rate // divisor, from_rate // divisor
        self.half = _half_width(from_rate)
        self.reach = 2 * self.half + 1
        self.overhang = 1
        taps = _coefficients(np.arange(_TABLE_PHASES + 1) / _TABLE_PHASES, from_rate, to_rate)
        self._taps = taps[:-1].copy()
        self._slopes = np.diff(taps, axis=0)

    def render(self, signal: _Signal, begins: int, first: int, count: int) -> _Signal:
        output = np.empty(count)
        opening = np.lib.stride_tricks.sliding_window_view(signal, 2 * self.half)
        # A few at a time, so that the gathered windows and taps stay in the processor's cache.
        for at in range(0, count, _GATHERED):
            places = np.arange(first + at, first + min(at + _GATHERED, count)) * self._down
            index = places // self._up
            phase, rest = np.divmod((places - index * self._up) * _TABLE_PHASES, self._up)
            windows = opening[index - (self.half - 1 + begins)]
            # Both sums are exact; what follows is one operation per sample, the same in any company.
            near = np.einsum("ij,ij->i", windows, self._taps[phase])
            slope = np.einsum("ij,ij->i", windows, self._slopes[phase])
            output[at : at + _GATHERED] = near + slope * (rest / self._up)
        return output


def resample_file(samples: Samples, from_rate: int, to_rate: int) -> Samples:
    """A whole recording at another rate, at soxr's high quality. For files; it knows no streaming."""
    if from_rate == to_rate:
        return samples
    return np.asarray(soxr.resample(samples, from_rate, to_rate), np.int16)
