"""Which name in the configuration leads to which: chains of fallbacks, and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


class FallsBack(Protocol):
    """Settings of an engine that may have a fallback."""

    @property
    def fallback(self) -> str | None:
        """The name of the settings that stand in."""


class NamesEngine(FallsBack, Protocol):
    """The same, of one certain engine."""

    @property
    def engine(self) -> str:
        """Which engine it is."""


F = TypeVar("F", bound=FallsBack)
S = TypeVar("S", bound=NamesEngine)


def chain(tables: Mapping[str, F], first: F) -> list[tuple[str, F]]:
    """What ``first`` falls back on, with the names, in the order in which they are asked."""
    found: list[tuple[str, F]] = []
    while first.fallback is not None:
        name, first = first.fallback, tables[first.fallback]
        found.append((name, first))
    return found


def check_chain(tables: Mapping[str, S], first: S, where: tuple[str, ...]) -> None:
    """Raise a ``ValidationError`` unless every fallback from ``first``, found at ``where``, exists and none is its own.

    A ring of others is theirs to tell.
    """
    passed: list[str] = []
    while (name := first.fallback) is not None:
        if name not in tables:
            if not passed:
                there_are = ", ".join(sorted(tables)) or "none"
                raise wrong(first, where, f'there is no "{name}" to fall back on; there are: {there_are}')
            return
        if name in passed:
            return
        if name == where[-1] and len(where) > 1:
            ring = " → ".join([name, *passed, name])
            raise wrong(tables[name], where, f"falls back on itself: {ring}")
        passed.append(name)
        first = tables[name]


def check_aliases(kind: str, aliases: Mapping[str, str], tables: Mapping[str, object]) -> None:
    """Raise a ``ValidationError`` unless every alias of a ``kind``, models or voices, names one of ``tables``."""
    for alias, name in aliases.items():
        if name not in tables:
            what = f'there is no "{name}" among the {kind}; there are: {", ".join(sorted(tables))}'
            raise _problem(what, ("aliases", kind, alias))


def wrong(settings: NamesEngine, where: tuple[str, ...], what: str) -> ValidationError:
    """An error about the key ``fallback`` of ``settings``, found at ``where``."""
    # The name of the engine is in the place as pydantic puts it there for the members of a tagged union.
    return _problem(what, (*where, settings.engine, "fallback"))


def _problem(what: str, place: tuple[str, ...]) -> ValidationError:
    details = InitErrorDetails(type=PydanticCustomError("names", "{what}", {"what": what}), loc=place, input=None)
    return ValidationError.from_exception_data("names", [details])
