from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from antiphon.call.messages import Modality
from antiphon.call.settings import EndBehavior, FirstSpeaker, Greeting
from antiphon.errors import InvalidRequest
from antiphon.wire import call_settings
from antiphon.wire.call_json import call_properties, stage_properties
from antiphon.wire.call_request import CallRequest, parse_call_request
from antiphon.wire.fields import WireModel
from antiphon.wire.medium import CallMedium, WebRtcMedium
from antiphon.wire.outgoing import WEBSOCKET_DEFAULTS


def websocket(**fields: Any) -> dict[str, Any]:
    return {"medium": {"serverWebSocket": {"inputSampleRate": 48000, **fields}}}


def tool(**fields: Any) -> dict[str, Any]:
    definition = {"modelToolName": "look", "http": {"baseUrlPattern": "https://a.example/x", "httpMethod": "GET"}}
    return {"selectedTools": [{"temporaryTool": {**definition, **fields}}]}


def test_the_minimal_body_gets_the_apis_defaults() -> None:
    request = parse_call_request({"systemPrompt": "Be brief.", **websocket()})
    medium = request.medium.server_web_socket
    assert medium is not None
    assert (medium.input_sample_rate, medium.output_rate, medium.client_buffer_size_ms) == (48000, 48000, 60)
    assert medium.media_idle_s is None
    assert (request.join_timeout, request.max_duration, request.temperature) == (30.0, 3600.0, 0.0)
    assert request.vad.turn_endpoint_delay == 0.384
    assert request.modality is Modality.VOICE
    assert request.to_json() == {"systemPrompt": "Be brief.", **websocket()}
    assert call_properties(request.to_json()) == {
        "firstSpeaker": "FIRST_SPEAKER_AGENT",
        "firstSpeakerSettings": {"agent": {}},
        "inactivityMessages": [],
        "initialOutputMedium": "MESSAGE_MEDIUM_VOICE",
        "joinTimeout": "30s",
        "languageHint": None,
        "maxDuration": "3600s",
        **websocket(),
        "model": "ultravox-v0.7",
        "recordingEnabled": False,
        "retentionPolicy": None,
        "systemPrompt": "Be brief.",
        "temperature": 0.0,
        "timeExceededMessage": None,
        "voice": None,
        "transcriptOptional": True,
        "vadSettings": None,
        "experimentalSettings": None,
        "metadata": {},
        "initialState": {},
    }


@pytest.mark.parametrize("body", [{}, {"medium": None}, {"medium": {}}, {"medium": {"webRtc": None}}])
def test_no_medium_means_webrtc(body: dict[str, Any]) -> None:
    request = parse_call_request(body)
    assert request.medium == CallMedium(web_rtc=WebRtcMedium())
    assert call_properties(request.to_json())["medium"] == {"webRtc": {}}


def test_null_means_absent_for_every_field() -> None:
    nothing = {field.alias: None for field in CallRequest.model_fields.values()}
    assert parse_call_request(nothing) == parse_call_request({})


SECRET = "a secret of 24 characters"

