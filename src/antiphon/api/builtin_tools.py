"""The tools that every server has, as ``/api/tools`` lists them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from antiphon.call.prompt import ToolSpec
from antiphon.store.records import Json, ToolRecord
from antiphon.tools.built_in import BUILT_IN
from antiphon.tools.definition import CallTool, Definition
from antiphon.wire.tool_definitions import call_tool_json

_NEWEST = datetime(2026, 1, 1, tzinfo=UTC)


def _definition_json(definition: Definition) -> Json:
    """BaseToolDefinition without an implementation: the server itself is that."""
    spec = ToolSpec(
        definition.name,
        definition.description,
        {},
        definition.precomputable,
        definition.static_response,
        definition.reaction,
        definition.timeout_s,
    )
    tool = CallTool(spec, definition.implementation, definition.dynamic, definition.static, definition.automatic)
    shown = {"modelToolName": definition.name, **call_tool_json(tool)}
    if definition.required_overrides:
        shown["requirements"] = {"requiredParameterOverrides": list(definition.required_overrides)}
    return shown


def _records() -> tuple[ToolRecord, ...]:
    """All of them, dated so that "newest first" is "by name"."""
    return tuple(
        ToolRecord(
            tool.tool_id, name, _NEWEST - timedelta(seconds=place), _definition_json(tool.definition), public=True
        )
        for place, (name, tool) in enumerate(sorted(BUILT_IN.items()))
    )


BUILTIN_TOOLS = _records()
BUILTIN_TOOLS_BY_ID = {tool.tool_id: tool for tool in BUILTIN_TOOLS}
