"""One thread that writes files for everybody, so that no event loop ever waits for a disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

Job: TypeAlias = Callable[[], None]
"""Work for the disk. It must not raise: whoever wants to know of a failure catches it in the job."""

DEFAULT_LIMIT_BYTES: Final = 64 * 1024 * 1024


class DiskThread:
    """Runs jobs one after the other in a thread of its own, started by the first of them.

    What waits is bounded: when data over ``limit_bytes`` is queued because the disk is too slow, further data
    is refused at once (``offer`` answers False and ``refused_bytes`` grows) rather than waited for. Jobs are
    gathered for ``gather_s`` before the thread wakes, so a frame does not cost a thread switch.
    """

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES, gather_s: float = 0.1) -> None:
        self.limit_bytes = limit_bytes
        self.refused_bytes = 0
        self._gather_s = gather_s
        self._lock = threading.Lock()
        self._jobs: deque[tuple[int, Job]] = deque()
        self._queued_bytes = 0
        self._work = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def queued_bytes(self) -> int:
        """Data accepted and not written yet."""
        return self._queued_bytes

    def offer(self, size_bytes: int, job: Job) -> bool:
        """Queue ``job``, which carries ``size_bytes`` of data. False, and counted, if that is too much now."""
        with self._lock:
            if self._queued_bytes + size_bytes > self.limit_bytes:
                self.refused_bytes += size_bytes
                return False
            self._queued_bytes += size_bytes
            self._add(size_bytes, job)
        return True

    def run(self, job: Job) -> None:
        """Queue ``job``, which carries no data to speak of: never refused, and done without gathering."""
        with self._lock:
            self._add(0, job)
            self._hurry.set()

    def _add(self, size_bytes: int, job: Job) -> None:
        self._jobs.append((size_bytes, job))
        if len(self._jobs) == 1:
            self._work.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="antiphon-disk", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            self._work.wait()
            self._hurry.wait(self._gather_s)
            with self._lock:
                self._work.clear()
                self._hurry.clear()
                jobs, self._jobs = self._jobs, deque()
            for size_bytes, job in jobs:
                job()
                with self._lock:
                    self._queued_bytes -= size_bytes


_shared: DiskThread | None = None
_shared_lock = threading.Lock()


def shared_disk_thread() -> DiskThread:
    """The process's one disk thread."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = DiskThread()
        return _shared
