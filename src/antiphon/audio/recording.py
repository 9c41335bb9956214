"""Writing a call's recording to disk as it happens.

A recording is a folder of three files: ``caller.s16le`` and ``agent.s16le``, raw mono samples on one timeline
that begins with the caller's first sample, and ``meta.json`` with their rates. Nothing in them has to be
finished or repaired: after ``kill -9`` the files hold all but the last third of a second and can be read as
they are (``recording_wav``).
"""

from __future__ import annotations

import json
import os
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from antiphon.audio.disk import DiskThread, Job, shared_disk_thread
from antiphon.audio.pcm import BYTES_PER_SAMPLE, Samples, bytes_from_samples
from antiphon.errors import StoreError

CALLER_FILE: Final = "caller.s16le"
AGENT_FILE: Final = "agent.s16le"
META_FILE: Final = "meta.json"

_VERSION: Final = 1
_GATHERED_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class RecordingMeta:
    """What ``meta.json`` says. ``closed`` is False for a call that still runs or was killed."""

    input_rate: int
    output_rate: int
    closed: bool = False
    lost_caller_samples: int = 0
    lost_agent_samples: int = 0
    """Samples the disk was too slow for; silence stands in their place."""
    version: int = _VERSION


def read_meta(folder: Path) -> RecordingMeta:
    """Read ``meta.json`` of a recording.

    Raises ``StoreError`` if there is none or it is damaged.
    """
    try:
        fields = json.loads((folder / META_FILE).read_text())
        meta = RecordingMeta(
            input_rate=_positive(fields["input_rate"]),
            output_rate=_positive(fields["output_rate"]),
            closed=bool(fields.get("closed", False)),
            lost_caller_samples=int(fields.get("lost_caller_samples", 0)),
            lost_agent_samples=int(fields.get("lost_agent_samples", 0)),
        )
    except FileNotFoundError:
        raise StoreError(f"there is no recording in {folder}") from None
    except OSError as error:
        raise StoreError(f"the recording in {folder} cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{folder / META_FILE} is damaged") from error
    return meta


