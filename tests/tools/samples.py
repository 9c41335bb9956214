"""Tools to try things on."""

from __future__ import annotations

from typing import Any

from antiphon.tools.definition import CallFacts, CallTool, Definition, DynamicParameter, HttpImplementation, Location
from antiphon.tools.selection import DurableTool, select
from antiphon.wire.tool_definitions import to_definition, to_selected
from antiphon.wire.tools import SelectedTool, ToolDefinition

FACTS = CallFacts(
    call_id="call-1",
    stage_id="stage-2",
    call_state={"step": 3},
    conversation_history=({"role": "MESSAGE_ROLE_USER", "text": "hello"},),
    output_sample_rate=24_000,
    metadata={"team": "north"},
    thread_id="UI",
    thread_states={"research": {"state": "GENERATING"}},
)


def nothing(tool_id: str | None, tool_name: str | None) -> DurableTool | None:
    """Nobody has tools of their own."""
    return None


def chosen(*selected: dict[str, Any], find: Any = nothing) -> tuple[CallTool, ...]:
    """The tools that a request's ``selectedTools`` come to."""
    return select([to_selected(SelectedTool.model_validate(item)) for item in selected], find)


def temporary(definition: dict[str, Any], **selection: Any) -> CallTool:
    """One temporary tool, as JSON has it."""
    return chosen({"temporaryTool": {"modelToolName": "lookup", **definition}, **selection})[0]


def defined(definition: dict[str, Any]) -> Definition:
    """A definition, as JSON has it."""
    return to_definition(ToolDefinition.model_validate({"modelToolName": "lookup", **definition}))


def dynamic(name: str, schema: dict[str, Any] | None = None, location: str = "BODY", required: bool = False) -> Any:
    """A dynamic parameter, as JSON has it."""
    shape = {"type": "string"} if schema is None else schema
    return {"name": name, "schema": shape, "location": f"PARAMETER_LOCATION_{location}", "required": required}


def http(url: str, method: str = "POST") -> dict[str, Any]:
    """An HTTP implementation, as JSON has it."""
    return {"baseUrlPattern": url, "httpMethod": method}


def plain_http_tool(url: str, location: Location, *names: str) -> Definition:
    """A tool whose parameters are all in one place and take anything."""
    parameters = tuple(DynamicParameter(name, location, {}) for name in names)
    return Definition("lookup", "", HttpImplementation(url, "POST"), dynamic=parameters)
