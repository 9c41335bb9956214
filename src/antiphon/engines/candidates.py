"""Which of several engines to ask: the first that works, and not again and again one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, TypeAlias, TypeVar

import structlog

from antiphon.engines.condition import FAILURES_IN_A_ROW, TOLD_EVERY_S, Condition
from antiphon.engines.current_call import current_call
from antiphon.errors import EngineError

REST_S = 30.0
"""How long; then one request tries it, and the others follow if it works."""

RESTS = f"it failed {FAILURES_IN_A_ROW} times in a row and is left alone for a while"

_log = structlog.get_logger(__name__)

E = TypeVar("E")
I = TypeVar("I")  # noqa: E741
T = TypeVar("T")


@dataclass(slots=True)
class Breaker:
    """Whether an engine is worth asking. All times are seconds of one monotonic clock."""

    failures: int = 0
    rests_until: float = 0.0
    tried: bool = False
    """Somebody finds out whether it works again."""
    told_at: float | None = None
    """When the log was last told that this engine stands in for another."""

    def ready(self, now: float) -> bool:
        """Whether it may be asked before the others."""
        return self.failures < FAILURES_IN_A_ROW or (now >= self.rests_until and not self.tried)

    def begin(self) -> None:
        """It is asked."""
        self.tried = self.failures >= FAILURES_IN_A_ROW

    def succeeded(self) -> None:
        """It did its work."""
        self.failures, self.tried = 0, False

    def failed(self, now: float) -> None:
        """It did not."""
        self.failures += 1
        self.rests_until = now + REST_S
        self.tried = False

    def left(self) -> None:
        """Nobody wanted to know any more."""
        self.tried = False


@dataclass(frozen=True, slots=True)
class FellBack:
    """One engine did not do its work, so another one is asked. ``stage``: ``model``, ``voice`` or ``transcriber``."""

    stage: str
    engine: str
    fallback: str
    reason: str


Note: TypeAlias = Callable[[FellBack], None]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate(Generic[E]):
    """An engine under its name in the configuration, shared by all who may ask it."""

    name: str
    engine: E
    patience_s: float
    """Longest wait for a sign of life, as long as there is another one to ask."""
    breaker: Breaker = field(default_factory=Breaker)
    condition: Condition | None = None
    """What the log and ``/readyz`` are told of."""


class Candidates(Generic[E]):
    """A row of engines of one kind, best first.

    ``stays_s``: after a failure the engine is not asked first again for so long, here at least: a reply is not to be
    spoken in two voices by turns. ``note`` hears of every change for the worse, as the log does.
    """

    def __init__(
        self, stage: str, row: Sequence[Candidate[E]], *, stays_s: float = 0.0, note: Note | None = None
    ) -> None:
        self.row = tuple(row)
        self._stage = stage
        self._stays_s = stays_s
        self._note = note
        self._using = 0
        self._avoided_until: dict[str, float] = {}

    def for_call(self, note: Note) -> Candidates[E]:
        """The same engines with a memory, and a listener, of their own."""
        return Candidates(self._stage, self.row, stays_s=self._stays_s, note=note)

    def of(self, row: Sequence[Candidate[E]]) -> Candidates[E]:
        """Others, asked in the same way."""
        return Candidates(self._stage, row, stays_s=self._stays_s, note=self._note)

    @property
    def best(self) -> Candidate[E]:
        """The one to ask first now."""
        return self._order()[0]

    def attempts(self) -> Iterator[Attempt[E]]:
        """One attempt after the other; stop iterating at the first that is left without an error."""
        order, reason = self._order(), RESTS
        for place, candidate in enumerate(order):
            self._use(candidate, reason)
            attempt = Attempt(candidate, last=place == len(order) - 1)
            yield attempt
            reason = attempt.reason
            self._avoided_until[candidate.name] = _now() + self._stays_s

    def _order(self) -> list[Candidate[E]]:
        """Those that are better left alone come last: better than nothing."""
        now = _now()
        return sorted(
            self.row, key=lambda one: not one.breaker.ready(now) or self._avoided_until.get(one.name, now) > now
        )

    def _use(self, candidate: Candidate[E], reason: str) -> None:
        before, self._using = self._using, self.row.index(candidate)
        if self._using > before:
            fell_back = FellBack(self._stage, self.row[before].name, candidate.name, reason)
            self._tell(fell_back)
            if self._note is not None:
                self._note(fell_back)

    def _tell(self, fell_back: FellBack) -> None:
        """One line in the log, unless there was one of this engine just now, in this call or in another."""
        breaker, now = self.row[self._using].breaker, _now()
        if breaker.told_at is not None and now - breaker.told_at < TOLD_EVERY_S:
            return
        breaker.told_at = now
        more = {"call_id": call_id} if (call_id := current_call.get()) else {}
        _log.warning(
            "engine_fallback",
            stage=fell_back.stage,
            engine=fell_back.engine,
            fallback=fell_back.fallback,
            why=fell_back.reason,
            **more,
        )


class Attempt(Generic[E]):
    """One engine being asked, as a context: an error is swallowed while nothing came of it and another may be asked."""

    def __init__(self, candidate: Candidate[E], *, last: bool) -> None:
        self.candidate = candidate
        self.last = last
        self.useful = False
        """Something came that has been passed on and cannot be taken back."""
        self.reason = ""

    @property
    def engine(self) -> E:
        """The engine to ask."""
        return self.candidate.engine

    async def next(self, stream: AsyncIterator[I]) -> I | None:
        """The next item, ``None`` at the end. Until something is ``useful`` the engine has to show that it lives."""
        return await anext(stream, None) if self.useful else await self.result(anext(stream, None))

    async def result(self, work: Awaitable[T]) -> T:
        """What ``work`` gives, unless it takes too long."""
        if self.last:
            return await work
        patience_s = self.candidate.patience_s
        try:
            async with asyncio.timeout(patience_s):
                return await work
        except TimeoutError:
            raise EngineError(f"{self.candidate.name} gave no sign of life for {patience_s:g} s") from None

    def __enter__(self) -> Attempt[E]:
        self.candidate.breaker.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        breaker, condition = self.candidate.breaker, self.candidate.condition
        if error is None or (self.useful and not isinstance(error, Exception)):
            breaker.succeeded()
            if condition is not None:
                condition.worked()
            return False
        if not isinstance(error, Exception):  # whoever asked wants it no more
            breaker.left()
            return False
        breaker.failed(_now())
        mistake = None if isinstance(error, EngineError) else error
        self.reason = str(error) if mistake is None else f"it broke ({type(error).__name__})"
        if condition is not None:
            condition.failed(self.reason, mistake)
        elif mistake is not None:
            _log.error("engine_broke", engine=self.candidate.name, exc_info=mistake)
        return not (self.useful or self.last)


def _now() -> float:
    return asyncio.get_running_loop().time()
