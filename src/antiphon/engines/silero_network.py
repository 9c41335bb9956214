"""Silero's network in numpy: for many calls at once it takes half as long as the ONNX runtime (docs/performance.md).

A frame of 32 ms is four short spectra, four small convolutions over them, one step of an LSTM, and a sum. Here the
spectra come from a Fourier transform rather than a product with its table, and each convolution is one product of
matrices for all calls. The tests compare it with the ONNX runtime on the same file.

Source: the graph in silero-vad's ``silero_vad_16k_op15.onnx``, version 6.2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from antiphon.engines.onnx_weights import read_weights
from antiphon.errors import EngineError

Floats: TypeAlias = NDArray[np.float32]

CONTEXT = 64
"""Samples of the frame before that each frame begins with."""

FRAME = 512
STATE = 128
"""Numbers in each of the two parts of the state."""

_SOUND = CONTEXT + FRAME
_REFLECTED = 64
_SPECTRA, _WINDOW, _HOP = 4, 256, 128
_BINS = _WINDOW // 2 + 1


class SileroNetwork:
    """The network and its weights, without any state."""

    def __init__(self, path: Path) -> None:
        """Read the weights. Raises :class:`EngineError`."""
        # A product here takes microseconds; BLAS would wake a thread on each core for it.
        threadpool_limits(1, user_api="blas")
        try:
            self._take(read_weights(path))
        except KeyError as error:
            raise EngineError(f"Silero VAD cannot be loaded from {path}: no {error} in it", retryable=False) from None
        except (OSError, ValueError) as error:
            raise EngineError(f"Silero VAD cannot be loaded from {path}: {error}", retryable=False) from None

    def _take(self, weights: dict[str, Floats]) -> None:
        width, bins = weights["model.stft.forward_basis_buffer"].shape[2], _BINS
        if width != _WINDOW:
            raise ValueError(f"its windows have {width} samples, not {_WINDOW}")
        # The table's cosine of frequency 0 is the window by itself.
        self._window = weights["model.stft.forward_basis_buffer"][0, 0]
        # What falls on the padding is left out: the third convolution sees no left neighbour, the fourth none at all.
        self._kernels = [
            _kernel(weights[f"model.encoder.{number}.reparam_conv.weight"][:, :, taps])
            for number, taps in enumerate((slice(0, 3), slice(0, 3), slice(1, 3), slice(1, 2)))
        ]
        self._biases = [weights[f"model.encoder.{number}.reparam_conv.bias"] for number in range(4)]
        if self._kernels[0].shape[0] != 3 * bins:
            raise ValueError(f"its first convolution is of shape {self._kernels[0].shape}")
        rnn = "model.decoder.rnn"
        joined = np.concatenate([weights[f"{rnn}.weight_ih"], weights[f"{rnn}.weight_hh"]], axis=1)
        self._gates = np.ascontiguousarray(joined.T)
        self._gates_bias = weights[f"{rnn}.bias_ih"] + weights[f"{rnn}.bias_hh"]
        self._sum = weights["model.decoder.decoder.2.weight"][0, :, 0]
        self._sum_bias = weights["model.decoder.decoder.2.bias"]

    def run(self, sound: Floats, state: Floats) -> tuple[Floats, Floats]:
        """``sound [B, 64 + 512]``, full scale 1, and ``state [B, 2, 128]``, to scores ``[B]`` and the next state."""
        batch = len(sound)
        seen = self._encoded(self._spectra(sound), batch)
        together = np.concatenate((seen, state[:, 0]), axis=1)
        gates = together @ self._gates
        gates += self._gates_bias
        admit, forget = gates[:, :STATE], gates[:, STATE : 2 * STATE]
        fresh, show = gates[:, 2 * STATE : 3 * STATE], gates[:, 3 * STATE :]
        _sigmoid(gates[:, : 2 * STATE])
        np.tanh(fresh, out=fresh)
        _sigmoid(show)
        following = np.empty((batch, 2, STATE), np.float32)
        shown, kept = following[:, 0], following[:, 1]
        np.multiply(forget, state[:, 1], out=kept)
        fresh *= admit
        kept += fresh
        np.tanh(kept, out=shown)
        shown *= show
        scores = np.maximum(shown, 0) @ self._sum
        scores += self._sum_bias
        _sigmoid(scores)
        return scores, following

    def _spectra(self, sound: Floats) -> Floats:
        """``[B, 576]`` to magnitudes ``[B, 1 + 4 + 1, 129]``, zeros before the first and after the last."""
        batch = len(sound)
        whole = np.empty((batch, _SOUND + _REFLECTED), np.float32)
        whole[:, :_SOUND] = sound
        whole[:, _SOUND:] = sound[:, _SOUND - 2 : _SOUND - 2 - _REFLECTED : -1]
        windows = _rows(whole, _SPECTRA, _WINDOW, _HOP)
        magnitudes = np.zeros((batch, _SPECTRA + 2, _BINS), np.float32)
        np.abs(np.fft.rfft(windows * self._window), out=magnitudes[:, 1:-1])
        return magnitudes

    def _encoded(self, spectra: Floats, batch: int) -> Floats:
        """``[B, 6, 129]`` to ``[B, 128]``."""
        first = np.zeros((batch, _SPECTRA + 2, self._kernels[0].shape[1]), np.float32)
        windows = _rows(spectra, _SPECTRA, 3 * _BINS, _BINS).reshape(batch * _SPECTRA, -1)
        summed = windows @ self._kernels[0]
        summed += self._biases[0]
        np.maximum(summed.reshape(batch, _SPECTRA, -1), 0, out=first[:, 1:-1])
        width = first.shape[2]
        seen = _rows(first, 2, 3 * width, 2 * width).reshape(batch * 2, -1)  # every second of the four
        for number in (1, 2, 3):
            seen = seen.reshape(batch * 2 if number == 1 else batch, -1) @ self._kernels[number]
            seen += self._biases[number]
            np.maximum(seen, 0, out=seen)
        return seen


def _kernel(weights: Floats) -> Floats:
    """``[out, in, taps]`` as the matrix ``[taps * in, out]``."""
    return np.ascontiguousarray(weights.transpose(2, 1, 0).reshape(-1, weights.shape[0]))


def _rows(values: Floats, rows: int, width: int, step: int) -> Floats:
    """Of each entry of ``values``, ``rows`` overlapping windows of ``width``, each ``step`` after the one before."""
    size = values.itemsize
    return as_strided(values, (len(values), rows, width), (values.strides[0], step * size, size))


def _sigmoid(values: NDArray[Any]) -> None:
    """In place; by the tangent, which overflows nowhere."""
    values *= 0.5
    np.tanh(values, out=values)
    values *= 0.5
    values += 0.5
