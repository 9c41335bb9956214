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
_WIDTH = 128
"""Channels of the first convolution."""


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
        except (OSError, ValueError, IndexError) as error:
            raise EngineError(f"Silero VAD cannot be loaded from {path}: {error}", retryable=False) from None

    def _take(self, weights: dict[str, Floats]) -> None:
        width = weights["model.stft.forward_basis_buffer"].shape[2]
        if width != _WINDOW:
            raise ValueError(f"its windows have {width} samples, not {_WINDOW}")
        # The table's cosine of frequency 0 is the window by itself. Times the root of its length, which "ortho" divides
        # by: without a norm numpy transforms in double precision, for twice the time.
        self._window = weights["model.stft.forward_basis_buffer"][0, 0] * np.float32(_WINDOW**0.5)
        # What falls on the padding is left out: the third convolution sees no left neighbour, the fourth none at all.
        self._kernels = [
            _kernel(weights[f"model.encoder.{number}.reparam_conv.weight"][:, :, taps])
            for number, taps in enumerate((slice(0, 3), slice(0, 3), slice(1, 3), slice(1, 2)))
        ]
        self._biases = [weights[f"model.encoder.{number}.reparam_conv.bias"] for number in range(4)]
        if self._kernels[0].shape != (3 * _BINS, _WIDTH):
            raise ValueError(f"its first convolution is of shape {self._kernels[0].shape}")
        rnn = "model.decoder.rnn"
        joined = np.concatenate([weights[f"{rnn}.weight_ih"], weights[f"{rnn}.weight_hh"]], axis=1)
        self._gates = np.ascontiguousarray(joined.T)
        self._gates_bias = weights[f"{rnn}.bias_ih"] + weights[f"{rnn}.bias_hh"]
        self._sum = weights["model.decoder.decoder.2.weight"][0, :, 0]
        self._sum_bias = weights["model.decoder.decoder.2.bias"]

    def run(self, sound: Floats, state: Floats, workspace: Workspace | None = None) -> tuple[Floats, Floats]:
        """``sound [B, 64 + 512]``, full scale 1, and ``state [B, 2, 128]``, to scores ``[B]`` and the next state.

        ``workspace`` has room for B; it is used by one thread at a time.
        """
        work = (workspace or Workspace(len(sound))).part(len(sound))
        self._hear(sound, work)
        self._see(work)
        work.together[:, STATE:] = state[:, 0]
        gates = np.matmul(work.together, self._gates, out=work.gates)
        gates += self._gates_bias
        admit, forget = gates[:, :STATE], gates[:, STATE : 2 * STATE]
        fresh, show = gates[:, 2 * STATE : 3 * STATE], gates[:, 3 * STATE :]
        _sigmoid(gates[:, : 2 * STATE])
        np.tanh(fresh, out=fresh)
        _sigmoid(show)
        following = np.empty((len(sound), 2, STATE), np.float32)
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

    def _hear(self, sound: Floats, work: Workspace) -> None:
        """The magnitudes of four spectra."""
        work.sound[:, :_SOUND] = sound
        work.sound[:, _SOUND:] = sound[:, _SOUND - 2 : _SOUND - 2 - _REFLECTED : -1]
        np.multiply(work.windows, self._window, out=work.windowed)
        np.abs(np.fft.rfft(work.windowed, norm="ortho", out=work.spectra), out=work.magnitudes[:, 1:-1])

    def _see(self, work: Workspace) -> None:
        """Four convolutions; what the last has seen is the first half of ``work.together``."""
        batch = len(work.sound)
        work.columns_1[...] = work.neighbours_1
        seen = np.matmul(work.columns_1.reshape(batch * _SPECTRA, -1), self._kernels[0], out=work.seen_1)
        seen += self._biases[0]
        np.maximum(seen.reshape(batch, _SPECTRA, -1), 0, out=work.padded[:, 1:-1])
        work.columns_2[...] = work.neighbours_2
        seen = work.columns_2.reshape(batch * 2, -1)
        outs = (work.seen_2, work.seen_3, work.together[:, :STATE])
        for kernel, bias, out in zip(self._kernels[1:], self._biases[1:], outs, strict=True):
            seen = np.matmul(seen if out is work.seen_2 else seen.reshape(batch, -1), kernel, out=out)
            seen += bias
            np.maximum(seen, 0, out=seen)


class Workspace:
    """What a run of up to ``batch`` frames needs in between, kept from run to run; the padding in it stays zero."""

    def __init__(self, batch: int) -> None:
        def room(*shape: int) -> Floats:
            return np.zeros(shape, np.float32)

        self.sound = room(batch, _SOUND + _REFLECTED)
        self.windows = _overlapping(self.sound, _SPECTRA, _WINDOW, _HOP)
        self.windowed = room(batch, _SPECTRA, _WINDOW)
        self.spectra: Any = np.zeros((batch, _SPECTRA, _BINS), np.complex64)
        self.magnitudes = room(batch, 1 + _SPECTRA + 1, _BINS)
        self.neighbours_1 = _overlapping(self.magnitudes, _SPECTRA, 3 * _BINS, _BINS)
        self.columns_1 = room(batch, _SPECTRA, 3 * _BINS)
        self.seen_1 = room(batch * _SPECTRA, _WIDTH)
        self.padded = room(batch, 1 + _SPECTRA + 1, _WIDTH)
        self.neighbours_2 = _overlapping(self.padded, 2, 3 * _WIDTH, 2 * _WIDTH)  # every second of the four
        self.columns_2 = room(batch, 2, 3 * _WIDTH)
        self.seen_2 = room(batch * 2, _WIDTH // 2)
        self.seen_3 = room(batch, _WIDTH // 2)
        self.together = room(batch, 2 * STATE)
        self.gates = room(batch, 4 * STATE)
        self._batch = batch
        self._parts: dict[int, Workspace] = {batch: self}

    def part(self, batch: int) -> Workspace:
        """The same memory, as wide as ``batch``."""
        found = self._parts.get(batch)
        if found is None:
            found = self._parts[batch] = object.__new__(Workspace)
            for name, room in vars(self).items():
                if isinstance(room, np.ndarray):
                    setattr(found, name, room[: len(room) // self._batch * batch])
        return found


def _kernel(weights: Floats) -> Floats:
    """``[out, in, taps]`` as the matrix ``[taps * in, out]``."""
    return np.ascontiguousarray(weights.transpose(2, 1, 0).reshape(-1, weights.shape[0]))


def _overlapping(values: Floats, rows: int, width: int, step: int) -> Floats:
    """Of each entry of ``values``, ``rows`` overlapping windows of ``width``, each ``step`` after the one before."""
    size = values.itemsize
    return as_strided(values, (len(values), rows, width), (values.strides[0], step * size, size))


def _sigmoid(values: NDArray[Any]) -> None:
    """In place; by the tangent, which overflows nowhere."""
    values *= 0.5
    np.tanh(values, out=values)
    values *= 0.5
    values += 0.5
