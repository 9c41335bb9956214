"""The log-mel spectrogram that Whisper and smart-turn read, in numpy.

Source: OpenAI Whisper's ``log_mel_spectrogram`` (80 Slaney mel bands, 25 ms Hann windows every 10 ms).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from antiphon.engines.protocols import LISTENING_RATE

MEL_BANDS = 80
WINDOW = 400
HOP = 160
FRAMES_PER_SECOND = LISTENING_RATE // HOP


def _hertz_to_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's scale: linear to 1 kHz, logarithmic above."""
    logarithmic = 15.0 + np.log(np.maximum(hertz, 1000.0) / 1000.0) * (27.0 / np.log(6.4))
    return np.where(hertz < 1000.0, 3.0 * hertz / 200.0, logarithmic)


def _mel_to_hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = 1000.0 * np.exp((np.maximum(mels, 15.0) - 15.0) * (np.log(6.4) / 27.0))
    return np.where(mels < 15.0, 200.0 * mels / 3.0, logarithmic)


def _mel_filters() -> NDArray[np.float32]:
    """Triangular filters of equal area, shape ``[80, 201]``."""
    top = _hertz_to_mel(np.array(LISTENING_RATE / 2))
    edges = _mel_to_hertz(np.linspace(0.0, top, MEL_BANDS + 2))
    bins = np.linspace(0.0, LISTENING_RATE / 2, WINDOW // 2 + 1)
    slopes = edges[:, None] - bins[None, :]
    widths = np.diff(edges)[:, None]
    triangles = np.maximum(0.0, np.minimum(-slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]))
    return (triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


_FILTERS = _mel_filters()
_HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def log_mel(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of ``audio`` (16 kHz, -1 to 1): shape ``[80, samples // 160]``, about -1 to 1.5.

    At least 201 samples, which is what the reflection at both ends needs.
    """
    padded = np.pad(audio, WINDOW // 2, mode="reflect")
    windows = sliding_window_view(padded, WINDOW)[::HOP][: audio.size // HOP]
    spectrum = np.fft.rfft(windows * _HANN, axis=-1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    logarithm = np.log10(np.maximum(_FILTERS @ power.T.astype(np.float32), 1e-10))
    floored = np.maximum(logarithm, logarithm.max() - 8.0)
    return np.ascontiguousarray((floored + 4.0) / 4.0, dtype=np.float32)


def as_float(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """16 bit samples as floats of -1 to 1."""
    return samples.astype(np.float32) / np.float32(32768.0)
