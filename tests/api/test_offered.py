"""What the API has and this server does not is refused at the door, and calls that were taken with it can be read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from antiphon.lifecycle.join_tokens import hash_token
from antiphon.store.records import new_id
from antiphon.tools.built_in import BUILT_IN
from tests.api.test_calls import BODY, create
from tests.api.test_continuation import go_on
from tests.api.test_join import refusal
from tests.store.samples import a_call, a_message, a_stage
from tests.support.server_fixtures import House

HOOK = {"url": "https://a.example/hook", "secrets": ["s"]}
DIALLED = {"to": "+1", "from": "+2"}
NOT_SERVED: list[dict[str, Any]] = [
    {"webRtc": {}},
    {"webRtc": {"dataMessages": {"debug": True}}},
    *({name: {}} for name in ("twilio", "telnyx", "plivo", "exotel")),
    *({name: {"outgoing": DIALLED}} for name in ("twilio", "telnyx", "plivo")),
    {"exotel": {"dtmfHandling": {"ignore": True}}},
    {"sip": {}},
    {"twilio": {"outgoing": {"to": "+1"}}},
    {"plivo": {"unknown": 1}, "serverWebSocket": None},
    {"sip": {"incoming": {}}},
    {"sip": {"outgoing": {"to": "sip:a@b", "from": "sip:c@d"}}},
]


async def refused(client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[list[str], str]:
    """The paths that a 400 names, and all of its words."""
    response = await client.post("/api/calls", json=body)
    assert response.status_code == 400, (body, response.text)
    answer = response.json()
    assert (await client.get("/api/calls")).json()["total"] == 0
    return [error["path"] for error in answer["errors"]], response.text


@pytest.mark.parametrize("body", [{}, {"medium": None}, {"medium": {}}, *({"medium": one} for one in NOT_SERVED)])
async def test_a_medium_that_cannot_be_joined_is_a_400_that_names_those_that_can(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    paths, words = await refused(client, body)
    assert paths == ["medium"]
    assert "there is: serverWebSocket" in words
    assert (next(iter(body.get("medium") or {}), "webRtc")) in words


@pytest.mark.parametrize("name", ["joined", "ended", "billed"])
async def test_a_callback_that_would_never_be_made_is_a_400(client: httpx.AsyncClient, name: str) -> None:
    paths, _ = await refused(client, {**BODY, "callbacks": {name: HOOK}})
    assert paths == [f"callbacks.{name}"]


async def test_deletion_that_would_never_happen_is_a_400(client: httpx.AsyncClient) -> None:
    paths, words = await refused(client, {**BODY, "retentionPolicy": "CALL_RETENTION_POLICY_AUTO_DELETE"})
    assert paths == ["retentionPolicy"]
    assert "CALL_RETENTION_POLICY_RETAIN" in words


@pytest.mark.parametrize(
    "fields",
    [
        {"callbacks": None, "retentionPolicy": None, "experimentalSettings": None},
        {"callbacks": {}, "retentionPolicy": "CALL_RETENTION_POLICY_UNSPECIFIED", "experimentalSettings": {}},
        {"callbacks": {"joined": None, "ended": None}, "retentionPolicy": "CALL_RETENTION_POLICY_RETAIN"},
        {"experimentalSettings": {"backchannels": False, "endOfTurn": True}},
        {"experimentalSettings": {"backchannels": None}},
    ],
)
async def test_what_asks_for_nothing_more_is_taken(client: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    await create(client, **fields)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"fasterThanLight": True}, "fasterThanLight"),
        ({"backchannels": False, "x": None}, "x"),
        ({"backchannels": "no"}, "backchannels"),
        ({"endOfTurn": 0}, "endOfTurn"),
    ],
)
async def test_an_experimental_setting_without_effect_is_a_400(
    client: httpx.AsyncClient, settings: dict[str, Any], name: str
) -> None:
    paths, words = await refused(client, {**BODY, "experimentalSettings": settings})
    assert paths == [f"experimentalSettings.{name}"]
    if name not in ("backchannels", "endOfTurn"):
        assert "backchannels, endOfTurn" in words


async def test_all_that_is_not_done_is_named_at_once(client: httpx.AsyncClient) -> None:
    body = {"callbacks": {"ended": HOOK}, "experimentalSettings": {f"x{number}": 1 for number in range(500)}}
    paths, words = await refused(client, body)
    assert paths[:3] == ["medium", "callbacks.ended", "experimentalSettings.x0"]
    assert len(words) < 5_000


@pytest.mark.parametrize("name", ["queryCorpus", "coldTransfer", "warmTransfer"])
async def test_a_built_in_tool_that_could_only_fail_is_a_400(client: httpx.AsyncClient, name: str) -> None:
    paths, words = await refused(client, {**BODY, "selectedTools": [{"toolName": "hangUp"}, {"toolName": name}]})
    assert paths == ["selectedTools.1.toolName"]
    assert "yet" in words
    listed = [tool["name"] for tool in (await client.get("/api/tools")).json()["results"]]
    assert listed == sorted(BUILT_IN) == ["hangUp", "leaveVoicemail", "playDtmfSounds"]


async def test_a_tool_of_the_users_own_may_have_such_a_name(client: httpx.AsyncClient) -> None:
    own = {"name": "queryCorpus", "definition": {"modelToolName": "queryCorpus", "client": {}}}
    made = (await client.post("/api/tools", json=own)).json()
    await create(client, selectedTools=[{"toolName": "queryCorpus"}])
    await create(client, selectedTools=[{"toolId": made["toolId"]}])


async def test_calls_that_an_earlier_version_took_are_shown_and_go_on_once_mended(house: House) -> None:
    request = {
        "medium": {"webRtc": {}},
        "callbacks": {"ended": HOOK},
        "retentionPolicy": "CALL_RETENTION_POLICY_AUTO_DELETE",
        "experimentalSettings": {"unheardOf": [1]},
        "selectedTools": [{"toolName": "queryCorpus", "parameterOverrides": {"corpus_id": "c"}}],
    }
    call = a_call(request=request)
    stage = a_stage(call, settings=request)
    await house.store.calls.create(call, [stage], [a_message(stage, 0)], [])
    path = f"/api/calls/{call.call_id}"
    shown = (await house.client.get(path)).json()
    assert {name: shown[name] for name in ("medium", "callbacks", "experimentalSettings")} == {
        name: request[name] for name in ("medium", "callbacks", "experimentalSettings")
    }
    for where in ("/api/calls", f"{path}/stages", f"{path}/messages"):
        assert (await house.client.get(where)).json()["total"] == 1, where
    refusing = await go_on(house.client, call.call_id)
    assert refusing.status_code == 400
    assert [error["path"] for error in refusing.json()["errors"]] == [
        *("medium", "callbacks.ended", "retentionPolicy", "experimentalSettings.unheardOf")
    ]
    mended = {"callbacks": {}, "retentionPolicy": "CALL_RETENTION_POLICY_RETAIN", "experimentalSettings": {}}
    response = await go_on(house.client, call.call_id, **BODY, **mended, selectedTools=[])
    assert response.status_code == 201, response.text


async def test_a_join_of_a_call_that_an_earlier_version_took_says_what_is_not_served(served: House) -> None:
    for request, reason in (
        ({"medium": {"webRtc": {}}}, "medium: this server has no webRtc"),
        ({**BODY, "selectedTools": [{"toolName": "coldTransfer"}]}, "selectedTools.0.toolName: the tool cannot be had"),
        ({**BODY, "maxDuration": "for ever"}, "maxDuration: "),
    ):
        call_id = new_id()
        token = served.manager.join_tokens.token(call_id)
        call = a_call(call_id=call_id, request=request, created=datetime.now(UTC), join_token_hash=hash_token(token))
        await served.store.calls.create(call, [a_stage(call)], [], [])
        base = str(served.client.base_url).replace("http", "ws", 1)
        code, words = await refusal(f"{base}/api/calls/{call.call_id}/join?token={token}")
        assert code == 4400
        assert words.startswith(reason)
        assert (await served.client.get(f"/api/calls/{call.call_id}")).json()["endReason"] == "unjoined"
