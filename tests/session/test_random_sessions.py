"""Whole sessions by dice: engines that stall, fail and trickle, and a client that does not behave.

The core alone is tried on a thousand conversations in tests/call/test_random_conversations.py; here are its shell, the
wire and the tools of the client around it.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from antiphon.call.history import SpokenMessage, ToolMessage, ToolRole
from antiphon.call.messages import Modality, Severity
from antiphon.call.prompt import Prompt
from antiphon.call.settings import CallSettings, FirstSpeaker, Greeting, TimedMessage
from antiphon.engines.scripted import ScriptedLanguageModel
from antiphon.media.protocol import Audio, Left
from antiphon.session.parts import CallTools, SessionParts
from antiphon.session.session import Session
from antiphon.testing.conversation import Conversation
from antiphon.testing.reference_medium import ReferenceMedium
from antiphon.tools.http import HttpCaller
from antiphon.tools.selection import select
from antiphon.wire.call_request import parse_call_request
from antiphon.wire.outgoing import WEBSOCKET_DEFAULTS
from antiphon.wire.tool_definitions import to_selected
from tests.session.test_any_call import (
    ByLoudness,
    Script,
    UnluckyEndOfTurn,
    UnluckyModel,
    UnluckySpeaker,
    UnluckyTranscriber,
    check_wire,
)

RATE = 24_000
TOOLS: tuple[dict[str, Any], ...] = (
    {"temporaryTool": {"modelToolName": "look", "description": "Looks.", "client": {}}},
    {"temporaryTool": {"modelToolName": "ahead", "description": "Looks.", "precomputable": True, "client": {}}},
    {"temporaryTool": {"modelToolName": "long", "description": "Looks.", "timeout": "15s", "client": {}}},
)
GARBAGE = (
    "",
    "{",
    "[]",
    "null",
    '"a"',
    "{}",
    '{"type": 7}',
    '{"type": "no such thing"}',
    '{"type": "user_text_message"}',
    '{"type": "user_text_message", "text": 5, "urgency": "never"}',
    '{"type": "client_tool_result"}',
    '{"type": "client_tool_result", "invocationId": "nobody", "result": {"a": [1]}, "responseType": "odd"}',
    '{"type": "client_tool_result", "invocationId": "nobody", "result": "{}", "responseType": "new-stage"}',
    '{"type": "forced_agent_message", "content": {"a": 1}}',
    '{"type": "forced_agent_message", "content": "Good.", "toolCalls": [{"name": "look"}], "knownToolResults": 5}',
    '{"type": "forced_agent_message", "content": "", "toolCalls": [{"id": "f", "name": "look", "arguments": {}}]}',
    '{"type": "set_output_medium", "medium": "smell"}',
    '{"type": "set_output_medium", "medium": "text"}',
    '{"type": "set_output_medium", "medium": "voice"}',
    '{"type": "spawn_thread"}',
    '{"type": "spawn_thread", "newThreadId": "a", "additionalMessages": [{"type": "user_text_message", "text": "s"}]}',
    '{"type": "user_text_message", "text": "for a thread", "threadId": "a"}',
    '{"type": "ping", "timestamp": 1e400}',
    '{"type": "ping", "timestamp": 5}',
    '{"type": "hang_up", "message": 5}',
    "{" * 5_000,
    json.dumps({"type": "user_text_message", "text": "x" * 20_000, "urgency": "later"}),
)
MOST_S = 200.0
"""After the script; by then every call is at rest."""

PACKET_EVERY_S = 1.0
"""Once the caller is done: virtual time, in which nothing is waited for."""

BROKEN = {
    "engine_broke",
    "engine_failed",
    "engine_works_again",
}


class ToolUser(UnluckyModel):
    """Wants tools now and then, with and without words."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__(dice)
        self._replies_of = dice
        self._script = self._write

    def _write(self, prompt: Prompt) -> str:
        dice = self._replies_of
        words = dice.choice(["", "I have heard it, and here is a sentence. And one more of them. ", "Yes. "])
        name = dice.choice(["look", "ahead", "long", "nothing"])
        arguments = dice.choice(["{}", '{"a": 1}', ""])
        wants = dice.choice(["", "", f"[[tool {name} {arguments}]]"])
        return (words + wants).strip() or "Well."


