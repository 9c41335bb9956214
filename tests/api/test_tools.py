from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from antiphon.store.records import CallToolRecord, MessageRecord, MessageRole, new_id
from tests.api.test_calls import create
from tests.support.server_fixtures import House

LOOK_UP: dict[str, Any] = {
    "name": "lookUp",
    "definition": {
        "modelToolName": "look_up",
        "description": "Looks up an order.",
        "dynamicParameters": [
            {
                "name": "order",
                "location": "PARAMETER_LOCATION_QUERY",
                "schema": {"type": "string"},
                "required": True,
            }
        ],
        "staticParameters": [{"name": "shop", "location": "PARAMETER_LOCATION_PATH", "value": 7}],
        "automaticParameters": [
            {"name": "call", "location": "PARAMETER_LOCATION_HEADER", "knownValue": "KNOWN_PARAM_CALL_ID"}
        ],
        "requirements": {
            "httpSecurityOptions": {"options": [{"requirements": {"k": {"httpAuth": {"scheme": "Bearer"}}}}]}
        },
        "timeout": "20s",
        "precomputable": True,
        "http": {"baseUrlPattern": "https://shop.example/{shop}/orders", "httpMethod": "GET"},
        "defaultReaction": "AGENT_REACTION_SPEAKS_ONCE",
        "staticResponse": {"responseText": "One moment."},
    },
}
BUILT_IN = ["hangUp", "leaveVoicemail", "playDtmfSounds"]


