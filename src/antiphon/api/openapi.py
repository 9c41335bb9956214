"""What the routes cannot tell FastAPI by their signatures: the bodies they read themselves."""

from __future__ import annotations

from typing import Any

from antiphon.wire.call_request import CallRequest
from antiphon.wire.tool_request import ToolRequest, ToolTrial

_DEFINITIONS = "#/components/schemas/"


def _body(schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


START_CALL_BODY = _body({"$ref": f"{_DEFINITIONS}CallRequest"}, required=False)
TOOL_BODY = _body({"$ref": f"{_DEFINITIONS}ToolRequest"}, required=True)
TOOL_TRIAL_BODY = _body({"$ref": f"{_DEFINITIONS}ToolTrial"}, required=False)
JSON_BODY = _body(
    {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": ["forced_agent_message", "hang_up", "user_text_message"]}},
    },
    required=True,
)


def add_schemas(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with the schemas that the bodies above refer to."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (CallRequest, ToolRequest, ToolTrial):
        schema = model.model_json_schema(by_alias=True, ref_template=_DEFINITIONS + "{model}", mode="validation")
        definitions = schema.pop("$defs", {})
        schemas.update({**definitions, model.__name__: schema})
    return document
