"""What counts mean: instructions of one unit, and how well two runs agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

AGREEMENT = 0.005
"""Of a figure, by which the two lowest runs may differ."""

ONCE, TWICE = "once", "twice"
"""Counts are labelled by a path's name and one of these."""


class NotCounted(Exception):
    """A path whose counts are not there."""


def label(name: str, times: str) -> str:
    return f"{name} {times}"


def per_unit(counted: Mapping[str, int], name: str, units: int) -> float:
    """Instructions of one unit, where ``units`` of them were counted, and twice as many.

    The difference leaves out what is there only once: starting to count, the first of everything. Raises
    :class:`NotCounted`.
    """
    try:
        once, twice = counted[label(name, ONCE)], counted[label(name, TWICE)]
    except KeyError as error:
        raise NotCounted(f"valgrind left no count for {error}") from None
    return (twice - once) / units


@dataclass(frozen=True, slots=True)
class Figure:
    """Instructions of one unit of a path, by run; ``a_second``: how many units a call-second has."""

    name: str
    title: str
    unit: str
    runs: tuple[float, ...]
    a_second: float | None = None

    @property
    def instructions(self) -> float:
        """Of one unit, in the lowest run: the others had worse luck with where in memory things lie."""
        return min(self.runs)

    @property
    def spread(self) -> float:
        """Between the two lowest runs, as a part of the figure."""
        lowest = sorted(self.runs)[:2]
        return (lowest[-1] - lowest[0]) / lowest[0]

    @property
    def repeats(self) -> bool:
        """Two runs agree on it."""
        return self.spread <= AGREEMENT

    @property
    def call_second(self) -> float | None:
        """Instructions of a call-second."""
        return None if self.a_second is None else self.instructions * self.a_second


def call_second(figures: Iterable[Figure]) -> float:
    """Instructions of a call-second by all of these that are part of one."""
    return sum(figure.call_second or 0.0 for figure in figures)


def as_json(figures: Sequence[Figure], about: Mapping[str, str]) -> dict[str, object]:
    """For ``--json``."""
    paths = [
        {
            "name": figure.name,
            "title": figure.title,
            "unit": figure.unit,
            "instructions": figure.instructions,
            "runs": list(figure.runs),
            "spread": figure.spread,
            "units_a_call_second": figure.a_second,
        }
        for figure in figures
    ]
    return {"about": dict(about), "paths": paths, "instructions_a_call_second": call_second(figures)}
