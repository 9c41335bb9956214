"""The tools under way: which wait behind words, which run, what came of them.

The rules, and what happens to a result that comes late, twice or for nobody, stand as a table in docs/tools.md;
tests/call/test_toolwork.py is made from it. A tool that has begun is never lost: both its messages have their
places in the call from the moment it begins, and get their content whatever happens meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from antiphon.call.actions import Action, Emit, Invoke, Keep, PrepareStage
from antiphon.call.history import History, Span, ToolMessage, ToolRole
from antiphon.call.messages import CallEvent, InvokingTool, Severity, ToolAnswer, ToolsAnswered, ToolsWanted, ToolUsed
from antiphon.call.prompt import Reaction, ToolRequest, ToolSpec
from antiphon.call.stages import Stage
from antiphon.call.tools.outcomes import MAIN_THREAD, Posted, ResponseType, ToolOutcome

GRACE_S = 5.0
"""How long after a tool's own timeout it is given up by the core, should nobody else have done so."""

REMEMBERED = 256
"""Invocations that are over and still known, to tell a second result from one for nobody."""


class Phase(Enum):
    """How far an invocation has come."""

    WAITING = auto()
    """Behind words that are still to be heard."""
    RUNNING = auto()
    PREPARING = auto()
    """It asked for a new stage, which is being made."""
    RETURNED = auto()