async def make(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    response = await client.post("/api/tools", json={"name": name, "definition": {"modelToolName": "t", "client": {}}})
    assert response.status_code == 201, response.text
    tool: dict[str, Any] = response.json()
    return tool


async def names(client: httpx.AsyncClient, **params: Any) -> list[str]:
    response = await client.get("/api/tools", params=params)
    assert response.status_code == 200, response.text
    return [tool["name"] for tool in response.json()["results"]]


async def test_a_tool_is_made_changed_and_removed(client: httpx.AsyncClient) -> None:
    made = await client.post("/api/tools", json=LOOK_UP)
    assert made.status_code == 201
    tool = made.json()
    assert tool["definition"] == LOOK_UP["definition"]
    assert (tool["name"], tool["ownership"]) == ("lookUp", "private")
    path = f"/api/tools/{tool['toolId']}"
    assert (await client.get(path)).json() == tool
    # An answer can be sent back, changed.
    tool["definition"]["description"] = "Finds an order."
    changed = await client.put(path, json={**tool, "name": "find", "created": "2001-01-01T00:00:00Z"})
    assert (changed.status_code, changed.json()) == (200, {**tool, "name": "find"})
    assert (await client.get(path)).json() == changed.json()
    assert (await client.delete(path)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await client.request(method, path)).status_code == 404
    assert (await client.put(path, json=LOOK_UP)).status_code == 404


async def test_a_name_is_given_once(client: httpx.AsyncClient) -> None:
    await make(client, "first")
    second = await make(client, "second")
    again = await client.post("/api/tools", json={**LOOK_UP, "name": "first"})
    renamed = await client.put(f"/api/tools/{second['toolId']}", json={**LOOK_UP, "name": "first"})
    for response in (again, renamed):
        assert response.status_code == 409
        assert "first" in response.json()["detail"]
    assert await names(client, ownership="private") == ["second", "first"]


async def test_what_comes_with_the_server_is_listed_and_stays_as_it_is(client: httpx.AsyncClient) -> None:
    public = (await client.get("/api/tools", params={"ownership": "public"})).json()
    assert [tool["name"] for tool in public["results"]] == BUILT_IN
    assert {tool["ownership"] for tool in public["results"]} == {"public"}
    for tool in public["results"]:
        path = f"/api/tools/{tool['toolId']}"
        assert (await client.get(path)).json() == tool
        assert (await client.put(path, json=LOOK_UP)).status_code == 403
        assert (await client.delete(path)).status_code == 403
    assert (await client.get("/api/tools", params={"ownership": "public"})).json() == public
    hang_up = public["results"][0]["definition"]
    assert [parameter["name"] for parameter in hang_up["dynamicParameters"]] == ["reason"]
    assert [parameter["name"] for parameter in hang_up["staticParameters"]] == ["strict", "message"]
    own = await make(client, "hangUp")
    assert own["toolId"] not in {tool["toolId"] for tool in public["results"]}


async def test_tools_are_listed_in_pages_and_orders(client: httpx.AsyncClient) -> None:
    for name in ("beta", "alpha"):
        await make(client, name)
    assert await names(client) == ["alpha", "beta", *BUILT_IN]
    assert await names(client, sortOrder="display") == [*BUILT_IN, "alpha", "beta"]
    assert await names(client, sortOrder="reverseAlphabetic") == [*BUILT_IN[::-1], "beta", "alpha"]
    assert await names(client, search="phone menu") == ["playDtmfSounds"]
    seen: list[str] = []
    url: str | None = "/api/tools?pageSize=3&sortOrder=alphabetic"
    while url is not None:
        page = (await client.get(url)).json()
        assert page["total"] == 5
        seen += [tool["name"] for tool in page["results"]]
        url = page["next"]
    assert seen == sorted(["alpha", "beta", *BUILT_IN])


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "name"),
        ({"name": "x" * 41, "definition": LOOK_UP["definition"]}, "name"),
        ({"name": "", "definition": LOOK_UP["definition"]}, "name"),
        ({"name": "x"}, "definition"),
        ({"name": "x", "definition": {"modelToolName": "a b", "client": {}}}, "definition.modelToolName"),
        ({"name": "x", "definition": {"modelToolName": "a"}}, "definition"),
        (
            {
                "name": "x",
                "definition": {"modelToolName": "a", "http": {"baseUrlPattern": "https://a/{b}", "httpMethod": "GET"}},
            },
            "definition.http.baseUrlPattern",
        ),
        (
            {
                "name": "x",
                "definition": {
                    "modelToolName": "a",
                    "client": {},
                    "dynamicParameters": [{"name": "b", "schema": {"type": 1}}],
                },
            },
            "definition.dynamicParameters.0.schema",
        ),
        ({"name": "x", "definition": {"modelToolName": "a", "client": {}}, "colour": 1}, "colour"),
        ([], ""),
    ],
)
async def test_a_wrong_field_is_a_400_that_names_it(client: httpx.AsyncClient, body: Any, path: str) -> None:
    for response in (
        await client.post("/api/tools", json=body),
        await client.put(f"/api/tools/{(await make(client, 'own'))['toolId']}", json=body),
    ):
        assert response.status_code == 400
        answer = response.json()
        assert path in [error["path"] for error in answer["errors"]] or (path == "" and answer["detail"])


