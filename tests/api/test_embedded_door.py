"""What the models that come with the server cannot do is refused when it is asked for."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

from antiphon.client.caller import join
from antiphon.client.voice import Voice
from tests.api.test_tool_calls import eventually
from tests.conftest import RealServer

pytestmark = pytest.mark.models

RATE = 16_000
BODY: dict[str, Any] = {
    "medium": {"serverWebSocket": {"inputSampleRate": RATE}},
    "firstSpeakerSettings": {"user": {}},
    "initialOutputMedium": "MESSAGE_MEDIUM_TEXT",
}
LONG = "You answer the telephone of a bakery. " * 790
"""30,000 characters."""

TOO_LONG = r"systemPrompt: the prompt has 6\d\d\d tokens, and 3796 fit into the context of the model ultravox-v0.7"


def client_of(server: RealServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": server.key}, trust_env=False, timeout=60)


async def test_a_prompt_that_does_not_fit_is_a_400_with_both_numbers(embedded_server: RealServer) -> None:
    tool = {"modelToolName": "t", "client": {}, "description": LONG}
    async with client_of(embedded_server) as client:
        for fields, path in (
            ({"systemPrompt": LONG}, "systemPrompt"),
            ({"initialMessages": [{"role": "MESSAGE_ROLE_USER", "text": LONG}]}, "initialMessages"),
            ({"selectedTools": [{"temporaryTool": tool}]}, "selectedTools"),
        ):
            response = await client.post("/api/calls", json={**BODY, **fields})
            assert response.status_code == 400
            assert [error["path"] for error in response.json()["errors"]] == [path]
            if path == "systemPrompt":
                assert re.match(TOO_LONG, response.json()["detail"])
        early = [{"role": f"MESSAGE_ROLE_{role}", "text": LONG} for role in ("USER", "AGENT")]
        fine = {"systemPrompt": LONG[:12_000], "initialMessages": early}
        assert (await client.post("/api/calls", json={**BODY, **fine})).status_code == 201


async def test_a_stage_whose_prompt_does_not_fit_is_a_failed_tool(embedded_server: RealServer) -> None:
    tools = [{"temporaryTool": {"modelToolName": "change", "client": {}, "timeout": "30s"}}]
    async with client_of(embedded_server) as client:
        call = (await client.post("/api/calls", json={**BODY, "selectedTools": tools})).json()
        path = f"/api/calls/{call['callId']}"
        async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
            wanted = [{"id": "one", "name": "change", "arguments": {}}]
            forced = {"type": "forced_agent_message", "content": "One moment.", "toolCalls": wanted}
            assert (await client.post(f"{path}/send_data_message", json=forced)).status_code == 204
            await caller.until_message(lambda message: message.type == "client_tool_invocation", timeout_s=60)
            answer = {"type": "client_tool_result", "invocationId": "one", "responseType": "new-stage"}
            await caller.send({**answer, "result": json.dumps({"systemPrompt": LONG})})

            async def results() -> list[dict[str, Any]]:
                messages = (await client.get(f"{path}/messages")).json()["results"]
                return [message for message in messages if message["role"] == "MESSAGE_ROLE_TOOL_RESULT"]

            (result,) = await eventually(results, lambda found: len(found) == 1)
        assert re.match(TOO_LONG, result["errorDetails"])
        assert len((await client.get(f"{path}/stages")).json()["results"]) == 1


async def test_a_language_that_nobody_would_understand_is_a_400(embedded_server: RealServer) -> None:
    async with client_of(embedded_server) as client:
        response = await client.post("/api/calls", json={**BODY, "languageHint": "klingon"})
        assert response.status_code == 400
        assert [error["path"] for error in response.json()["errors"]] == ["languageHint"]
        assert "af, am, ar" in response.json()["detail"]
        for fine in ("en", "en-US", "pt-BR", "de-DE", "zh-Hans", ""):
            response = await client.post("/api/calls", json={**BODY, "languageHint": fine})
            assert response.status_code == 201, (fine, response.text)
