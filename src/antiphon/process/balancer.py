"""The workers as the front sees them, and which of them is to get the next connection."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from antiphon.process.ipc import Channel, Report

FRESH_S = 1.0
"""For so long a connection counts as a call: what it is going to be is not known, and not yet in any report."""

SILENT_S = 2.0
"""A worker that has reported nothing for so long is stuck, and gets nobody while there are others."""


@dataclass(eq=False)
class Worker:
    """A worker as the front sees it. ``fresh``: when connections of late were handed to it.

    ``reported``: when it last did; all times are the event loop's. ``makes_key``: it makes the first API key.
    """

    number: int
    process: asyncio.subprocess.Process
    channel: Channel
    serving: bool = False
    report: Report | None = None
    reported: float = 0.0
    silent: bool = False
    fresh: deque[float] = field(default_factory=deque)
    makes_key: bool = False

    def tells(self, report: Report, now: float) -> None:
        """It has reported."""
        self.report, self.reported, self.silent = report, now, False

    @property
    def was_ready(self) -> bool:
        """Whether it said, when it last said anything, that calls can be served there. It is late while it loads."""
        return self.report is not None and self.report.ready

    def can_serve(self, now: float) -> bool:
        """Whether calls can be served there, as far as is known."""
        return self.was_ready and now - self.reported <= SILENT_S

    def weight(self, now: float) -> tuple[bool, bool, int, float]:
        """What it has to do, for comparison: the least comes first."""
        while self.fresh and self.fresh[0] < now - FRESH_S:
            self.fresh.popleft()
        if self.report is None:
            return True, True, len(self.fresh), 0.0
        calls = self.report.reading.live + len(self.fresh)
        return not self.can_serve(now), self.report.full, calls, self.report.reading.busy
