"""The bodies of ``/api/tools``: a durable tool, and what to try one with."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import Field

from antiphon.wire.call_request import parse_body
from antiphon.wire.fields import JsonObject, NonEmptyText, StringMap, WireModel
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


class ToolTrial(WireModel):
    """What a tool is tried with: the parameters that a model would fill in, and what a call would bring along."""

    parameters: JsonObject = Field(default_factory=dict)
    parameter_overrides: JsonObject = Field(default_factory=dict)
    auth_tokens: StringMap = Field(default_factory=dict)
    call_state: JsonObject = Field(default_factory=dict)
    metadata: StringMap = Field(default_factory=dict)


def parse_tool_trial(body: Any, own: Collection[str]) -> ToolTrial:
    """What is in a decoded JSON body: a trial, or the parameters by themselves. ``own``: the tool's parameters.

    The API does not say how parameters are sent; a body in which nothing but a trial's fields stands is one, unless
    the tool has a parameter of that name. Raises ``InvalidRequest`` naming each wrong field, nothing else.
    """
    known = {key for name, field in ToolTrial.model_fields.items() for key in (name, str(field.alias))} - set(own)
    if isinstance(body, dict) and not body.keys() <= known:
        body = {"parameters": body}
    return parse_body(ToolTrial, body)
