"""One clock for the audio of all calls, with a beat every 5 ms.

At each beat what has come in is taken in, and then a quarter of the calls are asked for what is due: they stand in
four staggered slots, and one in a slot is asked every 20 ms. One task serves them all (a task per call costs 4 × as
much, see docs/architecture.md); it sleeps while nobody talks. The schedule is absolute: a late wake-up is followed by
an early one, not by a drift.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from antiphon.media.websocket.batch_reader import BatchReader

SLOTS = 4
SLOT_S = 0.005
WORTH_TELLING_S = 0.01


@dataclass(frozen=True, slots=True)
class _Player:
    ask: Callable[[float], None]
    on_broken: Callable[[], None]


class Pacer:
    """Asks every player at its turn, after the sockets in ``batch_reader``. ``player(now)`` must be quick."""

    def __init__(self, batch_reader: BatchReader | None = None) -> None:
        self.batch_reader = BatchReader() if batch_reader is None else batch_reader  # an empty one is false
        self._slots: list[dict[int, _Player]] = [{} for _ in range(SLOTS)]
        self._wake = asyncio.Event()
        self.batch_reader.on_first = self._wake.set
        self._numbers = 0
        self.lateness_s = 0.0
        """How late the last slot was."""
        self.on_late: Callable[[float, float], None] = lambda _now, _late_s: None
        """Told the time and how late a beat was, seconds, where that is more than ``WORTH_TELLING_S``."""

    def add(self, player: Callable[[float], None], on_broken: Callable[[], None]) -> int:
        """Ask ``player`` every 20 ms from now on. Returns a number to ``remove`` it by.

        One that raises is asked no more: ``on_broken`` is called while the exception is being handled.
        """
        self._numbers += 1
        slot = min(self._slots, key=len)
        slot[self._numbers] = _Player(player, on_broken)
        self._wake.set()
        return self._numbers

    def remove(self, number: int) -> None:
        """Ask it no more. Unknown numbers are fine."""
        for slot in self._slots:
            slot.pop(number, None)

    async def run(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        slot = 0
        due = loop.time()
        while True:
            if not any(self._slots) and not self.batch_reader:
                self._wake.clear()
                await self._wake.wait()
                due = loop.time()
            now = loop.time()
            self.lateness_s = max(0.0, now - due)
            if self.lateness_s > WORTH_TELLING_S:
                self.on_late(now, self.lateness_s)
            self.batch_reader.take_in()
            for number, player in list(self._slots[slot].items()):
                try:
                    player.ask(now)
                except Exception:
                    self.remove(number)
                    player.on_broken()
            slot = (slot + 1) % SLOTS
            due += SLOT_S
            if now - due > SLOTS * SLOT_S:
                due = now  # Too late to catch up: players hold absolute schedules of their own.
            await asyncio.sleep(max(0.0, due - loop.time()))
