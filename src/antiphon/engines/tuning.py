"""How one call wants a voice of the server's spoken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from antiphon.engines.protocols import Speaker


@dataclass(frozen=True, slots=True)
class Tuning:
    """What one call changes about a voice.

    ``speed``: 1.0 is as the voice was made; ``None`` leaves the voice's own. ``language``: a BCP-47 hint.
    ``fields``: further fields of the request to the server behind the voice.
    """

    speed: float | None = None
    language: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Tunable(Protocol):
    """A speaker that speaks differently for one call. What it does share with its like stays shared."""

    speeds: tuple[float, float]
    """The slowest and the fastest it can be asked for."""
    takes_fields: bool
    """Whether there is a server behind it that ``Tuning.fields`` can be handed to."""

    def tuned(self, tuning: Tuning) -> Speaker:
        """The same voice, spoken so. Raises ``ValueError`` for a speed outside ``speeds``. Needs no closing."""


def check_speed(speed: float | None, speeds: tuple[float, float]) -> None:
    """Raise ``ValueError`` unless the speed is possible."""
    slowest, fastest = speeds
    if speed is not None and not slowest <= speed <= fastest:
        raise ValueError(f"speed is {slowest:g} to {fastest:g}, not {speed:g}")
