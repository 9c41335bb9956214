"""``POST /api/tools/{id}/test``: tools used outside of any call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.server import ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.test_tool_calls import weather as weather
from tests.conftest import RealServer

NO_CALL = "00000000-0000-0000-0000-000000000000"
BODY = "PARAMETER_LOCATION_BODY"


def definition(url: str, **more: Any) -> dict[str, Any]:
    return {
        "modelToolName": "weather",
        "dynamicParameters": [
            {"name": "place", "location": BODY, "schema": {"type": "string"}, "required": True},
            {"name": "day", "location": BODY, "schema": {"type": "integer"}},
        ],
        "staticParameters": [{"name": "unit", "location": BODY, "value": "C"}],
        "automaticParameters": [
            {"name": "state", "location": BODY, "knownValue": "KNOWN_PARAM_CALL_STATE"},
            {"name": "tags", "location": BODY, "knownValue": "KNOWN_PARAM_CALL_METADATA"},
            {"name": "call", "location": BODY, "knownValue": "KNOWN_PARAM_CALL_ID"},
        ],
        "requirements": {
            "requiredParameterOverrides": ["unit"],
            "httpSecurityOptions": {
                "options": [{"requirements": {"key": {"headerApiKey": {"name": "X-Weather-Key"}}}}]
            },
        },
        "http": {"baseUrlPattern": f"{url}/sky", "httpMethod": "POST"},
        **more,
    }


@pytest.fixture
async def remote(open_server: RealServer) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-API-Key": open_server.key}
    async with httpx.AsyncClient(base_url=open_server.url, headers=headers, trust_env=False) as client:
        yield client


async def made(client: httpx.AsyncClient, definition: dict[str, Any]) -> str:
    response = await client.post("/api/tools", json={"name": uuid4().hex, "definition": definition})
    assert response.status_code == 201, response.text
    return f"/api/tools/{response.json()['toolId']}/test"


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


async def test_an_http_tool_is_used_for_real(remote: httpx.AsyncClient, weather: ThreadingHTTPServer) -> None:
    path = await made(remote, definition(address(weather)))
    trial = {
        "parameters": {"place": "Rome", "day": 3, "made up": 1},
        "parameterOverrides": {"unit": "F"},
        "authTokens": {"key": "k-123"},
        "callState": {"step": 1},
        "metadata": {"source": "test"},
    }
    weather.headers_back = {  # type: ignore[attr-defined]
        "X-Ultravox-Agent-Reaction": "listens",
        "X-Ultravox-Update-Call-State": '{"step": 2}',
    }
    response = await remote.post(path, json=trial)
    assert (response.status_code, response.json()) == (
        200,
        {
            "result": '{"sky": "blue"}',
            "responseType": "tool-response",
            "agentReaction": "listens",
            "updateCallState": {"step": 2},
            "errorDetails": None,
        },
    )
    (asked,) = weather.asked  # type: ignore[attr-defined]
    assert asked == {
        "path": "/sky",
        "key": "k-123",
        "body": {
            "place": "Rome",
            "day": 3,
            "unit": "F",
            "state": {"step": 1},
            "tags": {"source": "test"},
            "call": NO_CALL,
        },
    }
    wrong = await remote.post(path, json={**trial, "parameters": {"day": "x"}})
    assert wrong.status_code == 200
    assert "place is required" in wrong.json()["errorDetails"]
    assert len(weather.asked) == 1  # type: ignore[attr-defined]


async def test_parameters_may_stand_by_themselves(remote: httpx.AsyncClient, weather: ThreadingHTTPServer) -> None:
    path = await made(remote, definition(address(weather), requirements=None, automaticParameters=[]))
    for body in ({"place": "Oslo"}, {"parameters": {"place": "Oslo"}}):
        assert (await remote.post(path, json=body)).json()["result"] == '{"sky": "blue"}'
    weather.headers_back = {"X-Ultravox-Response-Type": "hang-up"}  # type: ignore[attr-defined]
    ends = (await remote.post(path, json={"place": "Oslo"})).json()
    assert (ends["responseType"], ends["errorDetails"]) == ("hang-up", None)
    assert [asked["body"] for asked in weather.asked] == [{"place": "Oslo", "unit": "C"}] * 3  # type: ignore[attr-defined]


async def test_a_parameter_may_be_called_parameters(remote: httpx.AsyncClient, weather: ThreadingHTTPServer) -> None:
    own = [{"name": "parameters", "location": BODY, "schema": {"type": "object"}}]
    path = await made(
        remote, definition(address(weather), requirements=None, automaticParameters=[], dynamicParameters=own)
    )
    assert (await remote.post(path, json={"parameters": {"a": 1}})).status_code == 200
    assert weather.asked[0]["body"]["parameters"] == {"a": 1}  # type: ignore[attr-defined]


async def test_the_servers_own_insides_stay_out_of_reach(
    client: httpx.AsyncClient, weather: ThreadingHTTPServer
) -> None:
    path = await made(client, definition(address(weather), requirements=None))
    answer = await client.post(path, json={"place": "Rome"})
    assert answer.status_code == 200
    assert "not a public address" in answer.json()["errorDetails"]
    assert weather.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("trial", "path"),
    [
        ({"parameters": {}}, "parameterOverrides.unit"),
        ({"parameterOverrides": {"unit": "F"}}, "authTokens"),
        ({"parameterOverrides": {"unit": "F", "nothing": 1}}, "parameterOverrides.nothing"),
        ({"authTokens": {"key": 1}}, "authTokens.key"),
        ({"parameters": []}, "parameters"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, trial: dict[str, Any], path: str) -> None:
    response = await client.post(await made(client, definition("https://a.example")), json=trial)
    assert response.status_code == 400
    assert [error["path"] for error in response.json()["errors"]] == [path]
    assert path in response.json()["detail"]


@pytest.mark.parametrize("kind", ["client", "dataConnection"])
async def test_what_only_a_call_can_do(client: httpx.AsyncClient, kind: str) -> None:
    bare = {"modelToolName": "ring", kind: {}}
    alone = await client.post(await made(client, bare), json={})
    assert alone.status_code == 422
    assert "no call" in alone.json()["detail"]
    tool = (await client.get("/api/tools", params={"ownership": "private"})).json()["results"][0]
    path = f"/api/tools/{tool['toolId']}"
    static = {**bare, "staticResponse": {"responseText": "Ringing."}}
    assert (await client.put(path, json={"name": "tried", "definition": static})).status_code == 200
    assert (await client.post(f"{path}/test")).json()["result"] == "Ringing."


async def test_built_in_tools(client: httpx.AsyncClient) -> None:
    ids = {tool["name"]: tool["toolId"] for tool in (await client.get("/api/tools")).json()["results"]}

    async def tried(name: str, **body: Any) -> dict[str, Any]:
        response = await client.post(f"/api/tools/{ids[name]}/test", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    assert (await tried("hangUp"))["responseType"] == "hang-up"
    assert (await tried("playDtmfSounds", digits="12#"))["result"] == "[Tones played]"
    assert "not a key" in (await tried("playDtmfSounds", digits="?"))["errorDetails"]


async def test_there_has_to_be_such_a_tool(client: httpx.AsyncClient) -> None:
    for tool_id in (str(uuid4()), "nonsense"):
        assert (await client.post(f"/api/tools/{tool_id}/test", json={})).status_code == 404
