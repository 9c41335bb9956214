"""The body of ``POST`` and ``PUT /api/tools``: a durable tool."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from antiphon.wire.call_request import parse_body
from antiphon.wire.fields import NonEmptyText, WireModel
from antiphon.wire.tools import ToolDefinition

MAX_NAME_LENGTH = 40


class ToolRequest(WireModel):
    """``Tool``. What the server decides is taken and ignored, so that an answer can be sent back changed."""

    name: Annotated[NonEmptyText, Field(max_length=MAX_NAME_LENGTH)]
    definition: ToolDefinition
    tool_id: Any = None
    created: Any = None
    ownership: Any = None


def parse_tool_request(body: Any) -> ToolRequest:
    """The tool in a decoded JSON body. Raises ``InvalidRequest`` naming each wrong field, nothing else."""
    return parse_body(ToolRequest, body)