GOOD: list[tuple[dict[str, Any], str, Any]] = [
    (websocket(inputSampleRate="48000"), "medium.serverWebSocket.inputSampleRate", 48000),
    (websocket(inputSampleRate=16000.0), "medium.serverWebSocket.inputSampleRate", 16000),
    (websocket(outputSampleRate=8000), "medium.serverWebSocket.outputSampleRate", 8000),
    (websocket(clientBufferSizeMs=0), "medium.serverWebSocket.clientBufferSizeMs", 0),
    (websocket(mediaIdleTimeout="30.000s"), "medium.serverWebSocket.mediaIdleTimeout", "30s"),
    (websocket(dataMessages={"debug": True}), "medium.serverWebSocket.dataMessages.debug", True),
    ({"medium": {"twilio": {"outgoing": {"to": "+1", "from": "+2"}}}}, "medium.twilio.outgoing.from", "+2"),
    ({"medium": {"sip": {"incoming": {}}}}, "medium.sip.incoming", {}),
    ({"maxDuration": "180.000000s"}, "maxDuration", "180s"),
    ({"temperature": "0.5"}, "temperature", 0.5),
    ({"temperature": 1}, "temperature", 1.0),
    ({"languageHint": "pt-BR"}, "languageHint", "pt-BR"),
    ({"languageHint": "zh-Hant"}, "languageHint", "zh-Hant"),
    ({"languageHint": "xx"}, "languageHint", "xx"),
    ({"languageHint": "x-private"}, "languageHint", "x-private"),
    ({"languageHint": "de-CH-1996-x-abc"}, "languageHint", "de-CH-1996-x-abc"),
    ({"metadata": {"source": "web"}}, "metadata.source", "web"),
    ({"initialState": {"deep": [None, {"a": 1}]}}, "initialState.deep", [None, {"a": 1}]),
    (
        {"firstSpeakerSettings": {"user": {"fallback": {"delay": "5s"}}}},
        "firstSpeakerSettings.user.fallback.delay",
        "5s",
    ),
    ({"system_prompt": "a"}, "systemPrompt", "a"),
    (tool(timeout="5s"), "selectedTools.0.temporaryTool.timeout", "5s"),
    (
        {"selectedTools": [{"toolName": "a", "parameterOverrides": {"x": None}}]},
        "selectedTools.0.parameterOverrides.x",
        None,
    ),
    ({"callbacks": {"ended": {"url": "https://a.example/"}}}, "callbacks.ended.url", "https://a.example/"),
    ({"dataConnection": {"websocketUrl": "wss://a.example"}}, "dataConnection.websocketUrl", "wss://a.example"),
    ({"sharedSecrets": ["x" * 16, "x" * 127]}, "sharedSecrets.1", "x" * 127),
    ({"externalVoice": {"generic": {"url": "http://a.example"}}}, "externalVoice.generic.url", "http://a.example"),
    ({"voice": "Mark", "voiceOverrides": {"elevenLabs": {"speed": 1.1}}}, "voiceOverrides.elevenLabs.speed", 1.1),
    ({"initialMessages": [{"role": "MESSAGE_ROLE_USER", "text": "hi"}]}, "initialMessages.0.text", "hi"),
    ({"inactivityMessages": [{"duration": "30s", "message": "?"}]}, "inactivityMessages.0.message", "?"),
]


@pytest.mark.parametrize(("body", "path", "value"), GOOD, ids=[path for _, path, _ in GOOD])
def test_good_fields_are_taken_and_kept_in_their_shortest_form(body: dict[str, Any], path: str, value: Any) -> None:
    found: Any = parse_call_request(body).to_json()
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    assert found == value


