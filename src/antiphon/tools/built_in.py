"""The tools that every server has: their definitions, and what using one comes to.

Parameters, defaults and names: the Ultravox documentation ("Built-in Tools"). What a call over WebSocket cannot do
(transfers, for which there is no telephone line; corpora, while there are none) fails with a text that says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from antiphon.call.prompt import Reaction
from antiphon.call.tools import ResponseType, ToolOutcome
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
_TEXT_OR_NOTHING = {"type": ["string", "null"]}
_HEADERS = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}

_FIXED_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "strict": {"type": "boolean"},
    "result": _TEXT,
    "message": _TEXT,
    "toneDuration": _DURATION,
    "spaceDuration": _DURATION,
    "minimum_score": {"type": "number"},
    "sipVerb": {"enum": ["REFER", "INVITE"]},
    "transferType": {"enum": ["REFER", "BRIDGE", "TRY_REFER"]},
    **dict.fromkeys(("extraHeaders", "inviteHeaders", "referHeaders"), _HEADERS),
    **dict.fromkeys(("from", "username", "password", "holdMusicUrl", "transferSystemPromptTemplate"), _TEXT_OR_NOTHING),
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


_TARGET = _dynamic("target", "Who the call is transferred to: a SIP URI, or a phone number in E.164 format.", True)

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
    _tool(
        "queryCorpus",
        "Looks up relevant passages in a knowledge base.",
        dynamic=(
            _dynamic("corpus_id", "The corpus to search.", True),
            _dynamic("query", "What to search for.", True),
            _dynamic("max_results", "How many passages to get.", type="integer", minimum=1, maximum=20, default=5),
        ),
        static=_static(minimum_score=0),
        required_overrides=("corpus_id",),
        precomputable=True,
    ),
    _tool(
        "coldTransfer",
        "Transfers the call to a human operator.",
        dynamic=(_TARGET,),
        static=_static(extraHeaders=None, holdMusicUrl=None, sipVerb="REFER", from_=None, username=None, password=None),
        required_overrides=("target",),
    ),
    _tool(
        "warmTransfer",
        "Calls a human operator, tells them what the call is about, and transfers the call to them if they accept.",
        dynamic=(_TARGET, _dynamic("context", "What the operator should know about the call so far.")),
        static=_static(
            from_=None,
            username=None,
            password=None,
            inviteHeaders=None,
            holdMusicUrl=None,
            transferSystemPromptTemplate=None,
            transferType="TRY_REFER",
            referHeaders=None,
        ),
        required_overrides=("target",),
    ),
)

_IDS = uuid5(NAMESPACE_URL, "https://antiphon.invalid/tools")

OTHER_IDS = {"56294126-5a7d-4948-b67d-3b7e13d55ea7": "hangUp"}
"""Ids that the public documentation names."""

BUILT_IN: Mapping[str, BuiltInTool] = {
    definition.name: BuiltInTool(str(uuid5(_IDS, definition.name)), definition) for definition in _DEFINITIONS
}
"""By name."""


def find_built_in(tool_id: str | None, tool_name: str | None) -> BuiltInTool | None:
    """The built-in tool of an id, or, where that is ``None``, of a name."""
    if tool_id is None:
        return BUILT_IN.get(tool_name or "")
    by_id = {tool.tool_id: tool for tool in BUILT_IN.values()}
    return by_id.get(tool_id.lower()) or BUILT_IN.get(OTHER_IDS.get(tool_id.lower(), ""))


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
        case "queryCorpus":
            return BuiltInResult(
                failed(
                    "There is no knowledge base on this server, so nothing could be looked up.",
                    f"queryCorpus: corpora are not supported yet, corpus {prepared.body['corpus_id']} was not searched",
                )
            )
        case name:
            return BuiltInResult(
                failed(
                    "This call cannot be transferred, because it does not come over a telephone line.",
                    f"{name}: transfers need a call over SIP, and this server has no SIP trunk",
                )
            )


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
