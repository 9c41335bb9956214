"""How late and how busy the event loop is: everything that blocks it shows here first."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from itertools import count

import structlog

from antiphon.lifecycle.admission import Load
from antiphon.metrics import ENGINE_MEMORY, LOOP_BUSY, LOOP_LATENESS

PERIOD_S = 0.05
WORTH_A_WARNING_S = 0.25
MEMORY_EVERY = 40
"""Periods between two looks at the memory of child processes."""

_log = structlog.get_logger(__name__)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def watch(
    load: Load, children_s: Callable[[], float] = lambda: 0.0, children_bytes: Callable[[], int] = lambda: 0
) -> None:
    """Measure until cancelled, and tell ``load``. Begin when the models are loaded: what that takes hurts no call.

    ``children_s``: tells the processor time of the engines' child processes, seconds. It falls when one is replaced.
    ``children_bytes``: tells their memory.
    """
    loop = asyncio.get_running_loop()
    cores = usable_cores()
    thread_s, process_s, worked_s = time.thread_time(), time.process_time() + children_s(), 0.0
    for period in count():
        if period % MEMORY_EVERY == 0:
            ENGINE_MEMORY.set(children_bytes())
        due = loop.time() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        now = loop.time()
        late_s = max(0.0, now - due)
        thread_now, process_now = time.thread_time(), time.process_time() + children_s()
        # The loop has one core at most; its engines' threads share all of them with it.
        worked_s += max(thread_now - thread_s, (process_now - process_s) / cores)
        thread_s, process_s = thread_now, process_now
        load.sample(now, worked_s)
        LOOP_BUSY.set(load.busy)
        LOOP_LATENESS.observe(late_s)
        if late_s > WORTH_A_WARNING_S:
            _log.warning("event_loop_late", late_ms=round(late_s * 1000))
