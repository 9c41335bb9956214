"""Which tools a call has: the request's, with durable ones looked up, and what REST shows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from antiphon.session.parts import CallTools
from antiphon.store.records import CallRecord, CallToolRecord, Json, ToolRecord, new_id
from antiphon.store.repositories import Repositories
from antiphon.tools.definition import CallTool
from antiphon.tools.http import HttpCaller
from antiphon.tools.selection import DurableTool, select
from antiphon.wire.call_request import CallRequest
from antiphon.wire.tool_definitions import call_tool_json, to_definition, to_selected
from antiphon.wire.tools import ToolDefinition


class ToolResolver:
    """Finds the tools of calls, from their creation until they are served or given up."""

    def __init__(
        self,
        repositories: Repositories,
        http: HttpCaller,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._repositories = repositories
        self._http = http
        self._spawn = spawn
        self._waiting: dict[str, tuple[CallTool, ...]] = {}

    async def durable(self, request: CallRequest) -> Json:
        """The durable tools among those that ``request`` selects, as a call's record keeps them."""
        kept: Json = {}
        for place, item in enumerate(request.selected_tools):
            if item.temporary_tool is None and (found := await self._find(item.tool_id, item.tool_name)) is not None:
                kept[str(place)] = {"toolId": found.tool_id, "definition": found.definition}
        return kept

    async def select(self, request: CallRequest, durable: Json | None = None) -> tuple[CallTool, ...]:
        """The tools that ``request`` asks for; ``durable`` ones are looked up where they are not given.

        Raises:
            InvalidRequest: a tool is wrong; it is named.

        """
        selected = [to_selected(item) for item in request.selected_tools]
        if not selected:
            return ()
        kept = await self.durable(request) if durable is None else durable
        found = {
            (item.tool_id, item.tool_name): _durable(kept[str(place)])
            for place, item in enumerate(selected)
            if str(place) in kept
        }
        # Checking large schemas takes up to a second, in which live calls go on.
        return await asyncio.to_thread(select, selected, lambda tool_id, name: found.get((tool_id, name)))

    def keep(self, call_id: str, tools: tuple[CallTool, ...]) -> None:
        """Hold the tools of a call that waits for its join: durable ones stay as they were at its creation."""
        if tools:
            self._waiting[call_id] = tools

    def forget(self, call_id: str) -> None:
        """Nobody joined it."""
        self._waiting.pop(call_id, None)

    async def recall(self, call: CallRecord, request: CallRequest) -> None:
        """Hold the tools of a call that another process created."""
        if call.call_id not in self._waiting:
            self.keep(call.call_id, await self.select(request, call.durable_tools or {}))

    def take(self, call: CallRecord, metadata: dict[str, str]) -> CallTools:
        """The tools of a call that is served now."""
        tools = self._waiting.pop(call.call_id, ())
        return CallTools(tools, self._http, self._spawn, call.current_stage_id or "", metadata)

    async def _find(self, tool_id: str | None, name: str | None) -> ToolRecord | None:
        if tool_id is not None:
            return await self._repositories.tools.get(tool_id)
        return None if name is None else await self._repositories.tools.by_name(name)


def _durable(kept: Json) -> DurableTool:
    return DurableTool(kept["toolId"], to_definition(ToolDefinition.model_validate(kept["definition"])))


def tool_records(call_id: str, stage_id: str, tools: tuple[CallTool, ...]) -> list[CallToolRecord]:
    """What the store keeps of a call's tools; no secrets."""
    return [
        CallToolRecord(new_id(), call_id, stage_id, tool.tool_id, tool.spec.name, call_tool_json(tool), index)
        for index, tool in enumerate(tools)
    ]
