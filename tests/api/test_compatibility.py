"""docs/compatibility.md against the API's contract and the server: every field, operation and parameter, both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.api.test_calls import BODY

CONTRACT = Path(__file__).parents[3] / "shared" / "reference" / "openapi.yaml"
pytestmark = pytest.mark.skipif(not CONTRACT.is_file(), reason="the API's OpenAPI file is not at hand")
PAGE = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text(encoding="utf-8")

Schema = dict[str, Any]
WORKS, REFUSED, IDLE = "that work", "that are refused", "that are taken and have no effect"

HTTP = {"baseUrlPattern": "https://a.example/x", "httpMethod": "POST"}
TOOL = {"modelToolName": "t", "http": HTTP}
OUTGOING = {"to": "+1", "from": "+2"}
SIBLINGS: dict[str, Any] = {
    "initialMessages": {"role": "MESSAGE_ROLE_USER"},
    "inactivityMessages": {"duration": "30s"},
    "selectedTools.temporaryTool": TOOL,
    "selectedTools.temporaryTool.dynamicParameters": {"name": "p", "schema": {"type": "string"}},
    "selectedTools.temporaryTool.staticParameters": {"name": "p", "value": 1},
    "selectedTools.temporaryTool.automaticParameters": {"name": "p", "knownValue": "KNOWN_PARAM_CALL_ID"},
    "selectedTools.temporaryTool.http": HTTP,
    "medium.serverWebSocket": {"inputSampleRate": 16000},
    **{f"medium.{name}.outgoing": OUTGOING for name in ("twilio", "telnyx", "plivo", "sip")},
    **{f"callbacks.{name}": {"url": "https://a.example"} for name in ("joined", "ended", "billed")},
    "dataConnection": {"websocketUrl": "wss://a.example"},
    "externalVoice.generic": {"url": "https://a.example", "body": {"text": "{text}"}, "responseSampleRate": 16000},
}
"""What a field needs beside it."""

VALUES: dict[str, Any] = {
    "model": "ultravox-v0.6",
    "voice": "Mark",
    "languageHint": "en",
    "selectedTools.toolId": "56294126-5a7d-4948-b67d-3b7e13d55ea7",
    "selectedTools.toolName": "hangUp",
    "selectedTools.temporaryTool.timeout": "10s",
    "selectedTools.temporaryTool.http.httpMethod": "POST",
    "selectedTools.temporaryTool.staticParameters.location": "PARAMETER_LOCATION_BODY",
    "selectedTools.temporaryTool.requirements.requiredParameterOverrides": [],
    "selectedTools.parameterOverrides": {"message": "x"},
    "selectedTools.authTokens": {"k": "v"},
    "medium.serverWebSocket.inputSampleRate": 16000,
    "medium.serverWebSocket.outputSampleRate": 16000,
    "experimentalSettings": {"backchannels": False},
    "metadata": {"a": "b"},
    "dataConnection.audioConfig.sampleRate": 16000,
    "dataConnection.headers": {"A": "b"},
    "externalVoice.generic.headers": {"A": "b"},
    "externalVoice.generic.body": {"text": "{text}"},
    "externalVoice.generic.responseSampleRate": 16000,
    "externalVoice.generic.responseMimeType": "audio/wav",
    "sharedSecrets": ["a secret of 24 characters"],
}
"""A value of each field whose type does not tell one."""


def contract() -> Schema:
    document: Schema = yaml.load(CONTRACT.read_text(), yaml.CSafeLoader)
    return document


def fields(schemas: Schema, name: str, above: tuple[tuple[str, str], ...] = ()) -> Iterator[tuple[Any, Schema]]:
    """The fields without fields of their own: their way, with what each part of it holds, and their schema."""
    for key, schema in schemas[name]["properties"].items():
        holds = "map" if "additionalProperties" in schema else "array" if schema.get("type") == "array" else "object"
        inner = next(references(schema), None)
        way = (*above, (key, holds))
        if inner is not None and schemas[inner].get("properties"):
            yield from fields(schemas, inner, way)
        else:
            yield way, schema


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rsplit("/", 1)[1]
        schema = list(schema.values())
    if isinstance(schema, list):
        for value in schema:
            yield from references(value)


def rows(title: str) -> list[str]:
    section = PAGE.split(f"## Fields of a call {title}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([A-Za-z.]+)`", cell)]


STATES = {name: title for title in (WORKS, REFUSED, IDLE) for name in rows(title)}


def row_of(path: str) -> str | None:
    covering = [row for row in STATES if path == row or path.startswith(f"{row}.")]
    return max(covering, key=len, default=None)


def value_of(path: str, schema: Schema) -> Any:
    if path in VALUES:
        return VALUES[path]
    if "enum" in schema:
        return next(value for value in schema["enum"] if not value.endswith("_UNSPECIFIED"))
    if re.search(r"rl$|Pattern$", path):
        return "https://a.example/x" if "websocket" not in path else "wss://a.example"
    if "pattern" in schema or path.endswith(("delay", "Delay", "Timeout", "Duration", "duration", "start", "end")):
        return "30s"
    kinds = {"string": "Bearer", "boolean": True, "integer": 1, "number": 1, "array": [], "object": {}}
    return kinds.get(str(schema.get("type")), {})


def request_with(way: Any, schema: Schema) -> dict[str, Any]:
    """A call's request with the one field and what that needs."""
    path = ".".join(key for key, _ in way)
    value: Any = value_of(path, schema)
    for depth in range(len(way) - 1, -1, -1):
        key, holds = way[depth]
        if depth < len(way) - 1:
            below = ".".join(part for part, _ in way[: depth + 1])
            value = {**SIBLINGS.get(below, {}), **value}
            if below == "selectedTools.temporaryTool" and {"client", "dataConnection"} & value.keys():
                del value["http"]
            if below == "selectedTools" and not {"toolId", "toolName", "temporaryTool"} & value.keys():
                value["toolName"] = "hangUp"
            if "httpSecurityOptions" in path and below == "selectedTools":
                value["authTokens"] = {"k": "v"}
            if "ultravoxCallToken" in path and key == "options":
                value = [value, {"requirements": {"k": {"httpAuth": {}}}}]
            elif holds == "map":
                value = {"k": value}
            elif holds == "array":
                value = [value]
        value = {key: value}
    beside = {"voice": "Mark"} if path.startswith("voiceOverrides") else {}
    return {**BODY, **beside, **value}


