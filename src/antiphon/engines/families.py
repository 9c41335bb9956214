"""The engines of one kind, made of its tables in the configuration, and who falls back on whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from antiphon.engines.candidates import Candidate
from antiphon.engines.chains import chain
from antiphon.engines.condition import Condition
from antiphon.engines.settings import StandIn, Voice

_BESIDE = frozenset(Voice.model_fields)
"""Keys that do not make another engine of it."""

S = TypeVar("S", bound=StandIn)
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Family(Generic[E]):
    """By the name of its table: an engine, and its condition with those of its fallbacks, in the order of asking."""

    engines: dict[str, E]
    conditions: dict[str, tuple[Condition, ...]]


def family(
    kind: str,
    tables: Mapping[str, S],
    make: Callable[[S], E],
    with_fallback: Callable[[list[Candidate[E]]], E],
) -> Family[E]:
    """Make the engines of one ``kind``. Tables that describe the same engine share what ``make`` made of them."""
    made: dict[S, tuple[E, Condition]] = {}
    candidates: dict[str, Candidate[E]] = {}
    for name, table in tables.items():
        alone = _alone(table)
        if alone not in made:
            made[alone] = make(alone), Condition(f"{kind} {name}".rstrip())
        engine, condition = made[alone]
        patience_s = table.first_answer_patience_s
        candidates[name] = Candidate(name or kind, engine, patience_s, condition=condition)
    found: Family[E] = Family({}, {})
    for name, table in tables.items():
        row = [candidates[name], *(candidates[other] for other, _ in chain(tables, table))]
        found.engines[name] = with_fallback(row) if len(row) > 1 else row[0].engine
        found.conditions[name] = tuple(one.condition for one in row if one.condition is not None)
    return found


def _alone(table: S) -> S:
    """The settings without what does not make another engine of it."""
    fields = type(table).model_fields
    alone: S = table.model_copy(update={key: fields[key].default for key in _BESIDE if key in fields})
    return alone
