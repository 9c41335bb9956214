"""What a tool asks for a new stage with."""

from __future__ import annotations

import json

import pytest

from antiphon.errors import InvalidRequest
from antiphon.wire.stage_request import parse_stage_request

BEFORE = {
    "systemPrompt": "You greet.",
    "temperature": 0.5,
    "voice": "Mark",
    "voiceOverrides": {"generic": {"url": "https://example.com", "body": {"speed": 1.1}}},
    "languageHint": "en",
    "initialMessages": [{"role": "MESSAGE_ROLE_USER", "text": "Hello."}],
    "selectedTools": [{"toolName": "hangUp"}],
    "medium": {"serverWebSocket": {"inputSampleRate": 16000}},
    "maxDuration": "60s",
}


def test_what_is_not_named_is_taken_over_but_for_the_messages() -> None:
    stage = parse_stage_request('{"systemPrompt": "You sell.", "temperature": null}', BEFORE)
    request = stage.request
    assert (request.system_prompt, request.temperature, request.voice, request.language_hint) == (
        "You sell.",
        0.5,
        "Mark",
        "en",
    )
    assert request.voice_overrides is not None
    assert [tool.tool_name for tool in request.selected_tools] == ["hangUp"]
    assert request.initial_messages == ()
    assert (stage.result, set(stage.given), stage.ignored) == ("OK", {"systemPrompt"}, ())


def test_another_voice_brings_its_own_overrides() -> None:
    request = parse_stage_request('{"voice": "Jessica"}', BEFORE).request
    assert (request.voice, request.voice_overrides) == ("Jessica", None)


def test_names_may_be_in_snake_case_and_the_result_be_worded() -> None:
    stage = parse_stage_request('{"system_prompt": "You sell.", "toolResultText": "(New stage)"}', BEFORE)
    assert (stage.request.system_prompt, stage.result) == ("You sell.", "(New stage)")


def test_what_belongs_to_the_call_is_not_changed_but_named() -> None:
    stage = parse_stage_request(
        '{"model": "x", "maxDuration": "1s", "experimentalSettings": {}, "x": 1, "temperature": 0}', BEFORE
    )
    assert stage.ignored == ("experimentalSettings", "maxDuration", "model", "x")
    assert stage.request.max_duration == 60.0
    assert stage.given == {"temperature"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"temperature": 3}, "temperature"),
        ({"systemPrompt": 5}, "systemPrompt"),
        ({"languageHint": "not a language at all"}, "languageHint"),
        ({"initialMessages": [{"role": "x"}]}, "initialMessages.0.role"),
        ({"selectedTools": [{}]}, "selectedTools.0"),
        ({"initialState": []}, "initialState"),
        ({"toolResultText": {}}, "toolResultText"),
        ([], ""),
    ],
)
def test_a_wrong_property_is_named(body: object, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_stage_request(json.dumps(body), BEFORE)
    if path:
        assert caught.value.fields[0].path == path


def test_no_json_at_all() -> None:
    with pytest.raises(InvalidRequest):
        parse_stage_request("{", BEFORE)