@dataclass
class Rude:
    """A client that sends what it likes, and answers tools as it likes."""

    dice: random.Random
    script: Script
    state: str = ""
    """What the agent was doing when all had come to rest; "" where the client left before."""

    async def __call__(self, client: ReferenceMedium) -> None:
        sides = [asyncio.create_task(self._answer(client)), asyncio.create_task(self._interfere(client))]
        await self.script.play(client)
        if self.script.leaves_at > 60:
            for _ in range(round(MOST_S / PACKET_EVERY_S)):
                client._incoming.put_nowait(Audio(bytes(32 * client.input_rate // 1000 * 2)))
                await asyncio.sleep(PACKET_EVERY_S)
            states = client.messages("state")
            self.state = states[-1]["state"] if states else "idle"
        for task in sides:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self.dice.random() < 0.3:
            client._incoming.put_nowait(Left(1006, clean=False))

    async def _interfere(self, client: ReferenceMedium) -> None:
        for _ in range(self.dice.randrange(30)):
            await asyncio.sleep(self.dice.choice([0.0, 0.3, 2.0]))
            if self.dice.random() < 0.3:
                size = self.dice.choice([0, 1, 3, 319, 640, 32_000])
                client._incoming.put_nowait(Audio(bytes(size)))
            else:
                client.say(self.dice.choice(GARBAGE))

    async def _answer(self, client: ReferenceMedium) -> None:
        seen = 0
        async with asyncio.TaskGroup() as answers:
            while True:
                await asyncio.sleep(0.05)
                asked = client.messages("client_tool_invocation")
                for message in asked[seen:]:
                    answers.create_task(self._result(client, message))
                seen = len(asked)

    async def _result(self, client: ReferenceMedium, asked: dict[str, Any]) -> None:
        dice = self.dice
        result: dict[str, Any] = {"type": "client_tool_result", "invocationId": asked["invocationId"]}
        result |= dice.choice(
            [
                {"result": "fine"},
                {"result": {"odd": True}},
                {"errorType": "implementation-error", "errorMessage": "broken"},
                {"result": "fine", "agentReaction": "listens"},
                {"result": "{", "responseType": "new-stage"},
                {"result": "{}", "responseType": "send-to-thread"},
                {"result": 5, "agentReaction": "dances"},
            ]
        )
        await asyncio.sleep(dice.choice([0.0, 0.2, 1.0, 4.0]))
        for _ in range(dice.choice([0, 1, 1, 1, 2])):
            client.say(json.dumps(result))


@dataclass
class ToolConversation(Conversation):
    """With tools that the client carries out."""

    def start(self) -> Session:
        selected = parse_call_request({"selectedTools": list(TOOLS)}).selected_tools
        chosen = select([to_selected(item) for item in selected], lambda *_: None)
        settings = replace(self.settings, output_rate=self.client.output_rate, tools=tuple(one.spec for one in chosen))
        self.session = Session(
            settings,
            self.engines,
            self.client,
            SessionParts(self.record, WEBSOCKET_DEFAULTS, CallTools(chosen, HttpCaller(), asyncio.ensure_future)),
            self.pacer,
        )
        return self.session


def check_record(scene: Conversation) -> None:
    """What is on record: one message a place, each tool with its result, and what the client was told."""
    kept = scene.record.kept
    assert len({message.ordinal for message in kept}) == len(kept)
    halves = [(one.request.invocation, one.role) for one in kept if isinstance(one, ToolMessage)]
    assert len(halves) == len(set(halves))
    calls = {invocation for invocation, role in halves if role is ToolRole.CALL}
    assert calls == {invocation for invocation, role in halves if role is ToolRole.RESULT}
    told = {m["ordinal"]: m["text"] for m in scene.client.messages("transcript") if m["final"] and m["text"]}
    assert {one.ordinal: one.text for one in kept if isinstance(one, SpokenMessage)} == told
    asked = [message["invocationId"] for message in scene.client.messages("client_tool_invocation")]
    assert len(asked) == len(set(asked))
    assert [event.extras for event in scene.record.noted if event.type == "stuck"] == []


@pytest.mark.parametrize("seed", range(60))
def test_a_session_outlives_any_client_and_any_engine(seed: int) -> None:
    dice = random.Random(seed)
    script = Script(dice)
    rude = Rude(dice, script)
    good = dice.random() < 0.4
    settings = CallSettings(
        "call",
        RATE,
        first_speaker=FirstSpeaker(dice.random() < 0.5, dice.choice([None, Greeting(), Greeting("Welcome to it.")])),
        modality=dice.choice([Modality.VOICE, Modality.VOICE, Modality.TEXT]),
        inactivity=dice.choice([(), (TimedMessage(6.0, "Are you there?"), TimedMessage(6.0, "Hello?"))]),
    )
    scene = ToolConversation(
        settings, ReferenceMedium(client_buffer_ms=dice.choice([0, 60, 500, 30_000]))
    ).with_engines(
        transcriber=ByLoudness(dice) if good else UnluckyTranscriber(dice),
        model=ScriptedLanguageModel(lambda text: f"I heard {text}.") if good else ToolUser(dice),
        speaker=UnluckySpeaker(dice),
        end_of_turn=UnluckyEndOfTurn(dice),
    )
    with capture_logs() as logs:
        scene.run(rude)
    assert scene.end is not None
    assert scene.end.reason in ("hangup", "system_error", "agent_hangup", "connection_error")
    if scene.end.reason == "system_error":
        assert scene.end.text == "the agent cannot answer"
        assert any(event.severity is Severity.ERROR for event in scene.record.noted)
    elif rude.state:
        assert rude.state == "listening", "nothing has gone on for minutes"
    assert scene.client.closed is not None
    check_record(scene)
    check_wire(scene.client)
    assert {line["event"] for line in logs} <= BROKEN
