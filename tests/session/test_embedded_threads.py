"""A whole call with the models that come with the server: a thread sums up while the caller is answered."""

from __future__ import annotations

import pytest

from antiphon.client.caller import Received, join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from tests.conftest import RealServer

pytestmark = pytest.mark.models

RATE = 16_000
PATIENCE_S = 180
PROMPT = "You answer the telephone of a bakery. Rye bread is five dollars. Answer in one short sentence."


def said(message: Received) -> bool:
    return message.type == "transcript" and message.body["role"] == "agent" and bool(message.body["final"])


async def test_a_thread_sums_up_while_the_caller_is_answered(embedded_server: RealServer) -> None:
    body = {
        "systemPrompt": PROMPT,
        "medium": {"serverWebSocket": {"inputSampleRate": RATE}},
        "firstSpeakerSettings": {"user": {}},
        "initialOutputMedium": "MESSAGE_MEDIUM_TEXT",
    }
    async with Api(embedded_server.url, embedded_server.key) as api:
        call = await api.create_call(body)
    async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        await caller.send({"type": "user_text_message", "text": "How much is the rye bread?"})
        await caller.until_message(said, timeout_s=PATIENCE_S)
        words = {"type": "user_text_message", "text": "Write one sentence: what has the caller asked for so far?"}
        limits = {"generationLimit": 1, "generationOutputTokenLimit": 60}
        spawn = {"type": "spawn_thread", "newThreadId": "sum", "additionalMessages": [words], "limits": limits}
        await caller.send(spawn)
        await caller.send({"type": "user_text_message", "text": "And when do you open?"})
        asked = caller.now
        answer = await caller.until_message(said, after_s=asked, timeout_s=PATIENCE_S)
        done = await caller.until_message(
            lambda message: message.type in ("side_generation_completed", "thread_terminated"), timeout_s=PATIENCE_S
        )
        deltas = [m.body["delta"] for m in caller.received if m.type == "side_generation_delta"]
    assert answer.body["text"]
    assert done.type == "side_generation_completed"
    assert done.body["text"] == "".join(deltas).strip()
    assert "rye" in done.body["text"].lower() or "bread" in done.body["text"].lower()
