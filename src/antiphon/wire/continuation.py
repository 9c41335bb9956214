"""A call that goes on where an earlier one was: what it takes over from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from antiphon.errors import InvalidRequest
from antiphon.wire.call_request import MAX_INITIAL_MESSAGES, CallRequest

_TOGETHER = (
    frozenset({"voice", "externalVoice", "voiceOverrides"}),
    frozenset({"firstSpeaker", "firstSpeakerSettings"}),
)
"""Fields that say one thing together: who sets one of them takes over none of the others."""

_ADDS_TO_VOICE = "voiceOverrides"

_KEPT = ("role", "text", "invocationId", "toolName", "errorDetails", "medium", "callState", "metadata")
"""Of a message; its place and its time belong to the earlier call."""

_RESULT = "MESSAGE_ROLE_TOOL_RESULT"


def continued(
    body: Any, prior: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], state: Mapping[str, Any] | None = None
) -> Any:
    """``body`` filled up with what it leaves open from the ``prior`` request, and the prior call's ``messages``.

    Args:
        body: the decoded JSON body; what is not an object is returned as it is.
        prior: what ``CallRequest.to_json()`` gave for the earlier call, as its last stage has it.
        messages: the history of that stage, as ``ultravox.v1.Message``.
        state: in which the tools left that call.

    Raises:
        InvalidRequest: the body has ``initialMessages``, too.

    """
    if not isinstance(body, Mapping):
        return body
    names = {name: field.alias or name for name, field in CallRequest.model_fields.items()}
    given = {names.get(key, key): value for key, value in body.items() if value is not None}
    if "initialMessages" in given:
        raise InvalidRequest.of("initialMessages", "excludes priorCallId, whose call brings its own messages")
    taken = set(given)
    for together in _TOGETHER:
        # New overrides alone still go with the voice that is taken over.
        if (given.keys() & together) - {_ADDS_TO_VOICE}:
            taken |= together
    inherited = {name: value for name, value in prior.items() if name not in taken}
    if _ADDS_TO_VOICE in given:
        inherited.pop("externalVoice", None)
    if state is not None:
        inherited["initialState"] = state
    return {**inherited, **given, "initialMessages": _initial(messages)}


def _initial(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The newest of them, as many as a call may begin with, and no result whose call was left behind."""
    latest = list(messages[-MAX_INITIAL_MESSAGES:])
    while len(latest) < len(messages) and latest and latest[0]["role"] == _RESULT:
        del latest[0]
    return [{name: message[name] for name in _KEPT if name in message} for message in latest]