@dataclass(slots=True)
class Invocation:
    """One use of a tool. ``begun``: its words were heard (or there were none), and it is part of the call."""

    request: ToolRequest
    spec: ToolSpec | None
    reply: int
    known: ToolOutcome | None = None
    forced: bool = False
    spoke: bool = False
    phase: Phase = Phase.WAITING
    begun: bool = False
    started_at: float = 0.0
    started_audio_s: float = 0.0
    prepared_since: float = 0.0
    call_ordinal: int = 0
    result_ordinal: int = 0
    outcome: ToolOutcome | None = None

    @property
    def under_way(self) -> bool:
        """Nothing has come of it yet."""
        return self.phase in (Phase.RUNNING, Phase.PREPARING)

    @property
    def answer(self) -> ToolAnswer:
        """What came of it."""
        outcome = self.outcome or ToolOutcome("")
        return ToolAnswer(self.request, outcome.text, outcome.error_details, self.call_ordinal, self.result_ordinal)

    @property
    def give_up_at(self) -> float:
        """When the core waits no longer."""
        if self.phase is Phase.PREPARING:
            return self.prepared_since + GRACE_S
        return self.started_at + (self.spec.timeout_s if self.spec else 0.0) + GRACE_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from tools that are over: the end, new stages, an answer."""

    hang_up: ToolOutcome | None
    stages: tuple[Stage, ...]
    speaks: bool


def judge(settled: list[Invocation]) -> Verdict:
    """Put the outcomes together: the first hang-up counts, new stages only where there is none.

    The agent speaks if any of them wants it to.
    """
    hang_up: ToolOutcome | None = None
    speaks = False
    for one in settled:
        if (outcome := one.outcome) is None:
            continue
        if outcome.response_type is ResponseType.HANG_UP:
            hang_up = hang_up or outcome
        reaction = outcome.reaction or (one.spec.reaction if one.spec else Reaction.SPEAKS)
        speaks = speaks or reaction is Reaction.SPEAKS or (reaction is Reaction.SPEAKS_ONCE and not one.spoke)
    stages = tuple(one.outcome.stage for one in settled if one.outcome and one.outcome.stage)
    return Verdict(hang_up, stages, speaks)


def refusal(request: ToolRequest, spec: ToolSpec | None, specs: Sequence[ToolSpec]) -> ToolOutcome | None:
    """Why a tool cannot be used at all; ``specs`` are those that can be."""
    if spec is None:
        names = ", ".join(spec.name for spec in specs) or "none"
        problem = f"There is no tool called {request.name}. Tools there are: {names}."
    elif request.problem is not None:
        problem = f"The tool was not used: {request.problem}"
    else:
        return None
    return ToolOutcome(problem, failed=True, error_details=problem)


class Toolwork:
    """All invocations of a call that are not over."""

    def __init__(self, specs: tuple[ToolSpec, ...], history: History, out: list[Action]) -> None:
        self.specs = specs
        self._history = history
        self._out = out
        self._open: dict[str, Invocation] = {}
        self._over: deque[str] = deque(maxlen=REMEMBERED)
        self._static: deque[str] = deque(maxlen=REMEMBERED)
        self._settled: list[Invocation] = []
        self.state: dict[str, Any] = {}
        """What tools keep from one use to the next."""
        self.posted: list[Posted] = []
        """What tools have sent to threads, to be taken out."""
        self.audio_s = 0.0
        self.joined_at = 0.0

    @property
    def busy(self) -> bool:
        """A tool that is part of the call runs: the agent is silent, and the caller is heard after it."""
        return bool(self._open) and any(one.begun and one.under_way for one in self._open.values())

    @property
    def deadline(self) -> float | None:
        """When the next tool is given up."""
        if not self._open:
            return None
        return min((one.give_up_at for one in self._open.values() if one.under_way), default=None)

    def knows(self, invocation: str) -> bool:
        """That invocation is under way, or was."""
        return invocation in self._open or invocation in self._over

    def has(self, reply: int) -> bool:
        """The reply wants tools used."""
        return any(one.reply == reply for one in self._open.values())

    def request(
        self, at: float, reply: int, request: ToolRequest, known: ToolOutcome | None = None, *, forced: bool = False
    ) -> None:
        """A tool is wanted, in a reply that is given; one that may run ahead of its words does.

        ``known``: what comes of it is known already, and it is not used. ``forced``: it is not the model that wants it.
        """
        if request.invocation in self._open or request.invocation in self._over:
            self._note(Severity.WARNING, "tool_doubled", f"The invocation {request.invocation} was wanted twice.")
            return
        spec = next((spec for spec in self.specs if spec.name == request.name), None)
        one = self._open[request.invocation] = Invocation(request, spec, reply, known, forced)
        if known is None and spec is not None and spec.precomputable:
            self._run(at, one)

    def begin(self, at: float, reply: int, *, spoke: bool) -> None:
        """The words of the reply were heard, or there were none: its tools are part of the call."""
        if begins := self._of(reply):
            self._out.append(Emit(ToolsWanted(tuple(one.request for one in begins), begins[0].forced)))
        for one in begins:
            one.begun, one.spoke = True, spoke
            one.started_audio_s = self.audio_s
            one.call_ordinal, one.result_ordinal = self._history.take_ordinal(), self._history.take_ordinal()
            if one.phase is Phase.WAITING:
                self._run(at, one)
            span, wall = self._spans(one, at)
            self._keep(ToolMessage(ToolRole.CALL, one.call_ordinal, one.request, "", None, span, wall))
            if one.phase is Phase.RETURNED:
                self._settle(at, one)
            elif one.known is not None:
                self.returned(at, one.request.invocation, one.known)
            elif (refused := refusal(one.request, one.spec, self.specs)) is not None:
                self.returned(at, one.request.invocation, refused)
            elif one.spec is not None and one.spec.static_response is not None:
                self.returned(at, one.request.invocation, ToolOutcome(one.spec.static_response))
                self._static.append(one.request.invocation)

    def take_back(self, reply: int) -> tuple[ToolRequest, ...]:
        """The reply may be resumed later: what waited behind its words, to be wanted again then."""
        waiting = [one for one in self._of(reply) if one.phase is Phase.WAITING and one.known is None]
        for one in waiting:
            del self._open[one.request.invocation]
        return tuple(one.request for one in waiting)

    def drop(self, reply: int) -> None:
        """The words of the reply were interrupted: its tools never were part of the call."""
        for one in self._of(reply):
            del self._open[one.request.invocation]
            if one.phase is not Phase.WAITING:
                self._over.append(one.request.invocation)
                self._note(Severity.INFO, "tool_result_dropped", f"{one.request.name} ran ahead of words nobody heard.")

    def returned(self, at: float, invocation: str, outcome: ToolOutcome) -> None:
        """Something has come of an invocation."""
        one = self._open.get(invocation)
        if one is None or one.phase in (Phase.RETURNED, Phase.PREPARING):
            if invocation in self._static:
                return  # the model had its answer before
            known = one is not None or invocation in self._over
            kind, what = ("tool_result_late", "over") if known else ("tool_result_unknown", "unknown")
            self._note(Severity.WARNING, kind, f"A result came for an invocation that is {what}; it is ignored.")
            return
        if one.phase is Phase.WAITING:
            self._note(Severity.WARNING, "tool_result_early", "A result came for a tool that was not used yet.")
            return
        if outcome.response_type is ResponseType.NEW_STAGE and not outcome.failed:
            one.phase, one.prepared_since = Phase.PREPARING, at
            self._out.append(PrepareStage(invocation, outcome))
            return
        self._return(at, one, outcome)

    def prepared(self, at: float, invocation: str, outcome: ToolOutcome) -> None:
        """The new stage that an invocation asked for is made, or it has turned out that it cannot be."""
        one = self._open.get(invocation)
        if one is not None and one.phase is Phase.PREPARING:
            self._return(at, one, outcome)

    def _return(self, at: float, one: Invocation, outcome: ToolOutcome) -> None:
        one.phase, one.outcome = Phase.RETURNED, outcome
        if one.begun:
            self._settle(at, one)

    def give_up(self, now: float, *, at_once: bool = False) -> None:
        """Whoever has not answered by now does not answer any more (``at_once``: however little time it had)."""
        for one in list(self._open.values()):
            if one.under_way and (at_once or now >= one.give_up_at):
                text = f"{one.request.name} gave no answer in time."
                self._return(now, one, ToolOutcome(text, failed=True, error_details=text))

    def finish(self, at: float) -> None:
        """The call ends: every tool that is part of it has an outcome on record."""
        for one in list(self._open.values()):
            if one.begun and one.under_way:
                text = "The call ended before the tool answered."
                self._return(at, one, ToolOutcome(text, failed=True, error_details=text))

    def take_settled(self) -> list[Invocation]:
        """What is over since the last time, once nothing runs any more: the agent reacts to all of it together."""
        if self.busy:
            return []
        settled, self._settled = self._settled, []
        if settled:
            self._out.append(Emit(ToolsAnswered(tuple(one.answer for one in settled))))
        return settled

    def _of(self, reply: int) -> list[Invocation]:
        return [one for one in self._open.values() if one.reply == reply]

    def _run(self, at: float, one: Invocation) -> None:
        one.phase, one.started_at = Phase.RUNNING, at
        if one.spec is not None and one.request.problem is None and one.known is None:
            self._out.append(Emit(InvokingTool(one.request.name, one.request.invocation)))
            self._out.append(Invoke(one.request, one.spec))

    def _settle(self, at: float, one: Invocation) -> None:
        outcome = one.outcome
        assert outcome is not None
        del self._open[one.request.invocation]
        self._over.append(one.request.invocation)
        span, wall = self._spans(one, at)
        changed: dict[str, Any] | None = None
        if outcome.state_update:
            self.state.update(outcome.state_update)
            changed = dict(self.state)
        if outcome.thread_message is not None:
            self.posted.append(Posted(MAIN_THREAD, outcome.thread_message, self._history.chat()))
        text, details = outcome.text, outcome.error_details
        self._keep(ToolMessage(ToolRole.RESULT, one.result_ordinal, one.request, text, details, span, wall, changed))
        self._out.append(Emit(ToolUsed(one.request.name, one.request.invocation)))
        if outcome.failed:
            self._note(Severity.WARNING, "tool_failed", f"{one.request.name}: {outcome.text}")
        self._settled.append(one)

    def _spans(self, one: Invocation, at: float) -> tuple[Span, Span]:
        audio = Span(one.started_audio_s, max(one.started_audio_s, self.audio_s))
        return audio, Span(one.started_at - self.joined_at, at - self.joined_at)

    def _keep(self, message: ToolMessage) -> None:
        self._history.add(message)
        self._out.append(Keep(message))

    def _note(self, severity: Severity, kind: str, text: str) -> None:
        self._out.append(Emit(CallEvent(severity, kind, text)))