RATE = "medium.serverWebSocket.inputSampleRate"
BAD: list[tuple[Any, str]] = [
    ({"medium": {"serverWebSocket": {}}}, RATE),
    (websocket(inputSampleRate=None), RATE),
    (websocket(inputSampleRate=7999), RATE),
    (websocket(inputSampleRate=48001), RATE),
    (websocket(inputSampleRate="48001"), RATE),
    (websocket(inputSampleRate="48k"), RATE),
    (websocket(inputSampleRate=""), RATE),
    (websocket(inputSampleRate=True), RATE),
    (websocket(inputSampleRate=16000.5), RATE),
    (websocket(inputSampleRate=[16000]), RATE),
    (websocket(outputSampleRate=96000), "medium.serverWebSocket.outputSampleRate"),
    (websocket(clientBufferSizeMs=-1), "medium.serverWebSocket.clientBufferSizeMs"),
    (websocket(clientBufferSizeMs=10**9), "medium.serverWebSocket.clientBufferSizeMs"),
    (websocket(mediaIdleTimeout="-1s"), "medium.serverWebSocket.mediaIdleTimeout"),
    (websocket(mediaIdleTimeout="soon"), "medium.serverWebSocket.mediaIdleTimeout"),
    (websocket(dataMessages={"debug": "yes"}), "medium.serverWebSocket.dataMessages.debug"),
    (websocket(dataMessages={"dbug": True}), "medium.serverWebSocket.dataMessages.dbug"),
    (websocket(colour="red"), "medium.serverWebSocket.colour"),
    ({"medium": {"webRtc": {}, "serverWebSocket": {"inputSampleRate": 8000}}}, "medium"),
    ({"medium": {"sip": {}}}, "medium.sip"),
    ({"medium": {"twilio": {"outgoing": {"to": "+1"}}}}, "medium.twilio.outgoing.from"),
    ({"medium": "webRtc"}, "medium"),
    ({"systemPromt": "a"}, "systemPromt"),
    ({"systemPrompt": 5}, "systemPrompt"),
    ({"temperature": 1.01}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": "warm"}, "temperature"),
    ({"recordingEnabled": "true"}, "recordingEnabled"),
    ({"recordingEnabled": 1}, "recordingEnabled"),
    ({"maxDuration": "0s"}, "maxDuration"),
    ({"maxDuration": "-5s"}, "maxDuration"),
    ({"maxDuration": 60}, "maxDuration"),
    ({"joinTimeout": "0s"}, "joinTimeout"),
    ({"joinTimeout": "thirty"}, "joinTimeout"),
    ({"joinTimeout": "999999999999s"}, "joinTimeout"),
    ({"maxDuration": "999999999999s"}, "maxDuration"),
    ({"vadSettings": {"turnEndpointDelay": "86401s"}}, "vadSettings.turnEndpointDelay"),
    ({"inactivityMessages": [{"duration": "86401s", "message": "?"}]}, "inactivityMessages.0.duration"),
    (websocket(mediaIdleTimeout="86401s"), "medium.serverWebSocket.mediaIdleTimeout"),
    ({"firstSpeakerSettings": {"agent": {"delay": "86401s"}}}, "firstSpeakerSettings.agent.delay"),
    ({"languageHint": "not a language"}, "languageHint"),
    ({"languageHint": "pt_BR"}, "languageHint"),
    ({"languageHint": "de-CH-1996-x-long"}, "languageHint"),
    ({"languageHint": "translate"}, "languageHint"),
    ({"languageHint": 5}, "languageHint"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"metadata": {"a": None}}, "metadata.a"),
    ({"metadata": {"ultravox.a": "1"}}, "metadata"),
    ({"metadata": []}, "metadata"),
    ({"vadSettings": {"frameActivationThreshold": 0.05}}, "vadSettings.frameActivationThreshold"),
    ({"vadSettings": {"turnEndpointDelay": "-0.1s"}}, "vadSettings.turnEndpointDelay"),
    ({"firstSpeaker": "FIRST_SPEAKER_DOG"}, "firstSpeaker"),
    ({"firstSpeaker": "FIRST_SPEAKER_USER", "firstSpeakerSettings": {"agent": {}}}, "firstSpeaker"),
    ({"firstSpeakerSettings": {"agent": {}, "user": {}}}, "firstSpeakerSettings"),
    ({"joinTimeout": "5s", "join_timeout": "6s"}, "joinTimeout"),
    ({"vadSettings": {"turn_endpoint_delay": "1s", "turnEndpointDelay": "1s"}}, "vadSettings.turnEndpointDelay"),
    ({"firstSpeakerSettings": {"agent": {"text": "Hi.", "prompt": "Greet."}}}, "firstSpeakerSettings.agent"),
    (
        {"firstSpeakerSettings": {"user": {"fallback": {"text": "Hi.", "prompt": "Greet."}}}},
        "firstSpeakerSettings.user.fallback",
    ),
    ({"voice": "Mark", "externalVoice": {"lmnt": {}}}, "externalVoice"),
    ({"externalVoice": {}}, "externalVoice"),
    ({"externalVoice": {"lmnt": {}, "google": {}}}, "externalVoice"),
    ({"externalVoice": {"generic": {"url": "file:///etc/passwd"}}}, "externalVoice.generic.url"),
    ({"voiceOverrides": {"lmnt": {}}}, "voiceOverrides"),
    ({"initialMessages": [{"text": "hi"}]}, "initialMessages.0.role"),
    ({"initialMessages": [{"role": "user", "text": "hi"}]}, "initialMessages.0.role"),
    ({"initialMessages": {}}, "initialMessages"),
    ({"inactivityMessages": [{"message": "?"}]}, "inactivityMessages.0.duration"),
    ({"inactivityMessages": [None]}, "inactivityMessages.0"),
    ({"selectedTools": [{}]}, "selectedTools.0"),
    ({"selectedTools": [{"toolName": "a", "toolId": "b"}]}, "selectedTools.0"),
    ({"selectedTools": [{"toolName": "a"}, {"toolName": "b", "nameOverride": "a"}]}, "selectedTools"),
    ({"selectedTools": [{"toolName": "a", "nameOverride": "a b"}]}, "selectedTools.0.nameOverride"),
    (tool(modelToolName="x\n"), "selectedTools.0.temporaryTool.modelToolName"),
    (tool(client={}), "selectedTools.0.temporaryTool"),
    (tool(timeout="41s"), "selectedTools.0.temporaryTool.timeout"),
    (
        tool(dynamicParameters=[{"name": "a", "schema": "string"}]),
        "selectedTools.0.temporaryTool.dynamicParameters.0.schema",
    ),
    ({"callbacks": {"ended": {"url": "ftp://a"}}}, "callbacks.ended.url"),
    ({"dataConnection": {"websocketUrl": "https://a.example"}}, "dataConnection.websocketUrl"),
    ({"dataConnection": {"websocketUrl": "wss://a", "headers": {"X": "a\r\nb"}}}, "dataConnection.headers.X"),
    ({"dataConnection": {"websocketUrl": "wss://a:99999"}}, "dataConnection.websocketUrl"),
    ({"dataConnection": {"websocketUrl": "wss://a/#x"}}, "dataConnection.websocketUrl"),
    ({"dataConnection": {"websocketUrl": "wss://:443/"}}, "dataConnection.websocketUrl"),
    ({"dataConnection": {"websocketUrl": "wss://me@a.example"}}, "dataConnection.websocketUrl"),
    ({"dataConnection": {"websocketUrl": "wss://a", "headers": {"host": "b"}}}, "dataConnection.headers.host"),
    ({"sharedSecrets": "abc"}, "sharedSecrets"),
    ({"sharedSecrets": ["x" * 15]}, "sharedSecrets.0"),
    ({"sharedSecrets": ["x" * 128]}, "sharedSecrets.0"),
    ({"sharedSecrets": [SECRET] * 51}, "sharedSecrets"),
]