async def test_a_document_is_refused_with_the_way_out(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/tools", files={"file": ("api.yaml", b"openapi: 3.0.0")})
    assert response.status_code == 400
    assert "JSON" in response.json()["detail"]


@pytest.mark.parametrize("path", ["", "/history"])
@pytest.mark.parametrize("tool_id", [str(uuid4()), "hangUp", "%00"])
async def test_what_is_not_there_is_a_404(client: httpx.AsyncClient, tool_id: str, path: str) -> None:
    assert (await client.get(f"/api/tools/{tool_id}{path}")).status_code == 404


@pytest.mark.parametrize("params", [{"sortOrder": "colour"}, {"ownership": "mine"}, {"search": ""}, {"cursor": "x"}])
async def test_wrong_parameters_are_named(client: httpx.AsyncClient, params: dict[str, str]) -> None:
    response = await client.get("/api/tools", params=params)
    assert response.status_code == 400
    assert [error["path"] for error in response.json()["errors"]] == list(params)


async def test_tools_need_a_key(client: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{uuid4()}/history")):
        response = await client.request(method, f"/api/tools{path}", headers={"X-API-Key": "wrong"})
        assert response.status_code == 401


async def call_with_tool(house: House, tool_id: str) -> tuple[str, str]:
    """A call whose one tool was used twice, once in vain."""
    call_id = (await create(house.client))["callId"]
    stage_id = (await house.store.stages.of_call(call_id))[0].stage_id
    definition = {"description": "Looks up.", "http": {"baseUrlPattern": "https://shop.example", "httpMethod": "GET"}}
    tools = [CallToolRecord(new_id(), call_id, stage_id, tool_id, "look_up", definition)]
    await house.store.call_tools.append([*tools, CallToolRecord(new_id(), call_id, stage_id, None, "x", {}, 1)])
    call, result = MessageRole.TOOL_CALL, MessageRole.TOOL_RESULT
    await house.store.messages.append(
        [
            MessageRecord(call_id, stage_id, 0, MessageRole.USER, "Where is it?", ordinal=0),
            MessageRecord(call_id, stage_id, 1, call, '{"order":7}', None, 1, None, None, "i1", "look_up"),
            MessageRecord(call_id, stage_id, 2, result, "failed", None, 2, None, None, "i1", "look_up", "HTTP 500"),
            MessageRecord(call_id, stage_id, 3, call, '{"order":8}', None, 3, None, None, "i2", "look_up"),
            MessageRecord(call_id, stage_id, 4, result, "here", None, 4, None, None, "i2", "look_up", None, {"n": 1}),
            MessageRecord(call_id, stage_id, 5, MessageRole.AGENT, "It is here.", ordinal=5),
        ]
    )
    return call_id, stage_id


async def test_a_calls_tools_and_what_they_did_can_be_looked_at(house: House) -> None:
    tool = (await house.client.post("/api/tools", json=LOOK_UP)).json()
    call_id, stage_id = await call_with_tool(house, tool["toolId"])
    await create(house.client)
    base = f"/api/calls/{call_id}"
    tools = (await house.client.get(f"{base}/tools")).json()
    assert [(item["name"], item["toolId"]) for item in tools] == [("look_up", tool["toolId"]), ("x", None)]
    assert (await house.client.get(f"{base}/stages/{stage_id}/tools")).json() == tools
    messages = (await house.client.get(f"{base}/messages")).json()["results"]
    assert messages[2] == {
        "role": "MESSAGE_ROLE_TOOL_RESULT",
        "text": "failed",
        "invocationId": "i1",
        "toolName": "look_up",
        "errorDetails": "HTTP 500",
        "callStageMessageIndex": 2,
        "callStageId": stage_id,
    }
    assert messages[4]["callState"] == {"n": 1}
    history = (await house.client.get(f"/api/tools/{tool['toolId']}/history")).json()
    assert history["total"] == 1
    assert [(use["call"]["callId"], use["errorCount"]) for use in history["results"]] == [(call_id, 1)]
    assert (await house.client.delete(f"/api/tools/{tool['toolId']}")).status_code == 204
    assert (await house.client.get(f"{base}/tools")).json() == tools


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"dynamicParameters": [{"name": str(i), "schema": {}} for i in range(101)]}, "dynamicParameters"),
        ({"dynamicParameters": [{"a": 1}] * 50_000}, "dynamicParameters.0.name"),
        ({"dynamicParameters": [{"name": "a", "schema": {"enum": list(range(2_000))}}]}, "dynamicParameters"),
        ({"requirements": {"requiredParameterOverrides": ["a"] * 101}}, "requirements.requiredParameterOverrides"),
    ],
)
async def test_a_tool_of_very_many_parts_is_refused(client: httpx.AsyncClient, more: dict[str, Any], path: str) -> None:
    definition = {"modelToolName": "t", "client": {}, **more}
    response = await client.post("/api/tools", json={"name": "x", "definition": definition})
    assert response.status_code == 400
    assert response.json()["errors"][0]["path"] == f"definition.{path}"
    many = [{"toolName": "hangUp", "nameOverride": str(i)} for i in range(201)]
    assert (await client.post("/api/calls", json={"selectedTools": many})).status_code == 400
