"""Drive the core of one call: give it events and the time, and have its actions carried out, one after the other."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable

import structlog

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.call import Call
from antiphon.call.ends import EndReason

SHORTEST_ALARM_S = 0.001
"""A deadline that has passed is looked at once the loop has gone round."""

_log = structlog.get_logger(__name__)


class CoreDriver:
    """Feeds events to a :class:`Call`, wakes it at its deadlines, and gives its actions to ``perform``.

    ``ended`` gets the call's end. A mistake in the core or in ``perform`` ends the call, whoever had called: a timer, a
    callback of an engine, or a task. ``on_fault`` is told of it.
    """

    def __init__(
        self,
        core: Call,
        call_id: str,
        now: Callable[[], float],
        perform: Callable[[act.Action], None],
        on_fault: Callable[[BaseException | None], None],
    ) -> None:
        self.core = core
        self.ended: asyncio.Future[act.End] = asyncio.get_running_loop().create_future()
        self.call_id = call_id
        self._now = now
        self._perform = perform
        self._on_fault = on_fault
        self._inbox: deque[ev.Event] = deque()
        self._busy = False
        self._alarm: asyncio.TimerHandle | None = None
        self._over = False

    def feed(self, event: ev.Event) -> None:
        """Give the core an event, after those that came before it."""
        if not self._busy:
            self._work_off(event)
        elif isinstance(event, ev.PlayoutStopped):
            self._inbox.appendleft(event)  # the reply's end is on record before what else happened meanwhile
        else:
            self._inbox.append(event)

    def finish(self, end: act.End) -> None:
        """Note how the call ended; the first end counts."""
        if not self.ended.done():
            self.ended.set_result(end)

    def fail(self) -> None:
        """End the call, which cannot go on. To be called while the exception is being handled."""
        _log.exception("session_broke", call_id=self.call_id)
        self._on_fault(sys.exception())
        self._over = True
        self._inbox.clear()
        self.finish(act.End(EndReason.SYSTEM_ERROR, 1011, "the server failed"))

    def close(self) -> None:
        """Take no more events."""
        self._over = True
        if self._alarm is not None:
            self._alarm.cancel()

    def _tick(self) -> None:
        self._alarm = None
        self._work_off(None)

    def _work_off(self, first: ev.Event | None) -> None:
        """Give the core ``first`` (``None``: the time), then what comes of it."""
        if self._over:
            return
        self._busy = True
        try:
            if first is None:
                self.core.tick(self._now())
                moved = True
            else:
                moved = self.core.receive(first)
            self._carry_out()
            while self._inbox:
                moved = self.core.receive(self._inbox.popleft()) or moved
                self._carry_out()
            if moved:  # else the deadline is later, if anything, and an early look is harmless
                self._set_alarm()
        except Exception:
            self.fail()
        finally:
            self._busy = False

    def _carry_out(self) -> None:
        for action in self.core.actions():
            self._perform(action)

    def _set_alarm(self) -> None:
        deadline = self.core.deadline
        if self._alarm is not None:
            if deadline is not None and self._alarm.when() <= deadline:
                return  # Deadlines move on with every event: an early look is cheaper than a new timer each time.
            self._alarm.cancel()
            self._alarm = None
        if deadline is not None:
            due = max(deadline, self._now() + SHORTEST_ALARM_S)
            self._alarm = asyncio.get_running_loop().call_at(due, self._tick)