@pytest.mark.parametrize(("body", "path"), BAD, ids=[f"{path}-{index}" for index, (_, path) in enumerate(BAD)])
def test_bad_fields_are_named_by_their_path(body: Any, path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_call_request(body)
    assert [field.path for field in caught.value.fields] == [path]
    assert caught.value.detail.startswith(f"{path}: ")


def test_several_wrong_fields_are_all_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_call_request({"temperature": 2, "maxDuration": "x", "colour": 1})
    assert {field.path for field in caught.value.fields} == {"temperature", "maxDuration", "colour"}
    assert caught.value.detail.endswith("(and 2 more)")


def kinds_of(model: type[WireModel]) -> Iterator[type[WireModel]]:
    yield model
    for kind in model.__subclasses__():
        yield from kinds_of(kind)


def duration_fields() -> Iterator[tuple[str, TypeAdapter[Any]]]:
    """Every field of the contract that takes a duration."""
    for kind in sorted(kinds_of(WireModel), key=lambda kind: kind.__name__):
        for name, field in kind.model_fields.items():
            annotation: Any = Annotated[field.annotation, name, *field.metadata]
            taken: TypeAdapter[Any] = TypeAdapter(annotation)
            try:
                if taken.validate_python("5s") == 5.0:
                    yield f"{kind.__name__}.{name}", taken
            except ValidationError:
                continue


def test_every_duration_of_the_contract_has_a_bound() -> None:
    found = dict(duration_fields())
    assert {"CallRequest.join_timeout", "VadSettings.turn_endpoint_delay", "ToolDefinition.timeout"} <= set(found)
    assert len(found) >= 12
    for taken in found.values():
        with pytest.raises(ValidationError, match=r"expected a duration of at most [0-9]+s"):
            taken.validate_python("999999999999s")


def test_bounds_of_durations_are_those_of_the_documentation() -> None:
    day = parse_call_request({"joinTimeout": "3600s", "maxDuration": "86400s"})
    assert (day.join_timeout, day.max_duration) == (3600, 86_400)
    for field, longest in (("joinTimeout", "3600s"), ("maxDuration", "86400s")):
        with pytest.raises(InvalidRequest) as caught:
            parse_call_request({field: "86400.000000001s" if field == "maxDuration" else "3600.1s"})
        assert caught.value.detail == f"{field}: expected a duration of at most {longest}"


@pytest.mark.parametrize("body", [[], "x", None, 5, {"initialState": {"a": float("nan")}}, {"systemPrompt": "\ud800"}])
def test_a_body_that_is_no_sound_object_is_refused(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        parse_call_request(body)


def test_short_media_idle_timeouts_count_as_ten_seconds() -> None:
    medium = parse_call_request(websocket(mediaIdleTimeout="2s")).medium.server_web_socket
    assert medium is not None
    assert medium.media_idle_s == 10.0


def test_data_messages_lie_over_the_defaults() -> None:
    medium = parse_call_request(websocket(dataMessages={"debug": True, "state": False})).medium.server_web_socket
    assert medium is not None
    enabled = medium.data_messages.over(WEBSOCKET_DEFAULTS)
    assert (enabled.debug, enabled.transcript, enabled.state) == (True, True, False)


def test_secrets_are_kept_but_not_shown() -> None:
    request = parse_call_request({"sharedSecrets": [SECRET]})
    assert request.to_json()["sharedSecrets"] == [SECRET]
    assert SECRET not in str(call_properties(request.to_json()))
    assert SECRET not in str(stage_properties(request.to_json()))


def test_a_secret_that_is_refused_is_not_shown_either() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_call_request({"sharedSecrets": ["too-short-a-one"]})
    assert "too-short" not in caught.value.detail
    assert "16" in caught.value.detail


def test_the_core_is_given_its_settings() -> None:
    request = parse_call_request(
        {
            "firstSpeakerSettings": {"user": {"fallback": {"delay": "5s", "text": "Anyone there?"}}},
            "inactivityMessages": [{"duration": "8s", "message": "Bye", "endBehavior": "END_BEHAVIOR_HANG_UP_SOFT"}],
            "vadSettings": {"turnEndpointDelay": "0.5s"},
        }
    )
    assert call_settings.first_speaker(request) == FirstSpeaker(False, Greeting("Anyone there?", delay_s=5.0))
    assert call_settings.inactivity(request)[0].end is EndBehavior.HANG_UP_SOFT
    assert call_settings.vad_settings(request).turn_endpoint_delay_s == 0.5
    assert call_settings.first_speaker(parse_call_request({})) == FirstSpeaker(True, Greeting())
    assert call_settings.first_speaker(parse_call_request({"firstSpeaker": "FIRST_SPEAKER_USER"})).greeting is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1s", "-1s", "48000"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(sorted(str(field.alias) for field in CallRequest.model_fields.values()))


@given(st.dictionaries(FIELDS, JSON, max_size=4) | JSON)
def test_whatever_is_sent_nothing_but_invalid_request_comes_out(body: Any) -> None:
    try:
        request = parse_call_request(body)
    except InvalidRequest:
        return
    assert parse_call_request(request.to_json()) == request
