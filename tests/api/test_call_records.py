"""What REST shows of a call while it goes on."""

from __future__ import annotations

from typing import Any

from antiphon.client.caller import join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from tests.conftest import RealServer

RATE = 16_000


async def test_a_live_call_shows_at_once_what_has_been_said(real_server: RealServer) -> None:
    """The record is written every quarter of a second; who asks is not to see the past."""
    body: dict[str, Any] = {
        "medium": {"serverWebSocket": {"inputSampleRate": RATE, "clientBufferSizeMs": 30_000}},
        "firstSpeakerSettings": {"user": {}},
    }
    async with Api(real_server.url, real_server.key) as api:
        call = await api.create_call(body)
        async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
            await caller.until_message(lambda message: message.body["type"] == "state", timeout_s=20)
            for number in range(4):
                text = f"Question {number}?"
                await caller.send({"type": "user_text_message", "text": text, "urgency": "later"})

                def said(received: Any, text: str = text) -> bool:
                    return bool(received.body.get("final")) and received.body.get("text") == text

                await caller.until_message(said, timeout_s=20)
                shown = await api.messages(call["callId"])
                assert text in [message.get("text") for message in shown]
