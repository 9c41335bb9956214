"""How engines are doing, as those who ask them find out: for the log, and for ``/readyz``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from antiphon.engines.current_call import current_call

FAILURES_IN_A_ROW = 3
"""After so many an engine is taken to be down."""

DOWN_FOR_S = 30.0
"""Without another failure it is then taken to be worth a try again."""

TOLD_EVERY_S = 10.0
"""A failing engine has one line in the log in this time."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EngineState:
    """What is known of an engine. Times are of the machine's monotonic clock; ``failures`` are those in a row."""

    name: str
    failures: int = 0
    error: str = ""
    failed_at: float = 0.0
    worked_at: float = 0.0

    def is_down(self, now: float) -> bool:
        """Whether a call that needs the engine is likely to fail."""
        return self.failures >= FAILURES_IN_A_ROW and now - self.failed_at < DOWN_FOR_S


class Condition:
    """The condition of one engine. ``name``: kind and name, as in ``model main``."""

    def __init__(self, name: str) -> None:
        self.state = EngineState(name)
        self._told_at: float | None = None
        self._untold = 0

    @property
    def name(self) -> str:
        """Which engine it is."""
        return self.state.name

    def worked(self) -> None:
        """It did its work."""
        state = self.state
        if state.failures >= FAILURES_IN_A_ROW:
            _log.info("engine_works_again", engine=state.name, after_failures=state.failures)
        self.state = EngineState(state.name, worked_at=_now())

    def failed(self, error: str, exception: BaseException | None = None, *, call_id: str | None = None) -> None:
        """It did not, for that reason, which goes into the log unless there was a line just now.

        ``exception``: a mistake of the engine's own; where it happened is logged, too. ``call_id``: of the call that
        met it, where that is not the task's.
        """
        state, now = self.state, _now()
        self.state = EngineState(state.name, state.failures + 1, error, now, state.worked_at)
        if self._told_at is not None and now - self._told_at < TOLD_EVERY_S:
            self._untold += 1
            return
        more: dict[str, Any] = {"not_logged_before": self._untold} if self._untold else {}
        self._told_at, self._untold = now, 0
        if call_id := call_id or current_call.get():
            more = {"call_id": call_id, **more}
        if exception is None:
            _log.warning("engine_failed", engine=state.name, error=error, **more)
        else:
            _log.error("engine_broke", engine=state.name, exc_info=exception, **more)


@dataclass(frozen=True, slots=True)
class Watched:
    """What one stage of a call tells about its engine.

    ``alone``: failures and successes are told of ``condition``. Otherwise there are fallbacks, which watch over each
    other and know which one failed, and only that none of them gave an answer is told.
    """

    condition: Condition
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a server's engines: for each that calls can choose its own and those of its fallbacks."""

    transcriber: tuple[Condition, ...] = ()
    models: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    voices: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    end_of_turn: Condition = field(default_factory=lambda: Condition("end of turn"))
    brought_voice: Condition = field(default_factory=lambda: Condition("externalVoice"))
    """Of the voices that calls bring along. It says nothing about this server."""

    _chains: dict[str, Condition] = field(default_factory=dict)

    def watched(self, row: tuple[Condition, ...]) -> Watched:
        """An engine and its fallbacks, best first, as one call sees them."""
        if len(row) == 1:
            return Watched(row[0])
        name = f"{row[0].name} and its fallbacks"
        return Watched(self._chains.setdefault(name, Condition(name)), alone=False)

    def states(self) -> tuple[EngineState, ...]:
        """The state of every engine that was asked, each once."""
        rows = [self.transcriber, *self.models.values(), *self.voices.values(), (self.end_of_turn,)]
        found = {id(one): one.state for row in rows for one in row}
        return tuple(state for state in found.values() if state.failed_at or state.worked_at)

    def broken(self, states: Mapping[str, EngineState], now: float) -> list[str]:
        """The kinds of which no engine works, so that no call can be held: ``transcriber``, ``model``, ``voice``."""
        kinds = {"transcriber": [self.transcriber], "model": self.models.values(), "voice": self.voices.values()}
        return [
            kind
            for kind, rows in kinds.items()
            if any(rows) and all(_down(one.name, states, now) for row in rows for one in row)
        ]


def merged(reports: Iterable[Iterable[EngineState]]) -> dict[str, EngineState]:
    """What several processes know, by name. What one did after the others' failures counts more than these."""
    known: dict[str, list[EngineState]] = {}
    for report in reports:
        for state in report:
            known.setdefault(state.name, []).append(state)
    return {name: _together(name, states) for name, states in known.items()}


def _together(name: str, states: list[EngineState]) -> EngineState:
    worked_at = max(state.worked_at for state in states)
    failing = [state for state in states if state.failures and state.failed_at > worked_at]
    if not failing:
        return EngineState(name, worked_at=worked_at)
    last = max(failing, key=lambda state: state.failed_at)
    return EngineState(name, sum(state.failures for state in failing), last.error, last.failed_at, worked_at)


def _down(name: str, states: Mapping[str, EngineState], now: float) -> bool:
    return name in states and states[name].is_down(now)


def _now() -> float:
    return asyncio.get_running_loop().time()
