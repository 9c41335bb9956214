"""A real call that changes its stage, and what REST shows of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from antiphon.client.caller import Caller
from antiphon.client.rest import Api
from tests.api.test_tool_calls import eventually, joined, said, tone
from tests.conftest import SCRIPTED, RealServer, running_server

CHANGE = {
    "temporaryTool": {
        "modelToolName": "changeStage",
        "description": "Hands the caller over.",
        "client": {},
    }
}
HANG_UP = {"toolName": "hangUp"}


def config() -> str:
    replies = json.dumps(["One moment. [[tool changeStage]]", "I am the manager.", "As I said. [[tool changeStage]]"])
    lines = [line for line in SCRIPTED.splitlines() if not line.startswith("models.")]
    models = f'models.scripted = {{ engine = "scripted", replies = {replies} }}'
    deep = 'voices.Deep = { engine = "scripted", character_ms = 40 }'
    return "\n".join([*lines, models, deep])


@asynccontextmanager
async def call(folder: Path, **body: Any) -> AsyncIterator[tuple[RealServer, Caller, str]]:
    async with (
        running_server(folder, config()) as server,
        joined(server, systemPrompt="You greet.", selectedTools=[CHANGE, HANG_UP], **body) as (caller, call_id),
    ):
        await caller.say(tone())
        yield server, caller, call_id


async def answer(caller: Caller, result: object, **more: object) -> None:
    asked = await caller.until_message(lambda m: m.type == "client_tool_invocation", timeout_s=20)
    await caller.send(
        {
            "type": "client_tool_result",
            "invocationId": asked.body["invocationId"],
            "result": json.dumps(result),
            "responseType": "new-stage",
            **more,
        }
    )


async def test_a_call_changes_its_stage(tmp_path: Path) -> None:
    async with call(tmp_path, temperature=0.3, initialState={"orders": 0}, recordingEnabled=True) as (
        server,
        caller,
        call_id,
    ):
        body = {
            "systemPrompt": "You are the manager.",
            "voice": "Deep",
            "selectedTools": [HANG_UP],
            "toolResultText": "(New stage)",
            "model": "another",
        }
        await answer(caller, body, updateCallState={"orders": 1})
        await caller.until_message(said("I am the manager."), timeout_s=20)
        async with Api(server.url, server.key) as api:
            messages = await eventually(lambda: api.messages(call_id), lambda found: len(found) == 5)
            in_call = (await api.get(f"/api/calls/{call_id}/messages?mode=in_call"))["results"]
            stages = (await api.get(f"/api/calls/{call_id}/stages"))["results"]
            first, second = stages
            of_first = (await api.get(f"/api/calls/{call_id}/stages/{first['callStageId']}/messages"))["results"]
            tools = await api.get(f"/api/calls/{call_id}/tools")
            tools_after = await api.get(f"/api/calls/{call_id}/stages/{second['callStageId']}/tools")
            shown = await api.get(f"/api/calls/{call_id}")
            (listed,) = (await api.get("/api/calls"))["results"]
            tools_before = await api.get(f"/api/calls/{call_id}/stages/{first['callStageId']}/tools")
            events = (await api.get(f"/api/calls/{call_id}/events"))["results"]

    texts = ["Hello, can you hear me?", "One moment.", "{}", "(New stage)"]
    assert [message["text"] for message in messages] == [*texts, "I am the manager."]
    assert {message["callStageId"] for message in messages} == {second["callStageId"]}
    assert [message["callStageMessageIndex"] for message in messages] == [0, 1, 2, 3, 4]
    assert [message["text"] for message in of_first] == texts
    assert [message["text"] for message in in_call] == [*texts, "I am the manager."]
    assert [message["callStageId"] for message in in_call] == [first["callStageId"]] * 4 + [second["callStageId"]]
    assert (first["systemPrompt"], first["voice"], first["initialState"]) == ("You greet.", "Mark", {"orders": 0})
    assert (second["systemPrompt"], second["voice"], second["initialState"], second["temperature"]) == (
        "You are the manager.",
        "Deep",
        {"orders": 1},
        0.3,
    )
    assert [tool["name"] for tool in tools] == ["changeStage", "hangUp"]
    assert tools == tools_before
    assert [tool["name"] for tool in tools_after] == ["hangUp"]
    assert shown == listed
    assert (shown["systemPrompt"], shown["voice"], shown["temperature"]) == ("You are the manager.", "Deep", 0.3)
    assert shown["initialState"] == {"orders": 0}
    assert [tool["name"] for tool in tools_before] == ["changeStage", "hangUp"]
    begun = next(event for event in events if event["type"] == "stage_begun")
    ignored = next(event for event in events if event["type"] == "stage_property_ignored")
    assert "model" in ignored["text"]
    assert begun["extras"]["stageId"] == second["callStageId"]
    spoken = [m for m in caller.received if m.body.get("final") and m.body.get("role") == "agent"]
    assert [m.body["ordinal"] for m in spoken] == [1, 4]


async def test_a_call_and_what_goes_on_from_it_have_the_last_stage_whole(tmp_path: Path) -> None:
    look = {"temporaryTool": {"modelToolName": "look", "description": "Looks.", "client": {}}}
    first = {"voice": "Deep", "voiceOverrides": {"generic": {"body": {"x": 1}}}, "temperature": 0.3}
    async with call(tmp_path, initialState={"orders": 0}, languageHint="en", **first) as (server, caller, call_id):
        external = {"generic": {"url": "http://voice.example/speak", "body": {"text": "{text}"}}}
        asked = {"systemPrompt": "Second.", "externalVoice": external, "selectedTools": [look], "languageHint": "de"}
        asked |= {"initialState": {"orders": 7}, "experimentalSettings": {"backchannels": False}}
        await answer(caller, asked, updateCallState={"orders": 1}, agentReaction="listens")
        async with Api(server.url, server.key) as api:

            async def stages() -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = (await api.get(f"/api/calls/{call_id}/stages"))["results"]
                return found

            (_, second) = await eventually(stages, lambda found: len(found) == 2)
            shown = await api.get(f"/api/calls/{call_id}")
            voices = {voice["name"]: voice["voiceId"] for voice in (await api.get("/api/voices"))["results"]}
            with_deep = (await api.get(f"/api/calls?voiceId={voices['Deep']}"))["results"]
            events = (await api.get(f"/api/calls/{call_id}/events?type=stage_property_ignored"))["results"]
            headers = {"X-API-Key": server.key}
            async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as client:
                next_call = (await client.post("/api/calls", params={"priorCallId": call_id}, json={})).json()
            next_tools = await api.get(f"/api/calls/{next_call['callId']}/tools")
    for stage in (shown, second, next_call):
        assert (stage["systemPrompt"], stage["voice"], stage["temperature"]) == ("Second.", None, 0.3)
        assert (stage["languageHint"], stage["externalVoice"]) == ("de", shown["externalVoice"])
        assert "voiceOverrides" not in stage
        assert stage["experimentalSettings"] is None
    assert shown["externalVoice"]["generic"]["url"] == external["generic"]["url"]
    assert with_deep == []
    assert "experimentalSettings" in events[0]["text"]
    assert (shown["initialState"], next_call["initialState"]) == ({"orders": 0}, {"orders": 7})
    assert [tool["name"] for tool in next_tools] == ["look"]


async def test_a_stage_that_cannot_be_made_is_a_failed_tool(tmp_path: Path) -> None:
    async with call(tmp_path) as (server, caller, call_id):
        await answer(caller, {"voice": "Nobody", "systemPrompt": "You are the manager."})
        await caller.until_message(said("I am the manager."), timeout_s=20)
        async with Api(server.url, server.key) as api:
            messages = await eventually(lambda: api.messages(call_id), lambda found: len(found) == 5)
            stages = (await api.get(f"/api/calls/{call_id}/stages"))["results"]
    assert len(stages) == 1
    assert messages[3]["errorDetails"].startswith("voice: there is no voice 'Nobody'")
    assert len(messages[3]["text"]) < 100


async def test_a_stage_may_begin_with_messages_of_its_own_and_be_followed_by_a_third(tmp_path: Path) -> None:
    async with call(tmp_path) as (server, caller, call_id):
        fresh = [
            {"role": "MESSAGE_ROLE_USER", "text": "I want a donut."},
            {"role": "MESSAGE_ROLE_AGENT", "text": "Which?"},
            {"role": "MESSAGE_ROLE_USER", "text": "All."},
        ]
        await answer(caller, {"initialMessages": fresh})
        await caller.until_message(said("I am the manager."), timeout_s=20)
        await caller.until_message(lambda m: m.body.get("state") == "listening", timeout_s=20)
        caller.received.clear()
        await caller.say(tone())
        await answer(caller, {"systemPrompt": "Third."}, agentReaction="listens")
        async with Api(server.url, server.key) as api:
            stages = await eventually(
                lambda: api.get(f"/api/calls/{call_id}/stages"), lambda found: len(found["results"]) == 3
            )
            messages = await eventually(lambda: api.messages(call_id), lambda found: len(found) == 8)
    assert [stage["systemPrompt"] for stage in stages["results"]] == ["You greet.", "You greet.", "Third."]
    assert [message["text"] for message in messages] == [
        *(message["text"] for message in fresh),
        "I am the manager.",
        "Hello, can you hear me?",
        "As I said.",
        "{}",
        "OK",
    ]
