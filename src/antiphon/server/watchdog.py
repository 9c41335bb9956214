"""How late the event loop is: everything that blocks it shows here first."""

from __future__ import annotations

import asyncio

import structlog

from antiphon.metrics import LOOP_LATENESS

PERIOD_S = 0.05
WORTH_A_WARNING_S = 0.25

_log = structlog.get_logger(__name__)


async def watch() -> None:
    """Measure until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        late_s = max(0.0, loop.time() - due)
        LOOP_LATENESS.observe(late_s)
        if late_s > WORTH_A_WARNING_S:
            _log.warning("event_loop_late", late_ms=round(late_s * 1000))
