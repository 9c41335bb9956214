"""What can be counted: a path through the code that is taken many times in each second of a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass


class NotDone(Exception):
    """What was counted is not what it is called."""


async def _nothing(_: int) -> None: ...


def _fine(_: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """``run(rounds)`` is counted; what ``ready(rounds)`` does before, and ``check(rounds)`` after it, is not.

    ``check`` raises :class:`NotDone` where the work was not done as it should have been.
    """

    run: Callable[[int], Awaitable[None]]
    ready: Callable[[int], Awaitable[None]] = _nothing
    check: Callable[[int], None] = _fine


@dataclass(frozen=True, slots=True)
class HotPath:
    """``rounds`` and twice as many are counted, each of ``in_a_round`` units; ``a_second``: units a call-second."""

    name: str
    title: str
    unit: str
    open: Callable[[], AbstractAsyncContextManager[Work]]
    rounds: int
    in_a_round: int = 1
    a_second: float | None = None

    @property
    def units(self) -> int:
        """How many are counted, once."""
        return self.rounds * self.in_a_round


def expect(found: int, wanted: int, what: str, off_by: int = 0) -> None:
    """Raise :class:`NotDone` where they differ by more than ``off_by``."""
    if abs(found - wanted) > off_by:
        raise NotDone(f"{found} {what}, where there should be {wanted}")
