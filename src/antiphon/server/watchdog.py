"""How late and how busy the event loop is: everything that blocks it shows here first."""

from __future__ import annotations

import asyncio
import time

import structlog

from antiphon.metrics import LOOP_BUSY, LOOP_LATENESS
from antiphon.session.load import Load

PERIOD_S = 0.05
WORTH_A_WARNING_S = 0.25

_log = structlog.get_logger(__name__)


async def watch(load: Load) -> None:
    """Measure until cancelled, and tell ``load``."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        now = loop.time()
        late_s = max(0.0, now - due)
        load.sample(now, time.thread_time(), late_s)
        LOOP_BUSY.set(load.busy)
        LOOP_LATENESS.observe(late_s)
        if late_s > WORTH_A_WARNING_S:
            _log.warning("event_loop_late", late_ms=round(late_s * 1000))
