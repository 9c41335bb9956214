"""How many of the calls that wait for their join are going to be joined in the next seconds.

Some programs create calls that nobody joins: a telephone that is not picked up, a page that is closed, a loop that went
wrong. Counted in full they would keep everybody else out for as long as ``joinTimeout``. So a call that waits counts
only for as long as most joins take, and then as much as the share of calls that were joined of late.
"""

from __future__ import annotations

import math

YOUNG_S = 10.0
"""A call that has waited for so long is not expected any more. It may be joined all the same."""

DELAY_S = 0.5
"""A program that joins its calls does so after about so long. A call that waits for longer speaks against joins."""

MEMORY = 100
"""Calls, joined or not, that the share is learned from; older ones fade."""

BENEFIT = 20
"""Joins that are taken for granted before anything is known."""


class JoinForecast:
    """Learns from the calls that were created in this process. All times are seconds on one clock."""

    def __init__(self) -> None:
        self._young: dict[str, float] = {}
        """When each was created; the oldest comes first."""
        self._old: set[str] = set()
        """Calls that wait still and count as missed already."""
        self._joined = 0.0
        self._missed = 0.0
        self._fresh = 0.0
        """Of the young ones so many do not speak against joins yet: each as ``exp(-age / DELAY_S)``."""
        self._fresh_at = 0.0

    def waits(self, call_id: str, now: float) -> None:
        """A call waits for its join."""
        self._settle(now)
        self._young[call_id] = now
        self._fresh += 1

    def joined(self, call_id: str) -> None:
        """It was joined, in whatever process."""
        if call_id in self._old:
            self._old.discard(call_id)
            self._missed = max(0.0, self._missed - 1)
        elif not self._grown(call_id):
            return
        self._fade()
        self._joined += 1

    def missed(self, call_id: str) -> None:
        """Its time is up."""
        if self._grown(call_id):
            self._fade()
            self._missed += 1
        self._old.discard(call_id)

    def dropped(self, call_id: str) -> None:
        """It waits no more, for a reason that says nothing about joins: it was deleted, or could not be created."""
        self._grown(call_id)
        self._old.discard(call_id)

    def expected(self, now: float) -> float:
        """Return how many joins are to be expected soon."""
        self._settle(now)
        likely = self._joined + BENEFIT
        late = max(0.0, len(self._young) - self._fresh)
        return len(self._young) * likely / (likely + self._missed + late)

    def _settle(self, now: float) -> None:
        """Let ``now`` be."""
        self._fresh *= math.exp(-max(0.0, now - self._fresh_at) / DELAY_S)
        self._fresh_at = now
        while self._young:
            call_id, since = next(iter(self._young.items()))
            if since > now - YOUNG_S:
                break
            self._grown(call_id)
            self._old.add(call_id)
            self._fade()
            self._missed += 1

    def _grown(self, call_id: str) -> bool:
        """Take it from the young ones; ``False`` where it is none."""
        since = self._young.pop(call_id, None)
        if since is None:
            return False
        self._fresh -= math.exp(-max(0.0, self._fresh_at - since) / DELAY_S)
        return True

    def _fade(self) -> None:
        self._joined *= 1 - 1 / MEMORY
        self._missed *= 1 - 1 / MEMORY
