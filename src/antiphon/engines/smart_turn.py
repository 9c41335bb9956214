"""Whether the caller is done, by the smart-turn v3 model: it listens to the last 8 s of an utterance.

Source of its use: pipecat's ``LocalSmartTurnAnalyzerV3`` (zeros before a short utterance, zero mean and unit
variance over the whole 8 s, Whisper's log-mel features).
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from antiphon.engines.features import as_float, log_mel
from antiphon.engines.protocols import LISTENING_RATE, Samples
from antiphon.engines.threads import Worker
from antiphon.errors import EngineError

WINDOW = 8 * LISTENING_RATE
"""Samples the model hears: 8 s."""


def turn_features(audio: Samples) -> NDArray[np.float32]:
    """The model's input for the end of ``audio`` (16 kHz): shape ``[1, 80, 800]``."""
    window = np.zeros(WINDOW, np.float32)
    tail = as_float(audio[-WINDOW:])
    if tail.size:
        window[-tail.size :] = tail
    normalised = (window - window.mean()) / np.sqrt(window.var() + np.float32(1e-7))
    return log_mel(normalised)[None]


class SmartTurn:
    """End of turn by smart-turn. ``path``: ``smart-turn-v3.2-cpu.onnx``. One thread, some 0.1 s a question."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: ort.InferenceSession | None = None
        self._loading = threading.Lock()
        self._worker = Worker("smart-turn")

    def load(self) -> None:
        """Load and warm the model. Blocking; done by the first question when nobody did it before."""
        with self._loading:
            if self._session is not None:
                return
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            try:
                session = ort.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
                session.run(None, {"input_features": turn_features(np.zeros(WINDOW, np.int16))})
            except Exception as error:
                raise EngineError(f"smart-turn cannot be loaded from {self._path}: {error}", retryable=False) from None
            self._session = session

    async def completeness(self, audio: Samples) -> float:
        """Probability, 0 to 1, that the utterance in ``audio`` (16 kHz) is complete.

        The model wants to hear some silence after the last word (0.1 to 0.2 s), as there is when the question comes up.
        """
        return await self._worker.run(partial(self._judge, audio[-WINDOW:].copy()))

    def stop(self) -> None:
        """Take no more work, and drop what has not begun."""
        self._worker.stop()

    def close(self) -> None:
        """End the thread and free the model. Blocking; safe to call twice."""
        if self._worker.close():
            with self._loading:
                self._session = None

    def _judge(self, audio: Samples) -> float:
        self.load()
        assert self._session is not None
        return float(self._session.run(None, {"input_features": turn_features(audio)})[0][0, 0])
