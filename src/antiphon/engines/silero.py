"""Voice activity by Silero VAD, one batch for all calls.

One thread scores the frames of every open stream: whatever is pending when it is free goes through the model as one
batch, at most one frame a stream, because each frame needs the state that the one before it left. A stream with a
backlog takes part in batch after batch and holds nobody up.

Source of the model's use: ``OnnxWrapper`` in silero-vad's ``utils_vad.py`` (64 samples of context before each frame).
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from antiphon.engines.features import as_float
from antiphon.engines.protocols import ACTIVITY_FRAME, LISTENING_RATE, Samples
from antiphon.errors import EngineError

MAX_BATCH = 64
MAX_PENDING = 10 * LISTENING_RATE // ACTIVITY_FRAME
"""Frames a stream may have waiting (10 s). The oldest beyond that are not judged: they get the last score again."""

GATHERING_S = 0.004
"""How long the first frame that arrives waits for others, to be judged in one go."""

_CONTEXT = 64
_STATE = 128


class _Model:
    """The ONNX session and its calling convention."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(f"Silero VAD cannot be loaded from {path}: {error}", retryable=False) from None
        self._rate = np.array(LISTENING_RATE, dtype=np.int64)

    def run(
        self, frames: NDArray[np.float32], state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``frames [B, 64 + 512]`` and ``state [2, B, 128]`` to scores ``[B]`` and the next state."""
        scores, state = self._session.run(None, {"input": frames, "state": state, "sr": self._rate})
        return scores[:, 0], state


class _Stream:
    """The voice activity of one call. ``pending`` and ``queued`` belong to whoever holds the engine's lock."""

    def __init__(self, engine: SileroVoiceActivity, on_score: Callable[[float], None]) -> None:
        self._engine = engine
        self.on_score = on_score
        self.loop = asyncio.get_running_loop()
        self.pending: deque[Samples] = deque()
        self.queued = False
        self.closed = False
        self.state = np.zeros((2, _STATE), np.float32)
        self.context = np.zeros(_CONTEXT, np.float32)
        self.score = 0.0

    def take(self) -> tuple[Samples, int]:
        """The next frame to judge, and how many before it were skipped because the machine cannot keep up."""
        skipped = max(0, len(self.pending) - MAX_PENDING)
        for _ in range(skipped):
            self.pending.popleft()
        return self.pending.popleft(), skipped

    def push(self, frame: Samples) -> None:
        """Take one frame of exactly 512 samples."""
        if frame.shape != (ACTIVITY_FRAME,):
            raise ValueError(f"a voice activity frame has {ACTIVITY_FRAME} samples, not {frame.shape}")
        if not self.closed:
            self._engine.enqueue(self, frame)

    def close(self) -> None:
        """No score is delivered afterwards, not even one on its way."""
        self.closed = True
        self._engine.forget(self)


class SileroVoiceActivity:
    """Scores 32 ms frames of any number of calls in one thread. ``path``: ``silero_vad_16k_op15.onnx``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._model: _Model | None = None
        self._ready: deque[_Stream] = deque()
        self._arrived: dict[asyncio.AbstractEventLoop, list[tuple[_Stream, Samples]]] = {}
        self._changed = threading.Condition()
        self._loading = threading.Lock()
        self._stopping = False
        self._failure: str | None = None
        self._thread: threading.Thread | None = None

    def load(self) -> None:
        """Load and warm the model. Blocking; done by the first frame when nobody did it before."""
        with self._loading:
            if self._model is None:
                model = _Model(self._path)
                for batch in (1, 8):
                    model.run(
                        np.zeros((batch, _CONTEXT + ACTIVITY_FRAME), np.float32),
                        np.zeros((2, batch, _STATE), np.float32),
                    )
                self._model = model

    def open(self, on_score: Callable[[float], None]) -> _Stream:
        """A new stream for the running event loop."""
        return _Stream(self, on_score)

    def close(self) -> None:
        """End the thread. Safe to call twice."""
        with self._changed:
            self._stopping = True
            self._ready.clear()
            self._changed.notify()

    def enqueue(self, stream: _Stream, frame: Samples) -> None:
        """Queue a frame; for streams only. Raises :class:`EngineError` when the model has failed."""
        if self._failure is not None or self._stopping:
            raise EngineError(self._failure or "Silero VAD is closed", retryable=False)
        arrived = self._arrived.get(stream.loop)
        if arrived is None:
            arrived = self._arrived[stream.loop] = []
            stream.loop.call_later(GATHERING_S, self._hand_over, stream.loop)
        arrived.append((stream, frame))

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give what has arrived to the thread: to wake it for each frame by itself costs more than to judge it."""
        arrived = self._arrived.pop(loop, [])
        with self._changed:
            for stream, frame in arrived:
                if stream.closed:
                    continue
                stream.pending.append(frame)
                if not stream.queued:
                    stream.queued = True
                    self._ready.append(stream)
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="silero-vad", daemon=True)
                self._thread.start()
            self._changed.notify()

    def forget(self, stream: _Stream) -> None:
        """Drop what a stream has waiting; for streams only."""
        with self._changed:
            stream.pending.clear()

    def _run(self) -> None:
        try:
            self.load()
            while batch := self._gather():
                self._score(batch)
        except Exception as error:
            with self._changed:
                self._failure = f"Silero VAD failed: {error}"

    def _gather(self) -> list[tuple[_Stream, Samples, int]]:
        """The next frame of each of the streams that have waited longest; empty when the engine closes."""
        with self._changed:
            while True:
                while not self._ready and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return []
                batch: list[tuple[_Stream, Samples, int]] = []
                for _ in range(min(len(self._ready), MAX_BATCH)):
                    stream = self._ready.popleft()
                    if stream.pending:
                        batch.append((stream, *stream.take()))
                    stream.queued = bool(stream.pending)
                    if stream.queued:
                        self._ready.append(stream)
                if batch:
                    return batch

    def _score(self, batch: Sequence[tuple[_Stream, Samples, int]]) -> None:
        assert self._model is not None
        frames = np.empty((len(batch), _CONTEXT + ACTIVITY_FRAME), np.float32)
        for row, (stream, frame, _) in enumerate(batch):
            frames[row, :_CONTEXT] = stream.context
            frames[row, _CONTEXT:] = as_float(frame)
        scores, states = self._model.run(frames, np.stack([stream.state for stream, _, _ in batch], axis=1))
        scored: dict[asyncio.AbstractEventLoop, list[tuple[_Stream, float]]] = defaultdict(list)
        for row, (stream, _, skipped) in enumerate(batch):
            scored[stream.loop] += [(stream, stream.score)] * skipped
            stream.state = states[:, row]
            stream.context = frames[row, -_CONTEXT:]
            stream.score = float(scores[row])
            scored[stream.loop].append((stream, stream.score))
        for loop, scores_of_loop in scored.items():
            try:
                loop.call_soon_threadsafe(_deliver, loop, scores_of_loop)
            except RuntimeError:  # that loop is gone, and its calls with it
                for stream, _ in scores_of_loop:
                    stream.closed = True


def _deliver(loop: asyncio.AbstractEventLoop, scored: Sequence[tuple[_Stream, float]]) -> None:
    for stream, score in scored:
        if stream.closed:
            continue
        try:
            stream.on_score(score)
        except Exception as error:  # one call's trouble is not the others'
            loop.call_exception_handler({"message": "a voice activity listener failed", "exception": error})
