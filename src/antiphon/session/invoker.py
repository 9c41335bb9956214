"""Carries out the tools of one call: over HTTP, by the client, or built in. Whatever happens, an outcome comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from antiphon.audio.pcm import Samples
from antiphon.call import events as ev
from antiphon.call.tools import ToolOutcome, ToolRequest, ToolSpec
from antiphon.session.outlet import InvocationKind, Outlet
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
from antiphon.wire.events import outcome_of
from antiphon.wire.incoming import ToolResult

_log = structlog.get_logger(__name__)


class Invoker:
    """Uses tools once each, and reports ``ToolReturned`` for every use.

    ``outlet`` asks the client, or whoever else takes part. ``play`` plays sound to the caller; it returns when that is
    heard.
    """

    def __init__(
        self,
        tools: CallTools,
        outlet: Outlet,
        play: Callable[[Samples], Coroutine[Any, Any, None]],
        report: Callable[[ev.Event], None],
        now: Callable[[], float],
    ) -> None:
        self._tools = {tool.spec.name: tool for tool in tools.tools}
        self._http = tools.http
        self._spawn = tools.spawn
        self._outlet = outlet
        self._play = play
        self._report = report
        self._now = now
        self._awaited: dict[str, tuple[str, asyncio.TimerHandle]] = {}

    def invoke(self, request: ToolRequest, spec: ToolSpec, facts: CallFacts) -> None:
        """Begin to use a tool. ``facts``: as they are for whoever wants it used, now."""
        tool = self._tools[spec.name]
        match tool.implementation:
            case HttpImplementation():
                self._spawn(self._guarded(request, self._http.call(tool, request.arguments, facts)))
            case ClientImplementation():
                self._ask("client_tool_invocation", tool, request, facts)
            case DataConnectionImplementation():
                text = f"{spec.name} is not available: the call has no data connection."
                self._returned(request, ToolOutcome(text, failed=True, error_details=text))
            case BuiltIn():
                self._spawn(self._guarded(request, self._built_in(tool, request, facts)))

    def result(self, message: ToolResult) -> None:
        """A result came from the client. Whether anybody waits for it is the core's to say."""
        name, timer = self._awaited.pop(message.invocation_id, ("", None))
        if timer is not None:
            timer.cancel()
        outcome = outcome_of(message, name)
        self._report(ev.ToolReturned(self._now(), message.invocation_id, outcome))

    def close(self) -> None:
        """The call is over: nobody waits any more."""
        for _, timer in self._awaited.values():
            timer.cancel()
        self._awaited.clear()

    def _ask(self, kind: InvocationKind, tool: CallTool, request: ToolRequest, facts: CallFacts) -> None:
        if not self._outlet.reaches(kind):
            text = f"{tool.spec.name} is not available: the client has turned tool invocations off."
            self._returned(request, ToolOutcome(text, failed=True, error_details=text))
            return
        prepared = arguments.client_parameters(tool, request.arguments, facts)
        if isinstance(prepared, ToolOutcome):
            self._returned(request, prepared)
            return
        spec = tool.spec
        expire = asyncio.get_running_loop().call_later(spec.timeout_s, self._expire, request, spec)
        self._awaited[request.invocation] = (spec.name, expire)
        self._outlet.ask(kind, spec.name, request.invocation, prepared)

    def _expire(self, request: ToolRequest, spec: ToolSpec) -> None:
        self._awaited.pop(request.invocation, None)
        self._returned(request, outcomes.timed_out(spec.name, spec.timeout_s))

    async def _built_in(self, tool: CallTool, request: ToolRequest, facts: CallFacts) -> ToolOutcome:
        done = built_in.carry_out(tool, request.arguments, facts)
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
        self._returned(request, outcome)

    def _returned(self, request: ToolRequest, outcome: ToolOutcome) -> None:
        self._report(ev.ToolReturned(self._now(), request.invocation, outcome))
