"""What a tool asks for a new stage with → the settings of that stage, whole.

Source of what a stage may change: the public documentation of call stages. What belongs to the call for all its
life (``model``, ``medium``, ``firstSpeaker``, time limits, ``inactivityMessages``, ``experimentalSettings``, recording)
is not changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.errors import InvalidRequest
from antiphon.wire import json_text
from antiphon.wire.call_request import CallRequest, parse_call_request

DEFAULT_RESULT = "OK"
"""What the model sees as the tool's result, where the stage names no ``toolResultText``."""

_VOICE = ("voice", "externalVoice", "voiceOverrides")
_CHANGEABLE = frozenset(
    {"systemPrompt", "temperature", "languageHint", "initialMessages", "selectedTools", "initialState"} | {*_VOICE}
)
_NAMES = {name: field.alias or name for name, field in CallRequest.model_fields.items()}


@dataclass(frozen=True, slots=True)
class StageRequest:
    """A new stage. ``request``: everything that now holds, as if the call had been created so.

    ``given``: the names of what was changed; ``ignored``: of what was asked for and cannot be changed.
    """

    request: CallRequest
    result: str
    given: frozenset[str]
    ignored: tuple[str, ...]


def parse_stage_request(text: str, before: Mapping[str, Any]) -> StageRequest:
    """The stage that ``text`` (a JSON object) asks for.

    Args:
        text: the tool's answer; ``null`` and absence both mean that a property stays as it is.
        before: what ``CallRequest.to_json()`` gave for the stage that ends.

    Raises:
        InvalidRequest: it is no JSON object, or a property of it is wrong; each is named.

    """
    try:
        body = json_text.decode(text)
    except json_text.BadJson as error:
        raise InvalidRequest(str(error)) from None
    if not isinstance(body, Mapping):
        raise InvalidRequest(f"expected a JSON object, got {json_text.kind(body)}")
    asked: dict[str, Any] = {str(_NAMES.get(name, name)): value for name, value in body.items() if value is not None}
    result = asked.pop("toolResultText", asked.pop("tool_result_text", DEFAULT_RESULT))
    if not isinstance(result, str):
        raise InvalidRequest.of("toolResultText", f"expected a string, got {json_text.kind(result)}")
    changes = {name: value for name, value in asked.items() if name in _CHANGEABLE}
    whole = {name: value for name, value in before.items() if name != "initialMessages"}
    if "voice" in changes or "externalVoice" in changes:
        whole = {name: value for name, value in whole.items() if name not in _VOICE}
    ignored = tuple(sorted(name for name in asked if name not in _CHANGEABLE))
    return StageRequest(parse_call_request({**whole, **changes}), result, frozenset(changes), ignored)
