"""Real answers against the API's own OpenAPI file, where that file is at hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

from antiphon.call.ends import EndReason
from antiphon.call.history import Span
from antiphon.call.messages import Modality, Severity
from antiphon.client.caller import join
from antiphon.client.voice import Voice
from antiphon.store.records import EventRecord, MessageRecord, MessageRole
from tests.api.test_tool_calls import eventually
from tests.api.test_tools import LOOK_UP, call_with_tool
from tests.conftest import RealServer
from tests.support.server_fixtures import House

CONTRACT = Path(__file__).parents[3] / "shared" / "reference" / "openapi.yaml"
pytestmark = pytest.mark.skipif(not CONTRACT.is_file(), reason="the API's OpenAPI file is not at hand")

WHOLE: dict[str, Any] = {
    "systemPrompt": "Be brief.",
    "temperature": 0.5,
    "voice": "Mark",
    "languageHint": "en-US",
    "initialMessages": [{"role": "MESSAGE_ROLE_USER", "text": "Hello", "medium": "MESSAGE_MEDIUM_TEXT"}],
    "joinTimeout": "10s",
    "maxDuration": "60.5s",
    "timeExceededMessage": "Time is up.",
    "inactivityMessages": [{"duration": "30s", "message": "?", "endBehavior": "END_BEHAVIOR_HANG_UP_SOFT"}],
    "selectedTools": [{"toolName": "hangUp"}],
    "medium": {"serverWebSocket": {"inputSampleRate": 48000, "dataMessages": {"debug": True}}},
    "recordingEnabled": True,
    "vadSettings": {"turnEndpointDelay": "0.384s", "frameActivationThreshold": 0.2},
    "firstSpeakerSettings": {"user": {"fallback": {"delay": "5s"}}},
    "experimentalSettings": {"backchannels": False},
    "metadata": {"source": "test"},
    "initialState": {"step": 1},
    "dataConnection": {"websocketUrl": "wss://a.example", "audioConfig": {"sampleRate": 16000}},
    "callbacks": {},
    "voiceOverrides": {"elevenLabs": {"speed": 1.1, "stability": 0.5}},
    "retentionPolicy": "CALL_RETENTION_POLICY_RETAIN",
    "sharedSecrets": ["a secret of 24 characters"],
}

LEAST: dict[str, Any] = {"medium": {"serverWebSocket": {"inputSampleRate": 8000}}}


def as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0 → JSON Schema: ``nullable``, and properties nobody knows are errors."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: as_json_schema(value) for key, value in node.items() if key != "nullable"}
    if isinstance(result.get("properties"), dict) and "additionalProperties" not in result:
        result["additionalProperties"] = False
    return {"anyOf": [result, {"type": "null"}]} if node.get("nullable") else result


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    document: dict[str, Any] = as_json_schema(yaml.load(CONTRACT.read_text(), yaml.CSafeLoader))
    # A call without an agent has none; the file forgets to say that this may be null.
    call = document["components"]["schemas"]["Call"]["properties"]
    call["agent"] = {"anyOf": [call["agent"], {"type": "null"}]}
    return document


def validate(contract: dict[str, Any], name: str, value: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": contract["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize("body", [LEAST, WHOLE])
async def test_calls_have_the_contracts_shape(house: House, contract: dict[str, Any], body: dict[str, Any]) -> None:
    call = await _ended_call(house, body)
    path = f"/api/calls/{call['callId']}"
    validate(contract, "Call", call)
    for name, where in (
        ("Call", path),
        ("PaginatedCallList", "/api/calls"),
        ("PaginatedCallStageList", f"{path}/stages"),
        ("Paginatedultravox.v1.MessageList", f"{path}/messages"),
        ("Paginatedultravox.v1.MessageList", f"{path}/messages?mode=in_call"),
        ("PaginatedCallEventList", f"{path}/events?minimum_severity=debug"),
    ):
        value = (await house.client.get(where)).json()
        validate(contract, name, value)
        assert value.get("results") != [], where


async def _ended_call(house: House, body: dict[str, Any]) -> dict[str, Any]:
    response = await house.client.post("/api/calls", json=body)
    assert response.status_code == 201, response.text
    call: dict[str, Any] = response.json()
    call_id = call["callId"]
    stage = (await house.store.stages.of_call(call_id))[0]
    span = Span(0.25, 1.5)
    said = MessageRecord(call_id, stage.stage_id, 7, MessageRole.USER, "Hi.", Modality.VOICE, 0, span, span)
    await house.store.messages.append([said])
    event = EventRecord(call_id, None, Severity.WARNING, "overflow", "Too much.", 0.5, 0.6, {"seconds": 1})
    await house.store.events.append([event])
    now = datetime.now(UTC)
    await house.store.calls.mark_joined(call_id, now, "test_1")
    await house.store.calls.mark_ended(call_id, EndReason.HANGUP, now)
    return call


async def test_messages_carry_both_timespans(house: House) -> None:
    call = await _ended_call(house, LEAST)
    messages = (await house.client.get(f"/api/calls/{call['callId']}/messages?mode=in_call")).json()["results"]
    assert [
        (message["role"], message["medium"], message["timespan"], message["wallClockTimespan"]) for message in messages
    ] == [
        (
            "MESSAGE_ROLE_USER",
            "MESSAGE_MEDIUM_VOICE",
            {"start": "0.25s", "end": "1.5s"},
            {"start": "0.25s", "end": "1.5s"},
        )
    ]


async def test_models_and_voices_have_the_contracts_shape(client: httpx.AsyncClient, contract: dict[str, Any]) -> None:
    validate(contract, "PaginatedModelAliasList", (await client.get("/api/models")).json())
    voices = (await client.get("/api/voices")).json()
    validate(contract, "PaginatedVoiceList", voices)
    validate(contract, "Voice", (await client.get(f"/api/voices/{voices['results'][0]['voiceId']}")).json())


async def test_tools_have_the_contracts_shape(house: House, contract: dict[str, Any]) -> None:
    made = await house.client.post("/api/tools", json=LOOK_UP)
    validate(contract, "Tool", made.json())
    path = f"/api/tools/{made.json()['toolId']}"
    validate(contract, "Tool", (await house.client.put(path, json=LOOK_UP)).json())
    call_id, stage_id = await call_with_tool(house, made.json()["toolId"])
    call = f"/api/calls/{call_id}"
    for name, where in (
        ("Tool", path),
        ("PaginatedToolList", "/api/tools"),
        ("PaginatedToolHistoryList", f"{path}/history"),
        ("Paginatedultravox.v1.MessageList", f"{call}/messages"),
    ):
        value = (await house.client.get(where)).json()
        validate(contract, name, value)
        assert value.get("results") != [], where
    for where in (f"{call}/tools", f"{call}/stages/{stage_id}/tools"):
        tools = (await house.client.get(where)).json()
        assert len(tools) == 2
        for tool in tools:
            validate(contract, "CallTool", tool)


async def test_the_parameters_are_the_contracts(client: httpx.AsyncClient, contract: dict[str, Any]) -> None:
    ours = (await client.get("/api/schema/?format=json")).json()["paths"]
    for path, item in contract["paths"].items():
        if path not in ours:
            continue
        for method in ours[path].keys() & item.keys():
            theirs = {parameter["name"] for parameter in item[method].get("parameters", [])}
            known = {parameter["name"] for parameter in ours[path][method].get("parameters", [])}
            # "metadata" stands for "metadata.<key>", any number of them; one language is all there is
            assert theirs - known <= {"metadata", "lang"}, (method, path)


SERVED = (
    *("/api/calls", "/api/calls/{call_id}", "/api/calls/{call_id}/events", "/api/calls/{call_id}/messages"),
    *("/api/calls/{call_id}/recording", "/api/calls/{call_id}/send_data_message", "/api/calls/{call_id}/tools"),
    *("/api/calls/{call_id}/stages", "/api/calls/{call_id}/stages/{call_stage_id}"),
    "/api/calls/{call_id}/stages/{call_stage_id}/messages",
    "/api/calls/{call_id}/stages/{call_stage_id}/tools",
    *("/api/models", "/api/schema/", "/api/tools", "/api/tools/{tool_id}", "/api/tools/{tool_id}/history"),
    *("/api/tools/{tool_id}/test", "/api/voices", "/api/voices/{voice_id}", "/api/voices/{voice_id}/preview"),
)


async def test_every_path_and_method_of_a_conversation_is_there(
    client: httpx.AsyncClient, contract: dict[str, Any]
) -> None:
    ours = (await client.get("/api/schema/?format=json")).json()["paths"]
    methods = {"get", "post", "put", "patch", "delete"}
    changing_voices = {
        ("/api/voices", "post"),
        *(("/api/voices/{voice_id}", name) for name in ("put", "patch", "delete")),
    }
    theirs = {(path, method) for path in SERVED for method in contract["paths"][path].keys() & methods}
    assert theirs - {(path, method) for path, item in ours.items() for method in item} == changing_voices


def _body_parameter(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "location": "PARAMETER_LOCATION_BODY", **more}


TOOLS: list[dict[str, Any]] = [
    {
        "temporaryTool": {
            "modelToolName": "ask",
            "description": "Asks the client.",
            "dynamicParameters": [_body_parameter("what", schema={"type": "string"}, required=True)],
            "automaticParameters": [_body_parameter("state", knownValue="KNOWN_PARAM_CALL_STATE")],
            "timeout": "30s",
            "client": {},
        }
    },
    {
        "temporaryTool": {
            **LOOK_UP["definition"],
            "requirements": {
                "httpSecurityOptions": {"options": [{"requirements": {"k": {"queryApiKey": {"name": "key"}}}}]}
            },
        },
        "authTokens": {"k": "secret"},
    },
    {"temporaryTool": {"modelToolName": "ring", "dataConnection": {}, "defaultReaction": "AGENT_REACTION_LISTENS"}},
    {"toolName": "playDtmfSounds", "parameterOverrides": {"digits": "?"}, "nameOverride": "press"},
]


async def test_a_whole_call_has_the_contracts_shape(real_server: RealServer, contract: dict[str, Any]) -> None:
    async with httpx.AsyncClient(
        base_url=real_server.url, headers={"X-API-Key": real_server.key}, trust_env=False
    ) as client:
        call = await _eventful_call(client)
        path = f"/api/calls/{call['callId']}"

        async def checked(name: str, where: str) -> Any:
            response = await client.get(where)
            assert response.status_code == 200, where
            validate(contract, name, response.json())
            return response.json()

        ended = await checked("Call", path)
        assert ended["endReason"] == "agent_hangup"
        stages = (await checked("PaginatedCallStageList", f"{path}/stages"))["results"]
        assert [stage["initialState"] for stage in stages] == [{"n": 0}, {"n": 1}]
        roles: set[str] = set()
        for stage in stages:
            where = f"{path}/stages/{stage['callStageId']}"
            assert await checked("CallStage", where) == stage
            messages = (await checked("Paginatedultravox.v1.MessageList", f"{where}/messages"))["results"]
            assert [message["callStageMessageIndex"] for message in messages] == list(range(len(messages)))
            roles |= {message["role"] for message in messages}
            tools = (await client.get(f"{where}/tools")).json()
            for tool in tools:
                validate(contract, "CallTool", tool)
            assert "secret" not in str(tools)
        assert len(roles) == 4
        for query in ("", "?mode=in_call", "?mode=last_stage&pageSize=2"):
            await checked("Paginatedultravox.v1.MessageList", f"{path}/messages{query}")
        for query in ("", "?minimum_severity=debug", "?type=stage_begun", "?pageSize=1"):
            assert (await checked("PaginatedCallEventList", f"{path}/events{query}"))["results"], query
        in_call = (await client.get(f"{path}/messages?mode=in_call")).json()["results"]
        results = {message["invocationId"]: message for message in in_call if message["role"].endswith("TOOL_RESULT")}
        assert results["asked"]["callState"] == {"n": 1}
        assert "not a key" in results["pressed"]["errorDetails"]
        assert "no data connection" in results["rung"]["errorDetails"]
        assert all(len(message["text"]) < 200 for message in results.values())


async def _eventful_call(client: httpx.AsyncClient) -> dict[str, Any]:
    """A call that uses every kind of tool, begins a second stage and ends itself."""
    body = {**WHOLE, "selectedTools": TOOLS, "initialState": {"n": 0}, "firstSpeakerSettings": {"user": {}}}
    del body["dataConnection"]
    response = await client.post("/api/calls", json=body)
    assert response.status_code == 201, response.text
    call: dict[str, Any] = response.json()
    path = f"/api/calls/{call['callId']}/send_data_message"
    async with join(call["joinUrl"], Voice(48_000), input_rate=48_000, output_rate=48_000) as caller:
        await caller.until_message(lambda message: message.type == "call_started", timeout_s=20)
        wanted = [
            {"id": "asked", "name": "ask", "arguments": {"what": "x"}},
            {"id": "pressed", "name": "press", "arguments": {}},
            {"id": "rung", "name": "ring", "arguments": {}},
        ]
        forced = {"type": "forced_agent_message", "content": "One moment.", "toolCalls": wanted}
        assert (await client.post(path, json=forced)).status_code == 204
        await caller.until_message(lambda message: message.type == "client_tool_invocation", timeout_s=20)
        stage = {"systemPrompt": "Next.", "voiceOverrides": {"lmnt": {"speed": 2}}, "toolResultText": "On we go."}
        answer = {"type": "client_tool_result", "invocationId": "asked", "responseType": "new-stage"}
        await caller.send({**answer, "result": json.dumps(stage), "updateCallState": {"n": 1}})
        await caller.until_message(lambda message: message.body.get("final") is True, timeout_s=20)
        hello = {"type": "user_text_message", "text": "Hello?"}
        assert (await client.post(path, json=hello)).status_code == 204
        assert (await client.post(path, json={"type": "hang_up", "message": "Bye."})).status_code == 204
        await caller.until_closed(timeout_s=20)

    async def look() -> dict[str, Any]:
        shown: dict[str, Any] = (await client.get(f"/api/calls/{call['callId']}")).json()
        return shown

    return await eventually(look, lambda shown: bool(shown["ended"]))
