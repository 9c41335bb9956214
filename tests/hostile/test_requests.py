"""REST requests that are wrong: each is refused with the right status and names the field and what was expected."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.hostile.house import CALL, KEY, House

RATE_FIELD = "medium.serverWebSocket.inputSampleRate"
DURATION = 'expected a duration in seconds such as "30s" or "0.384s"'


def socket(**fields: Any) -> dict[str, Any]:
    return {"medium": {"serverWebSocket": fields}}


@pytest.mark.parametrize("key", [None, "", "wrong", KEY[:-1], KEY + "0", "é", "x" * 5000])
async def test_no_key_or_a_wrong_one(house: House, key: str | None) -> None:
    headers = {} if key is None else {b"X-API-Key": key.encode()}
    async with house.client() as client:
        del client.headers["X-API-Key"]
        response = await client.post("/api/calls", json=CALL, headers=headers)
    assert response.status_code == 401, response.text
    assert "API key" in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        (socket(), RATE_FIELD, "is required"),
        (socket(inputSampleRate=None), RATE_FIELD, "is required"),
        (socket(inputSampleRate=7999), RATE_FIELD, "has to be greater than or equal to 8000"),
        (socket(inputSampleRate=48001), RATE_FIELD, "has to be less than or equal to 48000"),
        (socket(inputSampleRate=16000.5), RATE_FIELD, "expected an integer"),
        (socket(inputSampleRate=True), RATE_FIELD, "expected an integer"),
        (socket(inputSampleRate="48 kHz"), RATE_FIELD, "expected an integer"),
        (socket(inputSampleRate=[48000]), RATE_FIELD, "expected an integer"),
        (
            socket(inputSampleRate=16000, outputSampleRate=1),
            "medium.serverWebSocket.outputSampleRate",
            "has to be greater than or equal to 8000",
        ),
        (
            socket(inputSampleRate=16000, clientBufferSizeMs=-1),
            "medium.serverWebSocket.clientBufferSizeMs",
            "has to be greater than or equal to 0",
        ),
        (
            socket(inputSampleRate=16000, dataMessages={"pong": "yes"}),
            "medium.serverWebSocket.dataMessages.pong",
            "expected true or false",
        ),
        (socket(inputSampleRate=16000, mediaIdleTimeout="-1s"), "medium.serverWebSocket.mediaIdleTimeout", "negative"),
        ({"medium": "serverWebSocket"}, "medium", "expected an object"),
        ({"medium": {"webRtc": {}, "serverWebSocket": {"inputSampleRate": 16000}}}, "medium", "exclude one another"),
        ({"voice": "Nobody"}, "voice", "Mark"),
        ({"voice": 7}, "voice", "expected a string"),
        ({"model": "gpt-9"}, "model", "short"),
        ({"model": {"name": "short"}}, "model", "expected a string"),
        ({"systemPrompt": ["Be kind."]}, "systemPrompt", "expected a string"),
        ({"temperature": "hot"}, "temperature", "expected a number"),
        ({"temperature": 1.5}, "temperature", "has to be less than or equal to 1"),
        ({"recordingEnabled": "yes"}, "recordingEnabled", "expected true or false"),
        ({"initialMessages": {}}, "initialMessages", "expected an array"),
        ({"initialMessages": [{"text": "Hi"}]}, "initialMessages.0.role", "is required"),
        ({"metadata": {"a": 1}}, "metadata.a", "expected a string"),
        ({"firstSpeaker": "FIRST_SPEAKER_NOBODY"}, "firstSpeaker", "FIRST_SPEAKER_AGENT"),
        ({"joinTimeout": "-30s"}, "joinTimeout", "a duration may not be negative"),
        ({"joinTimeout": "0s"}, "joinTimeout", "expected a duration of more than 0s"),
        ({"joinTimeout": 30}, "joinTimeout", DURATION),
        ({"joinTimeout": "30"}, "joinTimeout", DURATION),
        ({"maxDuration": "1h"}, "maxDuration", DURATION),
        ({"maxDuration": "1e3s"}, "maxDuration", DURATION),
        ({"maxDuration": " 5s"}, "maxDuration", DURATION),
        ({"maxDuration": "٣s"}, "maxDuration", DURATION),
        ({"maxDuration": "9" * 400 + "s"}, "maxDuration", DURATION),
        ({"vadSettings": {"turnEndpointDelay": "-0.1s"}}, "vadSettings.turnEndpointDelay", "negative"),
        ({"inactivityMessages": [{"duration": "soon"}]}, "inactivityMessages.0.duration", DURATION),
        ({"systemPromt": "Be kind."}, "systemPromt", "is not a known field"),
    ],
)
async def test_a_wrong_field_is_named(house: House, body: dict[str, Any], path: str, expected: str) -> None:
    async with house.client() as client:
        response = await client.post("/api/calls", json={**CALL, **body})
    assert response.status_code == 400, response.text
    answer = response.json()
    found = {error["path"]: error["message"] for error in answer["errors"]}
    assert path in found, answer
    assert expected in found[path]
    assert path in answer["detail"]


async def test_digits_in_a_string_are_a_number(house: House) -> None:
    call = await house.create(medium={"serverWebSocket": {"inputSampleRate": "48000"}})
    assert call["medium"]["serverWebSocket"]["inputSampleRate"] == 48000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"systemPrompt": NaN}', "NaN is not JSON"),
        (b'{"temperature": 1e999}', "out of range"),
        (b'{"temperature": ' + b"9" * 10_000 + b"}", "out of range"),
        (b'{"systemPrompt": "\\ud800"}', "surrogate"),
        (b'{"systemPrompt": "a\\u0000b"}', "NUL"),
        (b'["systemPrompt"]', "expected a JSON object, got an array"),
        (b"null", "expected a JSON object, got null"),
        (b"[" * 1_000_000, "nested"),
        (b'{"metadata":' * 80_000, "nested"),
    ],
)
async def test_a_body_that_is_no_object(house: House, body: bytes, expected: str) -> None:
    async with house.client() as client:
        response = await client.post("/api/calls", content=body)
    assert response.status_code == 400, response.text
    assert expected in response.json()["detail"]


async def test_a_body_over_a_megabyte(house: House) -> None:
    body = json.dumps({**CALL, "systemPrompt": "x" * 1_048_576}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    async with house.client() as client:
        for content in (body, chunks()):
            response = await client.post("/api/calls", content=content)
            assert response.status_code == 413, response.text
            assert "larger than 1048576 bytes" in response.json()["detail"]
        just_right = json.dumps({**CALL, "systemPrompt": "x" * 1_000_000})
        assert (await client.post("/api/calls", content=just_right)).status_code == 201


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"x": [1] * 340_000}, 400),
        ({"initialMessages": [{"a": 1}] * 90_000}, 400),
        ({"initialMessages": [{"role": "MESSAGE_ROLE_USER", "text": "x"}] * 2_000}, 201),
        ({"initialMessages": [{"role": "MESSAGE_ROLE_USER", "text": "x"}] * 19_000}, 400),
        ({"metadata": {str(number): "x" for number in range(1_000)}}, 201),
        ({"metadata": {str(number): "x" for number in range(60_000)}}, 400),
        ({"metadata": {str(number): 1 for number in range(60_000)}}, 400),
        ({str(number): 1 for number in range(90_000)}, 400),
    ],
)
async def test_a_body_of_very_many_parts(house: House, fields: dict[str, Any], status: int) -> None:
    async with house.client() as client:
        response = await client.post("/api/calls", json={**CALL, **fields})
    assert response.status_code == status, response.text[:500]
    if status == 400:
        assert len(response.content) < 5000
        assert response.json()["errors"][0]["path"].startswith("" if len(fields) > 1 else next(iter(fields)))
