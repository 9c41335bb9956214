"""Calls that go on where an earlier one was."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from antiphon.store.records import MessageRecord, MessageRole
from tests.api.test_calls import BODY, create
from tests.api.test_tools import LOOK_UP, call_with_tool
from tests.support.server_fixtures import House


async def go_on(client: httpx.AsyncClient, prior: str, **fields: Any) -> httpx.Response:
    return await client.post("/api/calls", params={"priorCallId": prior}, json=fields)


async def test_a_call_goes_on_with_all_that_was_said(house: House) -> None:
    prior, _ = await call_with_tool(house, str(uuid4()))
    response = await go_on(house.client, prior)
    assert response.status_code == 201, response.text
    before = (await house.client.get(f"/api/calls/{prior}/messages")).json()["results"]
    after = (await house.client.get(f"/api/calls/{response.json()['callId']}/messages")).json()["results"]
    kept = ("role", "text", "invocationId", "toolName", "errorDetails")
    assert [[message.get(name) for name in kept] for message in after] == [
        [message.get(name) for name in kept] for message in before
    ]
    assert [message["callStageMessageIndex"] for message in after] == list(range(6))
    third = await go_on(house.client, response.json()["callId"])
    again = (await house.client.get(f"/api/calls/{third.json()['callId']}/messages")).json()["results"]
    assert [message["text"] for message in again] == [message["text"] for message in before]


async def test_what_the_body_leaves_open_is_taken_over(client: httpx.AsyncClient) -> None:
    prior = await create(
        client,
        temperature=0.5,
        voice="Anna",
        voiceOverrides={"lmnt": {"speed": 1.5}},
        firstSpeaker="FIRST_SPEAKER_USER",
        metadata={"source": "test"},
        maxDuration="60s",
    )
    own = {"callId", "created", "joinUrl"}
    same = (await go_on(client, prior["callId"])).json()
    assert {key for key in prior if prior[key] != same[key]} == own
    other = await go_on(
        client,
        prior["callId"],
        systemPrompt="Be long.",
        voice="Mark",
        metadata={"source": "other"},
        temperature=None,
        max_duration="10s",
        firstSpeakerSettings={"agent": {"text": "Welcome back."}},
    )
    changed = other.json()
    assert {key for key in prior if prior[key] != changed.get(key)} == own | {
        "systemPrompt",
        "voice",
        "voiceOverrides",
        "metadata",
        "maxDuration",
        "firstSpeaker",
        "firstSpeakerSettings",
    }
    assert "voiceOverrides" not in changed
    assert changed["maxDuration"] == "10s"
    only_overrides = await go_on(client, prior["callId"], voiceOverrides={"lmnt": {"speed": 1.4}})
    assert (only_overrides.status_code, only_overrides.json()["voice"]) == (201, "Anna")


async def test_the_state_goes_on_as_the_tools_left_it(house: House) -> None:
    fresh = await create(house.client, initialState={"step": 1})
    assert (await go_on(house.client, fresh["callId"])).json()["initialState"] == {"step": 1}
    stage_id = (await house.store.stages.of_call(fresh["callId"]))[0].stage_id
    results = [
        MessageRecord(
            *(fresh["callId"], stage_id, place, MessageRole.TOOL_RESULT, "Done.", None, place, None, None, f"i{place}"),
            tool_name="t",
            call_state=state,
        )
        for place, state in enumerate([{"step": 2}, {"step": 3}, None])
    ]
    await house.store.messages.append(results)
    messages = (await house.client.get(f"/api/calls/{fresh['callId']}/messages")).json()["results"]
    assert [message.get("callState") for message in messages] == [{"step": 2}, {"step": 3}, None]
    same = (await go_on(house.client, fresh["callId"])).json()
    assert same["initialState"] == {"step": 3}
    kept = (await house.client.get(f"/api/calls/{same['callId']}/messages")).json()["results"]
    assert [message.get("callState") for message in kept] == [{"step": 2}, {"step": 3}, None]
    for own in ({"step": 9}, {}):
        assert (await go_on(house.client, fresh["callId"], initialState=own)).json()["initialState"] == own


async def test_initial_messages_are_kept_whole(client: httpx.AsyncClient) -> None:
    given: list[dict[str, Any]] = [
        {"role": "MESSAGE_ROLE_USER", "text": "Hello", "medium": "MESSAGE_MEDIUM_TEXT", "metadata": {"a": 1}},
        {"role": "MESSAGE_ROLE_AGENT", "text": "Hi", "medium": "MESSAGE_MEDIUM_VOICE"},
        {"role": "MESSAGE_ROLE_TOOL_CALL", "text": "{}", "invocationId": "i", "toolName": "t"},
        {
            **{"role": "MESSAGE_ROLE_TOOL_RESULT", "text": "No.", "invocationId": "i", "toolName": "t"},
            **{"errorDetails": "500", "callState": {"x": 1}},
        },
        {"role": "MESSAGE_ROLE_USER"},
    ]
    call = await create(client, initialMessages=given)
    shown = (await client.get(f"/api/calls/{call['callId']}/messages")).json()["results"]
    assert shown == [
        {"text": "", **message, "callStageMessageIndex": place, "callStageId": shown[0]["callStageId"]}
        for place, message in enumerate(given)
    ]
    again = (await go_on(client, call["callId"])).json()
    kept = (await client.get(f"/api/calls/{again['callId']}/messages")).json()["results"]
    for message in (*shown, *kept):
        del message["callStageId"]
    assert kept == shown


@pytest.mark.parametrize("name", ["initialMessages", "initial_messages"])
async def test_messages_of_its_own_are_refused(client: httpx.AsyncClient, name: str) -> None:
    prior = await create(client)
    response = await go_on(client, prior["callId"], **{name: []})
    assert response.status_code == 400
    assert response.json()["errors"][0]["path"] == "initialMessages"
    assert (await go_on(client, prior["callId"], **{name: None})).status_code == 201


@pytest.mark.parametrize("prior", [str(uuid4()), "yesterday", ""])
async def test_an_unknown_call_is_named(client: httpx.AsyncClient, prior: str) -> None:
    response = await go_on(client, prior, **BODY)
    assert response.status_code == 400
    assert response.json()["errors"][0]["path"] == "priorCallId"


@pytest.mark.parametrize("content", [b"[]", b"null", b'"x"', b"{"])
async def test_a_body_that_is_no_object_is_a_400(client: httpx.AsyncClient, content: bytes) -> None:
    prior = await create(client)
    path = f"/api/calls?priorCallId={prior['callId']}"
    assert (await client.post(path, content=content)).status_code == 400
    assert (await client.post(path, content=b"")).status_code == 201


async def test_of_a_very_long_call_the_newest_messages_are_taken_over(house: House) -> None:
    prior = (await create(house.client))["callId"]
    stage_id = (await house.store.stages.of_call(prior))[0].stage_id
    result = MessageRecord(prior, stage_id, 50, MessageRole.TOOL_RESULT, "r", None, 50, None, None, "i", "t")
    said = [MessageRecord(prior, stage_id, place, MessageRole.USER, f"{place}", ordinal=place) for place in range(2050)]
    await house.store.messages.append([*said, result])
    response = await go_on(house.client, prior)
    stored = await house.store.calls.get(response.json()["callId"])
    assert stored is not None
    texts = [message["text"] for message in stored.request["initialMessages"]]
    assert (texts[0], texts[-1], len(texts)) == ("51", "2049", 1999)


async def test_the_tools_go_on_too(house: House) -> None:
    made = (await house.client.post("/api/tools", json=LOOK_UP)).json()
    temporary = {"modelToolName": "ring", "description": "Rings.", "client": {}}
    selected = [
        {"toolId": made["toolId"], "authTokens": {"k": "secret"}},
        {"temporaryTool": temporary},
        {"toolName": "hangUp", "nameOverride": "bye"},
    ]
    prior = await create(house.client, selectedTools=selected)
    same = await go_on(house.client, prior["callId"])
    other = await go_on(house.client, prior["callId"], selectedTools=[])
    assert (same.status_code, other.status_code) == (201, 201)
    tools = (await house.client.get(f"/api/calls/{same.json()['callId']}/tools")).json()
    assert [tool["name"] for tool in tools] == ["look_up", "ring", "bye"]
    assert "secret" not in str(tools)
    assert (await house.client.get(f"/api/calls/{other.json()['callId']}/tools")).json() == []
    history = (await house.client.get(f"/api/tools/{made['toolId']}/history")).json()
    assert [use["call"]["callId"] for use in history["results"]] == [same.json()["callId"], prior["callId"]]