def test_the_page_has_every_field_of_the_contract_and_no_other() -> None:
    paths = [".".join(key for key, _ in way) for way, _ in every_field()]
    assert [path for path in paths if row_of(path) is None] == []
    assert set(STATES) - {row_of(path) for path in paths} == set()


def every_field() -> list[tuple[Any, Schema]]:
    return list(fields(contract()["components"]["schemas"], "ultravox.v1.StartCallRequest"))


async def test_each_field_fares_as_the_page_says(client: httpx.AsyncClient) -> None:
    wrong = []
    for way, schema in every_field():
        path = ".".join(key for key, _ in way)
        state = STATES[row_of(path) or ""]
        if path.startswith("voiceOverrides") and state == WORKS:
            continue  # by voice: tests/session/test_voices.py
        response = await client.post("/api/calls", json=request_with(way, schema))
        expected = 400 if state == REFUSED else 201
        named = [error["path"] for error in response.json().get("errors", ())]
        if response.status_code != expected or (named and not named[0].startswith(path.split(".")[0])):
            wrong.append((path, response.status_code, response.json().get("detail")))
    assert wrong == []


async def test_the_operations_that_are_not_there_are_those_of_the_page(client: httpx.AsyncClient) -> None:
    ours = (await client.get("/api/schema/?format=json")).json()["paths"]
    methods = ("get", "post", "put", "patch", "delete")
    theirs = {(m.upper(), path) for path, item in contract()["paths"].items() for m in methods if m in item}
    missing = theirs - {(method.upper(), path) for path, item in ours.items() for method in item}
    section = PAGE.split("are not there")[1]
    single = {(m, path) for m, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (\S+)`", section)}
    whole = tuple(re.findall(r"`(/api/\S+)`", section))
    assert {(m, path) for m, path in missing if not re.match(f"({'|'.join(whole)})(/|$)", path)} == single
    assert not [(m, path) for m, path in theirs - missing if re.match(f"({'|'.join(whole)})(/|$)", path)]
    assert all(any(re.match(f"{prefix}(/|$)", path) for _, path in missing) for prefix in whole)


async def test_every_other_query_parameter_is_known(client: httpx.AsyncClient) -> None:
    ours = (await client.get("/api/schema/?format=json")).json()["paths"]
    unknown = set()
    for path, item in contract()["paths"].items():
        for method in item.keys() & ours.get(path, {}).keys():
            known = {parameter["name"] for parameter in ours[path][method].get("parameters", ())}
            unknown |= {
                (f"{method.upper()} {path}", one["name"])
                for one in item[method].get("parameters", ())
                if one["name"] not in known
            }
    listed = dict(re.findall(r"^\| `(\S+ \S+)` \| `(\w+)` \|", PAGE, re.MULTILINE))
    assert listed == {"POST /api/calls": "throttle", "GET /api/schema/": "lang"}
    assert unknown == {("GET /api/calls", "metadata"), ("GET /api/schema/", "lang")}  # metadata.KEY, any number of them
    response = await client.post("/api/calls?throttle=x", json=BODY)
    assert (response.status_code, response.json()["errors"][0]["path"]) == (400, "throttle")
