"""Every engine of a configuration by itself, fallbacks included, with what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from antiphon.engines.needs import engines_in_use
from antiphon.engines.registry import Engines
from antiphon.engines.settings import EngineSettings, Settings


@dataclass(frozen=True, slots=True)
class Named:
    """An engine. ``key``: its table in the configuration, ``kind``: the key's first part."""

    kind: str
    name: str
    key: str
    settings: Settings
    engine: Any

    @property
    def embedded(self) -> bool:
        """Whether it computes on this machine, and has to be loaded."""
        return hasattr(self.engine, "load")


def named(settings: EngineSettings, engines: Engines) -> list[Named]:
    """All engines, each once: tables that describe the same engine share it, under the first one's name."""
    found: dict[int, Named] = {}
    for (key, table), engine in zip(engines_in_use(settings), _engines(settings, engines), strict=True):
        if engine is not None:
            kind, _, name = key.partition(".")
            called = f"{_KINDS.get(kind, kind)} {name.strip(chr(34))}".rstrip()
            found.setdefault(id(engine), Named(kind, called, key, table, engine))
    return list(found.values())


_KINDS = {
    **{"voice_activity": "voice activity", "end_of_turn": "end of turn", "transcribers": "transcriber"},
    **{"models": "model", "voices": "voice"},
}


def _engines(settings: EngineSettings, engines: Engines) -> Iterator[object]:
    """In the order of :func:`engines_in_use`."""
    yield engines.voice_activity
    yield engines.end_of_turn
    yield from _row(engines.transcriber)
    for name in settings.models:
        yield _row(engines.models[name])[0]
    for name in settings.voices:
        yield _row(engines.voices[name].speaker)[0]


def _row(engine: Any) -> list[object]:
    candidates = getattr(engine, "candidates", None)
    return [engine] if candidates is None else [one.engine for one in candidates.row]
