"""What a call is taken to be, and what each part of serving one costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TURN_S = 8.0
"""From one turn of the caller's to the next: about 3 s of speech, a pause, about 4 s of answer."""

TRANSCRIPTIONS_A_TURN = 1.5
"""An utterance is transcribed when the caller pauses; half of the time the caller goes on."""

REPLY = "The opening hours on Thursday are from nine in the morning until half past six in the evening."
"""What the agent says in a turn."""

USABLE = 0.75
"""Share of a core that calls may take: above it they begin to wait for each other."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of serving a call.

    ``cost``: core-seconds per second of call, on this machine. ``one_core``: it cannot use more than one core of a
    process. ``answer_s``: how long it took to answer, where somebody waits for that. ``elsewhere``: most of the work is
    another server's, whose cost cannot be seen from here.
    """

    name: str
    engine: str
    cost: float
    one_core: bool = False
    answer_s: float | None = None
    elsewhere: bool = False

    def calls(self, cores: int) -> float:
        """How many calls it carries by itself."""
        return USABLE * (1 if self.one_core else cores) / self.cost if self.cost > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Capacity:
    """All parts, on a machine with ``cores``."""

    parts: Sequence[Part]
    cores: int

    @property
    def cost(self) -> float:
        """Core-seconds per second of call, all parts together."""
        return sum(part.cost for part in self.parts)

    @property
    def calls(self) -> int:
        """How many calls the machine carries at once; the narrowest of its bounds."""
        together = USABLE * self.cores / self.cost if self.cost > 0 else float("inf")
        return int(min([together, *(part.calls(self.cores) for part in self.parts)]))

    @property
    def bound(self) -> Part:
        """The part that costs most."""
        return max(self.parts, key=lambda part: part.cost)
