"""Which tools a call has: the request's, with durable ones looked up, and what REST shows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from antiphon.session.parts import CallTools
from antiphon.store.records import CallRecord, CallToolRecord, ToolRecord, new_id
from antiphon.store.repositories import Repositories
from antiphon.tools.definition import CallTool
from antiphon.tools.http import HttpCaller
from antiphon.tools.selection import DurableTool, select
from antiphon.wire.call_request import CallRequest
from antiphon.wire.tool_definitions import call_tool_json, to_definition, to_selected
from antiphon.wire.tools import ToolDefinition


class Toolbox:
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

    async def select(self, request: CallRequest) -> tuple[CallTool, ...]:
        """The tools that ``request`` asks for. Raises :class:`InvalidRequest` naming what is wrong."""
        selected = [to_selected(item) for item in request.selected_tools]
        durable: dict[tuple[str | None, str | None], DurableTool] = {}
        for item in selected:
            if item.temporary is None and (found := await self._durable(item.tool_id, item.tool_name)) is not None:
                durable[item.tool_id, item.tool_name] = found
        if not selected:
            return ()
        # Checking large schemas takes up to a second, in which live calls go on.
        return await asyncio.to_thread(select, selected, lambda tool_id, name: durable.get((tool_id, name)))

    def keep(self, call_id: str, tools: tuple[CallTool, ...]) -> None:
        """Hold the tools of a call that waits for its join: durable ones stay as they were at its creation."""
        if tools:
            self._waiting[call_id] = tools

    def forget(self, call_id: str) -> None:
        """Nobody joined it."""
        self._waiting.pop(call_id, None)

    def take(self, call: CallRecord, metadata: dict[str, str]) -> CallTools:
        """The tools of a call that is served now."""
        tools = self._waiting.pop(call.call_id, ())
        return CallTools(tools, self._http, self._spawn, call.current_stage_id or "", metadata)

    async def _durable(self, tool_id: str | None, name: str | None) -> DurableTool | None:
        record: ToolRecord | None = None
        if tool_id is not None:
            record = await self._repositories.tools.get(tool_id)
        elif name is not None:
            record = await self._repositories.tools.by_name(name)
        if record is None:
            return None
        return DurableTool(record.tool_id, to_definition(ToolDefinition.model_validate(record.definition)))


def tool_records(call_id: str, stage_id: str, tools: tuple[CallTool, ...]) -> list[CallToolRecord]:
    """What the store keeps of a call's tools; no secrets."""
    return [
        CallToolRecord(new_id(), call_id, stage_id, tool.tool_id, tool.spec.name, call_tool_json(tool), index)
        for index, tool in enumerate(tools)
    ]