def _positive(value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError("not a sample rate")
    return value


class _Track:
    """One of the two files, as the event loop sees it: samples gathered until they are worth a write."""

    def __init__(self, name: str, rate: int) -> None:
        self.name = name
        self.enough_bytes = int(rate * _GATHERED_S) * BYTES_PER_SAMPLE
        self.lost_samples = 0
        self.at_samples = 0
        """Where on the timeline ``pending`` begins."""
        self.pending = bytearray()

    @property
    def end_samples(self) -> int:
        return self.at_samples + len(self.pending) // BYTES_PER_SAMPLE


class RecordingWriter:
    """One call's recording. Its methods return at once: a thread shared by all calls does the writing.

    Disk too slow: once that thread's queue is full, samples are dropped and counted (``lost_caller_samples``,
    ``lost_agent_samples``), and silence stands in their place, so the rest stays where it belongs on the
    timeline. Disk failing: the first error is kept in ``error``, what follows is dropped, and the future
    of ``close`` raises it. A call never stops for its recording.
    """

    def __init__(self, folder: Path, input_rate: int, output_rate: int, disk: DiskThread | None = None) -> None:
        """``folder`` is made if need be. Rates in Hz: of the caller's samples, and of the agent's."""
        self.folder = folder
        self.input_rate = input_rate
        self.output_rate = output_rate
        self.error: StoreError | None = None
        self._disk = disk or shared_disk_thread()
        self._caller = _Track(CALLER_FILE, input_rate)
        self._agent = _Track(AGENT_FILE, output_rate)
        self._files: dict[str, int] = {}
        self._closing: Future[None] | None = None
        self._disk.run(lambda: self._guarded(self._open))

    @property
    def caller_samples(self) -> int:
        """The caller's samples so far: where the recording's timeline is now, at ``input_rate``."""
        return self._caller.end_samples

    @property
    def lost_caller_samples(self) -> int:
        """Dropped because the disk was too slow or failed, or the recording closed."""
        return self._caller.lost_samples

    @property
    def lost_agent_samples(self) -> int:
        """Likewise, of the agent's."""
        return self._agent.lost_samples

    def caller(self, samples: Samples) -> None:
        """The caller's next samples, as they came in."""
        self._take(self._caller, samples)

    def agent(self, samples: Samples, at_samples: int) -> None:
        """The agent's samples, heard from ``at_samples`` of the timeline on, at ``output_rate``.

        What lies between the end of the file and ``at_samples`` becomes silence.
        """
        if at_samples != self._agent.end_samples:
            self._write(self._agent)
            self._agent.at_samples = max(at_samples, 0)
        self._take(self._agent, samples)

    def agent_cut(self, at_samples: int) -> None:
        """An interruption: nothing of the agent was heard from ``at_samples`` of the timeline on."""
        if self._closing is None:
            self._write(self._agent)
            self._disk.run(lambda: self._guarded(lambda: self._truncate(max(at_samples, 0) * BYTES_PER_SAMPLE)))

    def close(self) -> Future[None]:
        """Write what is queued and close the files. Safe to call twice.

        The future is done when all is on its way to the disk; it raises ``StoreError`` if anything failed.
        """
        if self._closing is None:
            self._write(self._caller)
            self._write(self._agent)
            self._closing = Future()
            self._disk.run(self._close)
        return self._closing

    def _take(self, track: _Track, samples: Samples) -> None:
        track.pending += bytes_from_samples(samples)
        if len(track.pending) >= track.enough_bytes:
            # Both, so that the end of a reply does not wait in memory for the next one.
            self._write(self._caller)
            self._write(self._agent)

    def _write(self, track: _Track) -> None:
        """Hand what is pending to the disk thread, or count it as lost."""
        if not track.pending:
            return
        data, offset = track.pending, track.at_samples * BYTES_PER_SAMPLE
        track.at_samples = track.end_samples
        track.pending = bytearray()
        usable = self._closing is None and self.error is None
        if not usable or not self._disk.offer(
            len(data), lambda: self._guarded(lambda: self._put(track.name, data, offset))
        ):
            track.lost_samples += len(data) // BYTES_PER_SAMPLE

    # From here on: in the disk thread.

    def _guarded(self, work: Job) -> None:
        if self.error is not None:
            return
        try:
            work()
        except OSError as error:
            self.error = StoreError(f"the recording in {self.folder} cannot be written: {error}")

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (CALLER_FILE, AGENT_FILE):
            self._files[name] = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        # Last, so that a recording with a meta.json is one that can be read.
        self._save_meta(closed=False)

    def _save_meta(self, closed: bool) -> None:
        meta = RecordingMeta(
            self.input_rate, self.output_rate, closed, self.lost_caller_samples, self.lost_agent_samples
        )
        fresh = self.folder / (META_FILE + ".new")
        fresh.write_text(json.dumps(asdict(meta), indent=1) + "\n")
        fresh.replace(self.folder / META_FILE)

    def _put(self, name: str, data: bytearray, offset: int) -> None:
        rest = memoryview(data)
        while rest:
            # Beyond the end of the file this leaves a hole, which reads as zeros: silence.
            written = os.pwrite(self._files[name], rest, offset)
            rest, offset = rest[written:], offset + written

    def _truncate(self, size_bytes: int) -> None:
        if os.fstat(self._files[AGENT_FILE]).st_size > size_bytes:
            os.ftruncate(self._files[AGENT_FILE], size_bytes)

    def _close(self) -> None:
        self._guarded(lambda: self._save_meta(closed=True))
        for file in self._files.values():
            try:
                os.close(file)
            except OSError as error:
                self.error = self.error or StoreError(f"the recording in {self.folder} cannot be written: {error}")
        self._files.clear()
        assert self._closing is not None
        if self._closing.set_running_or_notify_cancel():
            if self.error is not None:
                self._closing.set_exception(self.error)
            else:
                self._closing.set_result(None)
