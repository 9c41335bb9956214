"""Carries out the tools of one call: over HTTP, by who takes part in it, or built in. An outcome always comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from antiphon.audio.pcm import Samples
from antiphon.call import events as ev
from antiphon.call.prompt import ToolRequest, ToolSpec
from antiphon.call.tools.outcomes import MAIN_THREAD, ToolOutcome
from antiphon.session.participants import InvocationKind, Participants
from antiphon.session.parts import CallTools
from antiphon.tools import arguments, built_in, outcomes
from antiphon.tools.definition import (
    BuiltIn,
    CallFacts,
    CallTool,
    ClientImplementation,
    DataConnectionImplementation,
    HttpImplementation,
)
from antiphon.wire.incoming import ToolResult
from antiphon.wire.thread_messages import opened, outcome_of

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A use of a tool whose result is to come from somebody outside."""

    name: str
    kind: InvocationKind
    timer: asyncio.TimerHandle


class ToolRunner:
    """Uses tools once each, and reports ``ToolReturned`` for every use.

    ``participants`` asks the client, or whoever else takes part. ``play`` plays sound to the caller; it returns when
    that is heard.
    """

    def __init__(
        self,
        tools: CallTools,
        participants: Participants,
        play: Callable[[Samples], Coroutine[Any, Any, None]],
        report: Callable[[ev.Event], None],
        now: Callable[[], float],
    ) -> None:
        self._tools = {tool.spec.name: tool for tool in tools.tools}
        self._http = tools.http
        self._spawn = tools.spawn
        self._participants = participants
        self._play = play
        self._report = report
        self._now = now
        self._awaited: dict[str, _Awaited] = {}

    def use(self, tools: CallTools) -> None:
        """A stage with other tools has begun. What runs by then goes on."""
        self._tools = {tool.spec.name: tool for tool in tools.tools}

    def invoke(self, request: ToolRequest, spec: ToolSpec, facts: CallFacts) -> None:
        """Begin to use a tool. ``facts``: as they are for whoever wants it used, now."""
        tool = self._tools[spec.name]
        match tool.implementation:
            case HttpImplementation():
                self._spawn(self._guarded(request, self._http.call(tool, request.arguments, facts)))
            case ClientImplementation():
                self._ask("client_tool_invocation", tool, request, facts)
            case DataConnectionImplementation():
                self._ask("data_connection_tool_invocation", tool, request, facts)
            case BuiltIn():
                self._spawn(self._guarded(request, self._built_in(tool, request, facts)))

    def result(self, message: ToolResult) -> None:
        """A result came from whoever was asked. Whether anybody waits for it is the core's to say."""
        awaited = self._awaited.pop(message.invocation_id, None)
        if awaited is not None:
            awaited.timer.cancel()
            self._participants.withdraw(awaited.kind, message.invocation_id)
        outcome = outcome_of(message, awaited.name if awaited is not None else "")
        self._report(ev.ToolReturned(self._now(), message.invocation_id, outcome))

    def close(self) -> None:
        """The call is over: nobody waits any more."""
        for awaited in self._awaited.values():
            awaited.timer.cancel()
        self._awaited.clear()

    def _ask(self, kind: InvocationKind, tool: CallTool, request: ToolRequest, facts: CallFacts) -> None:
        if not self._participants.reaches(kind):
            self._returned(request, outcomes.failed(f"{tool.spec.name} is not available: {self._why_nobody(kind)}."))
            return
        prepared = arguments.client_parameters(tool, request.arguments, facts)
        if isinstance(prepared, ToolOutcome):
            self._returned(request, prepared)
            return
        spec = tool.spec
        expire = asyncio.get_running_loop().call_later(spec.timeout_s, self._expire, kind, request, spec)
        self._awaited[request.invocation] = _Awaited(spec.name, kind, expire)
        self._participants.ask(kind, spec.name, request.invocation, prepared)

    def _expire(self, kind: InvocationKind, request: ToolRequest, spec: ToolSpec) -> None:
        self._awaited.pop(request.invocation, None)
        if self._participants.withdraw(kind, request.invocation):
            text = f'The tool "{spec.name}" could not be reached: the data connection is down or too slow.'
            self._returned(request, outcomes.failed(text, f"{text} It was for {spec.timeout_s:g} seconds."))
        else:
            self._returned(request, outcomes.timed_out(spec.name, spec.timeout_s))

    def _why_nobody(self, kind: InvocationKind) -> str:
        if kind == "client_tool_invocation":
            return "the client has turned tool invocations off"
        if self._participants.has_data_connection:
            return "the data connection has turned tool invocations off"
        return "the call has no data connection"

    async def _built_in(self, tool: CallTool, request: ToolRequest, facts: CallFacts) -> ToolOutcome:
        done = built_in.carry_out(tool, request.arguments, facts)
        if done.sound is not None and facts.thread_id != MAIN_THREAD:
            return outcomes.failed(f"{tool.spec.name} was not used: only the main conversation can be heard.")
        if done.sound is not None:
            await self._play(done.sound)
        return done.outcome

    async def _guarded(self, request: ToolRequest, work: Coroutine[Any, Any, ToolOutcome]) -> None:
        try:
            outcome = await work
        except Exception as error:
            _log.exception("tool_broke")
            text = f"{request.name} failed."
            outcome = ToolOutcome(text, failed=True, error_details=f"{type(error).__name__} in the server")
        self._returned(request, opened(request.name, outcome))

    def _returned(self, request: ToolRequest, outcome: ToolOutcome) -> None:
        self._report(ev.ToolReturned(self._now(), request.invocation, outcome))
