"""The stored request of a call → those properties of the REST ``Call`` and ``CallStage`` that come from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from antiphon.wire.call_request import DEFAULT_MODEL

_RETENTION = {
    "CALL_RETENTION_POLICY_RETAIN": "retain",
    "CALL_RETENTION_POLICY_AUTO_DELETE": "auto_delete",
}

_OPTIONAL = (
    ("externalVoice", "externalVoice"),
    ("voiceOverrides", "voiceOverrides"),
    ("dataConnectionConfig", "dataConnection"),
    ("callbacks", "callbacks"),
)
"""Not nullable in the contract: there or not. Their name in ``Call``, then in the request."""


_OF_A_STAGE = (
    *("systemPrompt", "temperature", "languageHint", "voice", "externalVoice", "voiceOverrides"),
    *("experimentalSettings", "selectedTools"),
)
"""What a stage has of its own and a call shows of its last one."""


def with_last_stage(request: Mapping[str, Any], latest: Mapping[str, Any] | None) -> dict[str, Any]:
    """The ``request`` of a call as if the call had been created as its last stage is.

    ``latest`` are the settings of that stage, ``None`` where it is the first. ``initialState`` stays the call's own.
    """
    if latest is None:
        return dict(request)
    kept = {name: value for name, value in request.items() if name not in _OF_A_STAGE}
    return kept | {name: latest[name] for name in _OF_A_STAGE if name in latest}


def with_voice(settings: dict[str, Any], name: str | None) -> dict[str, Any]:
    """The ``settings`` with the server's voice that speaks in them named; ``None``: the voice is brought along."""
    return settings if name is None else settings | {"voice": name}


def call_properties(request: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``Call``, with the API's defaults.

    ``request`` is what ``CallRequest.to_json()`` gave, as its last stage has it. Secrets that sign requests are not
    among the result.
    """
    first = request.get("firstSpeakerSettings") or {}
    user_first = "user" in first or request.get("firstSpeaker") == "FIRST_SPEAKER_USER"
    result: dict[str, Any] = {
        "firstSpeaker": "FIRST_SPEAKER_USER" if user_first else "FIRST_SPEAKER_AGENT",
        "firstSpeakerSettings": first or ({"user": {}} if user_first else {"agent": {}}),
        "inactivityMessages": request.get("inactivityMessages", []),
        "initialOutputMedium": request.get("initialOutputMedium", "MESSAGE_MEDIUM_VOICE"),
        "joinTimeout": request.get("joinTimeout", "30s"),
        "languageHint": request.get("languageHint") or None,
        "maxDuration": request.get("maxDuration", "3600s"),
        "medium": request.get("medium") or {"webRtc": {}},
        "model": request.get("model") or DEFAULT_MODEL,
        "recordingEnabled": request.get("recordingEnabled", False),
        "retentionPolicy": _RETENTION.get(request.get("retentionPolicy", "")),
        "systemPrompt": request.get("systemPrompt"),
        "temperature": request.get("temperature", 0.0),
        "timeExceededMessage": request.get("timeExceededMessage"),
        "voice": request.get("voice") or None,
        "transcriptOptional": request.get("transcriptOptional", True),
        "vadSettings": request.get("vadSettings"),
        "experimentalSettings": request.get("experimentalSettings"),
        "metadata": request.get("metadata", {}),
        "initialState": request.get("initialState", {}),
    }
    result.update({theirs: request[ours] for theirs, ours in _OPTIONAL if ours in request})
    return result


def stage_properties(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``CallStage``; ``settings`` is a request's JSON, or a stage's own of the same names."""
    result: dict[str, Any] = {
        "inactivityMessages": settings.get("inactivityMessages", []),
        "languageHint": settings.get("languageHint") or None,
        "systemPrompt": settings.get("systemPrompt"),
        "temperature": settings.get("temperature", 0.0),
        "timeExceededMessage": settings.get("timeExceededMessage"),
        "voice": settings.get("voice") or None,
        "experimentalSettings": settings.get("experimentalSettings"),
        "initialState": settings.get("initialState", {}),
    }
    result.update({name: settings[name] for name in ("externalVoice", "voiceOverrides") if name in settings})
    return result
