"""The tools that every server has: their definitions, and what using one comes to.

Parameters, defaults and names: the Ultravox documentation ("Built-in Tools"). Those that this server cannot carry out
(transfers, for which there is no telephone line; corpora, while there are none) no call can select.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from antiphon.call.prompt import Reaction
from antiphon.call.tools.outcomes import ResponseType, ToolOutcome
from antiphon.tools import schema, tones
from antiphon.tools.arguments import prepare
from antiphon.tools.definition import (
    MAX_TIMEOUT_S,
    BuiltIn,
    CallFacts,
    CallTool,
    Definition,
    DynamicParameter,
    Location,
)
from antiphon.tools.definition import StaticParameter as Static
from antiphon.tools.outcomes import failed
from antiphon.tools.tones import Samples

_BODY = Location.BODY
_DURATION = {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,2})(\.[0-9]{1,9})?s$"}
_TEXT = {"type": "string"}

_FIXED_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "strict": {"type": "boolean"},
    "result": _TEXT,
    "message": _TEXT,
    "toneDuration": _DURATION,
    "spaceDuration": _DURATION,
}


@dataclass(frozen=True, slots=True)
class BuiltInTool:
    """One built-in tool. ``tool_id`` is the same on every server."""

    tool_id: str
    definition: Definition


@dataclass(frozen=True, slots=True)
class BuiltInResult:
    """``sound``: what the caller is to hear, mono at the call's output rate."""

    outcome: ToolOutcome
    sound: Samples | None = None


def _dynamic(name: str, description: str, required: bool = False, **more: Any) -> DynamicParameter:
    return DynamicParameter(name, _BODY, {"type": "string", "description": description, **more}, required)


def _static(**values: Any) -> tuple[Static, ...]:
    return tuple(Static(name.rstrip("_"), _BODY, value) for name, value in values.items())


def _tool(name: str, description: str, **more: Any) -> Definition:
    return Definition(name, description, BuiltIn(name), **more)


_DEFINITIONS = (
    _tool(
        "hangUp",
        "Ends the call. Use it once the conversation has come to its end and you have said goodbye.",
        dynamic=(_dynamic("reason", "A brief reason for hanging up."),),
        static=_static(strict=True, message=""),
    ),
    _tool(
        "leaveVoicemail",
        "Leaves a message on the answering machine that took the call, and ends the call.",
        dynamic=(_dynamic("message", "The voicemail message to leave.", True),),
        static=_static(strict=True, result="[Leaving voicemail...]"),
    ),
    _tool(
        "playDtmfSounds",
        "Plays the tones of telephone keys, for example to choose from a phone menu.",
        dynamic=(_dynamic("digits", "The keys to press. May include 0-9, *, #, or A-D.", True),),
        static=_static(toneDuration="0.2s", spaceDuration="0.1s"),
        reaction=Reaction.LISTENS,
        timeout_s=MAX_TIMEOUT_S,  # what it plays, it plays to the end
    ),
)

_IDS = uuid5(NAMESPACE_URL, "https://antiphon.invalid/tools")

OTHER_IDS = {"56294126-5a7d-4948-b67d-3b7e13d55ea7": "hangUp"}
"""Ids that the public documentation names."""

BUILT_IN: Mapping[str, BuiltInTool] = {
    definition.name: BuiltInTool(str(uuid5(_IDS, definition.name)), definition) for definition in _DEFINITIONS
}
"""By name."""

_TRANSFER = "transfers need a call over a telephone line, and this server has none yet"
_MISSING = {
    "queryCorpus": "there are no corpora on this server yet",
    "coldTransfer": _TRANSFER,
    "warmTransfer": _TRANSFER,
}
"""Built-in tools of the API that this server cannot carry out, and why."""

_MISSING_IDS = {str(uuid5(_IDS, name)): name for name in _MISSING}
"""Earlier versions listed them, with these ids."""


def find_built_in(tool_id: str | None, tool_name: str | None) -> BuiltInTool | None:
    """The built-in tool of an id, or, where that is ``None``, of a name."""
    if tool_id is None:
        return BUILT_IN.get(tool_name or "")
    by_id = {tool.tool_id: tool for tool in BUILT_IN.values()}
    return by_id.get(tool_id.lower()) or BUILT_IN.get(OTHER_IDS.get(tool_id.lower(), ""))


def missing(tool_id: str | None, tool_name: str | None) -> str | None:
    """Return why a built-in tool of the API is not to be had here; ``None`` for any other id or name."""
    name = tool_name if tool_id is None else _MISSING_IDS.get(tool_id.lower())
    return _MISSING.get(name or "")


def spelled_as_defined(definition: Definition, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``corpusId`` and ``corpus_id`` both name the same parameter: the documentation writes either."""
    names = {_bare(parameter.name): parameter.name for parameter in definition.parameters}
    return {names.get(_bare(name), name): value for name, value in overrides.items()}


def problem_of_override(definition: Definition, name: str, value: Any) -> str | None:
    """What is wrong with the value that a built-in tool's parameter is set to."""
    schemas = {parameter.name: parameter.schema for parameter in definition.dynamic}
    return schema.problem(value, schemas.get(name) or _FIXED_SCHEMAS.get(name, {}))


def carry_out(tool: CallTool, arguments: Mapping[str, Any], facts: CallFacts) -> BuiltInResult:
    """What using a built-in tool comes to. Never raises."""
    prepared = prepare(tool, arguments, facts)
    if isinstance(prepared, ToolOutcome):
        return BuiltInResult(prepared)
    assert isinstance(tool.implementation, BuiltIn)
    match tool.implementation.name:
        case "hangUp":
            return BuiltInResult(_hang_up("[Hanging up...]", prepared.body))
        case "leaveVoicemail":
            return BuiltInResult(_hang_up(prepared.body["result"], prepared.body))
        case "playDtmfSounds":
            return _dtmf(tool.spec.name, prepared.body, facts.output_sample_rate)
        case name:
            raise AssertionError(name)


def _hang_up(text: str, values: Mapping[str, Any]) -> ToolOutcome:
    return ToolOutcome(
        text, response_type=ResponseType.HANG_UP, closing_message=values["message"], strict=values["strict"]
    )


def _dtmf(name: str, values: Mapping[str, Any], sample_rate: int) -> BuiltInResult:
    tone_s, space_s = float(values["toneDuration"][:-1]), float(values["spaceDuration"][:-1])
    try:
        sound = tones.dial(values["digits"], sample_rate, tone_s, space_s)
    except ValueError as error:
        return BuiltInResult(failed(f'The tool "{name}" was not used: {error}.'))
    return BuiltInResult(ToolOutcome("[Tones played]"), sound)


def _bare(name: str) -> str:
    return re.sub(r"_", "", name).lower()
