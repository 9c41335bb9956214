"""A call's recording: both sides on one timeline, the caller's audio clock."""

from __future__ import annotations

from concurrent.futures import Future

import structlog

from antiphon.audio.pcm import Samples
from antiphon.audio.recording import RecordingWriter

JITTER_S = 0.03
"""The agent's sound that was heard within this of where the last ended is put down without a gap."""

LONGEST_GAP_S = 1.0
"""The caller's audio clock is thought to run on for so long after the last audio came."""

_log = structlog.get_logger(__name__)


class RecordingTrack:
    """Puts the caller's samples down as they come, the agent's where the caller's audio was when they were heard.

    ``now`` is the call's clock, in seconds.
    """

    def __init__(self, writer: RecordingWriter, call_id: str) -> None:
        self._writer = writer
        self._call_id = call_id
        self._came_at = 0.0
        self._heard_at = 0.0
        self._end = 0

    def caller(self, samples: Samples, now: float) -> None:
        """The caller's next samples."""
        self._writer.caller(samples)
        self._came_at = now

    def agent(self, samples: Samples, now: float) -> None:
        """The agent's samples that were heard up to ``now``. Unbroken sound stays unbroken."""
        began_at = now - len(samples) / self._writer.output_rate
        if self._end == 0 or abs(began_at - self._heard_at) > JITTER_S:
            self._end = max(self._end, int(self._clock_s(now) * self._writer.output_rate) - len(samples))
        self._writer.agent(samples, self._end)
        self._end += len(samples)
        self._heard_at = now

    def close(self) -> None:
        """Write what is left. What could not be written is told to the operator."""
        self._writer.close().add_done_callback(self._closed)

    def _clock_s(self, now: float) -> float:
        taken_s = self._writer.caller_samples / self._writer.input_rate
        return taken_s + min(now - self._came_at, LONGEST_GAP_S) if taken_s else 0.0

    def _closed(self, future: Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            _log.error("recording_failed", call_id=self._call_id, error=str(error))
