"""Automatic parameters: what a tool is told of the call, in a whole call with a real HTTP server behind the tool."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.client.rest import Api
from tests.api.test_tool_calls import config, joined, said, tone
from tests.api.test_tool_calls import weather as weather
from tests.conftest import running_server

KNOWN = (
    *("CALL_ID", "CONVERSATION_HISTORY", "OUTPUT_SAMPLE_RATE", "CALL_STATE"),
    *("CALL_STAGE_ID", "THREAD_ID", "THREAD_STATES", "CALL_METADATA"),
)
HEARD = "Hello, can you hear me?"
CALLS = '[[tool tell {"word": "one"}]]'


def telling(url: str) -> dict[str, Any]:
    body = "PARAMETER_LOCATION_BODY"
    return {
        "temporaryTool": {
            "modelToolName": "tell",
            "dynamicParameters": [{"name": "word", "location": body, "schema": {"type": "string"}}],
            "automaticParameters": [
                *({"name": name, "location": body, "knownValue": f"KNOWN_PARAM_{name}"} for name in KNOWN),
                {"name": "X-State", "location": "PARAMETER_LOCATION_HEADER", "knownValue": "KNOWN_PARAM_CALL_STATE"},
                {"name": "thread", "location": "PARAMETER_LOCATION_QUERY", "knownValue": "KNOWN_PARAM_THREAD_ID"},
                {"name": "id", "location": "PARAMETER_LOCATION_PATH", "knownValue": "KNOWN_PARAM_CALL_ID"},
            ],
            "http": {"baseUrlPattern": f"{url}/{{id}}", "httpMethod": "POST"},
        }
    }


async def test_a_tool_is_told_all_that_is_known(weather: ThreadingHTTPServer, tmp_path: Path) -> None:
    weather.headers_back = {"X-Ultravox-Update-Call-State": '{"step": 2}'}  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{weather.server_port}"
    given = {
        "metadata": {"source": "test"},
        "initialState": {"step": 1, "kept": True},
        "initialMessages": [{"role": "MESSAGE_ROLE_AGENT", "text": "Welcome back."}],
        "selectedTools": [telling(url)],
    }
    async with (
        running_server(tmp_path, config(CALLS)) as server,
        joined(server, **given) as (caller, call_id),
    ):
        await caller.say(tone())
        await caller.until_message(said("Done with that."), timeout_s=20)
        async with Api(server.url, server.key) as api:
            stage = (await api.get(f"/api/calls/{call_id}/stages"))["results"][0]["callStageId"]
            messages = await api.messages(call_id)
    (first,) = weather.asked  # type: ignore[attr-defined]
    assert first["path"] == f"/{call_id}?thread=UI"
    told = first["body"]
    history = told.pop("CONVERSATION_HISTORY")
    assert told == {
        "word": "one",
        "CALL_ID": call_id,
        "OUTPUT_SAMPLE_RATE": 16_000,
        "CALL_STATE": {"step": 1, "kept": True},
        "CALL_STAGE_ID": stage,
        "THREAD_ID": "UI",
        "THREAD_STATES": {},
        "CALL_METADATA": {"source": "test"},
    }
    assert [(message["role"], message["text"]) for message in history[:2]] == [
        ("MESSAGE_ROLE_AGENT", "Welcome back."),
        ("MESSAGE_ROLE_USER", HEARD),
    ]
    assert {message["role"] for message in history[2:]} <= {"MESSAGE_ROLE_TOOL_CALL"}
    shown = [(message["role"], message.get("callState")) for message in messages]
    assert shown[2:4] == [
        ("MESSAGE_ROLE_TOOL_CALL", None),
        ("MESSAGE_ROLE_TOOL_RESULT", {"step": 2, "kept": True}),
    ]


@pytest.mark.parametrize("known", ["KNOWN_PARAM_UNSPECIFIED", "KNOWN_PARAM_WEATHER", None])
async def test_what_is_not_known_is_refused(client: httpx.AsyncClient, known: str | None) -> None:
    tool = {
        "modelToolName": "t",
        "automaticParameters": [{"name": "a", "knownValue": known}],
        "client": {},
    }
    response = await client.post("/api/calls", json={"selectedTools": [{"temporaryTool": tool}]})
    assert response.status_code == 400
    path = "selectedTools.0.temporaryTool.automaticParameters.0.knownValue"
    assert [error["path"] for error in response.json()["errors"]] == [path]
