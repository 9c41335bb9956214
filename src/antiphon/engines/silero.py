"""Voice activity by Silero VAD, one batch for all calls.

What came in while the event loop went round once is judged together, on the loop itself: 15 µs a frame, which is less
than to wake a thread for it. At most one frame a stream is in a batch, because each needs the state that the one before
it left. A stream with a backlog takes part in batch after batch and holds nobody up.

Source of the model's use: ``OnnxWrapper`` in silero-vad's ``utils_vad.py`` (64 samples of context before each frame).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from antiphon.engines.protocols import ACTIVITY_FRAME, LISTENING_RATE, Samples
from antiphon.engines.silero_network import CONTEXT, STATE, SileroNetwork, Workspace
from antiphon.errors import EngineError

MAX_BATCH = 24
"""Frames judged in one go: 0.4 ms, after which it is somebody else's turn. From 32 on what is computed in between no
longer fits what the allocator keeps, and a frame takes twice as long."""

MAX_PENDING = 10 * LISTENING_RATE // ACTIVITY_FRAME
"""Frames a stream may have waiting (10 s). The oldest beyond that are not judged: they get the last score again."""

_FULL_SCALE = np.float32(1 / 32_768)


class _Stream:
    """The voice activity of one call; ``row`` is its place in its loop's memory."""

    __slots__ = ("_scorer", "closed", "on_score", "pending", "queued", "row", "score", "skipped")

    def __init__(self, scorer: _Scorer, on_score: Callable[[float], None]) -> None:
        self._scorer = scorer
        self.on_score = on_score
        self.row = scorer.admit()
        self.pending: deque[Samples] = deque()
        self.queued = False
        self.closed = False
        self.score = 0.0
        self.skipped = 0
        """Frames before the one being judged that were not, because the machine cannot keep up."""

    def push(self, frame: Samples) -> None:
        """Take one frame of exactly 512 samples. Raises :class:`EngineError` when the model has failed."""
        if frame.shape != (ACTIVITY_FRAME,):
            raise ValueError(f"a voice activity frame has {ACTIVITY_FRAME} samples, not {frame.shape}")
        if self.closed:
            return
        self.pending.append(frame)
        if not self.queued:
            self._scorer.enqueue(self)

    def take(self) -> Samples:
        """The next frame to judge."""
        self.skipped = max(0, len(self.pending) - MAX_PENDING)
        for _ in range(self.skipped):
            self.pending.popleft()
        return self.pending.popleft()

    def close(self) -> None:
        """No score is delivered afterwards, not even one on its way."""
        if not self.closed:
            self.closed = True
            self.pending.clear()
            self._scorer.dismiss(self.row)


class SileroVoiceActivity:
    """Scores 32 ms frames of any number of calls. ``path``: ``silero_vad_16k_op15.onnx``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._network: SileroNetwork | None = None
        self._scorers: dict[asyncio.AbstractEventLoop, _Scorer] = {}
        self.closed = False
        self.failure = "Silero VAD is closed"

    def load(self) -> None:
        """Read the weights (some milliseconds); done by the first frame when nobody did it before."""
        if self._network is None:
            self._network = SileroNetwork(self._path)

    @property
    def network(self) -> SileroNetwork:
        """For scorers only. Raises :class:`EngineError`."""
        if self.closed:
            raise EngineError(self.failure, retryable=False)
        self.load()
        assert self._network is not None
        return self._network

    def open(self, on_score: Callable[[float], None]) -> _Stream:
        """A new stream for the running event loop."""
        loop = asyncio.get_running_loop()
        scorer = self._scorers.get(loop)
        if scorer is None:
            for gone in [other for other in self._scorers if other.is_closed()]:
                del self._scorers[gone]
            scorer = self._scorers[loop] = _Scorer(self, loop)
        return _Stream(scorer, on_score)

    def close(self) -> None:
        """Nothing is judged any more. Safe to call twice."""
        self.closed = True


class _Scorer:
    """The streams of one event loop: who waits, and what the network remembers of each, a row a stream."""

    def __init__(self, engine: SileroVoiceActivity, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._ready: deque[_Stream] = deque()
        self._coming = False
        self._free: list[int] = []
        self._states = np.zeros((0, 2, STATE), np.float32)
        self._contexts = np.zeros((0, CONTEXT), np.float32)
        self._workspace = Workspace(MAX_BATCH)
        self._sound = np.empty((MAX_BATCH, CONTEXT + ACTIVITY_FRAME), np.float32)

    def admit(self) -> int:
        """A row for a new stream, of which nothing is remembered."""
        if not self._free:
            rows = len(self._states)
            more = max(16, rows)
            self._states = np.concatenate([self._states, np.zeros((more, 2, STATE), np.float32)])
            self._contexts = np.concatenate([self._contexts, np.zeros((more, CONTEXT), np.float32)])
            self._free = list(range(rows + more - 1, rows - 1, -1))
        return self._free.pop()

    def dismiss(self, row: int) -> None:
        """The row is free for another."""
        self._states[row] = 0
        self._contexts[row] = 0
        self._free.append(row)

    def enqueue(self, stream: _Stream) -> None:
        """It has a frame to be judged soon, together with what else comes. Raises :class:`EngineError`."""
        try:
            _ = self._engine.network
        except EngineError:
            stream.pending.clear()
            raise
        stream.queued = True
        self._ready.append(stream)
        self._come()

    def _come(self) -> None:
        if not self._coming:
            self._coming = True
            self._loop.call_soon(self._judge)

    def _judge(self) -> None:
        """The next frame of each of the streams that have waited longest."""
        self._coming = False
        if self._engine.closed:
            return
        batch: list[_Stream] = []
        frames: list[Samples] = []
        ready = self._ready
        for _ in range(min(len(ready), MAX_BATCH)):
            stream = ready.popleft()
            if stream.pending:  # else it was closed
                frames.append(stream.take())
                batch.append(stream)
            if stream.pending:
                ready.append(stream)
            else:
                stream.queued = False
        if ready:
            self._come()
        if not batch:
            return
        try:
            scores = self._scores(batch, frames)
        except Exception as error:  # every call is told with its next frame
            self._engine.closed, self._engine.failure = True, f"Silero VAD failed: {error}"
            return
        self._deliver(batch, scores)

    def _scores(self, batch: Sequence[_Stream], frames: Sequence[Samples]) -> list[float]:
        rows = [stream.row for stream in batch]
        sound = self._sound[: len(batch)]
        fresh = sound[:, CONTEXT:]
        np.multiply(np.concatenate(frames).reshape(len(batch), ACTIVITY_FRAME), _FULL_SCALE, out=fresh)
        sound[:, :CONTEXT] = self._contexts[rows]
        scores, self._states[rows] = self._engine.network.run(sound, self._states[rows], self._workspace)
        self._contexts[rows] = sound[:, -CONTEXT:]
        listed: list[float] = scores.tolist()
        return listed

    def _deliver(self, batch: Sequence[_Stream], scores: Sequence[float]) -> None:
        for stream, score in zip(batch, scores, strict=True):
            if stream.skipped:
                for _ in range(stream.skipped):
                    self._tell(stream, stream.score)
            self._tell(stream, score)
            stream.score = score

    def _tell(self, stream: _Stream, score: float) -> None:
        if not stream.closed:
            try:
                stream.on_score(score)
            except Exception as error:  # one call's trouble is not the others'
                context = {"message": "a voice activity listener failed", "exception": error}
                self._loop.call_exception_handler(context)
