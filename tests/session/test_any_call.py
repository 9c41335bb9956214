"""Any caller, any engines: conversations by dice, and what must hold of each.

Every utterance has a loudness of its own and the transcriber reads it off the samples, so that a turn which is
lost, doubled or mixed up with another shows.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np
import pytest
from structlog.testing import capture_logs

from antiphon.call.messages import Role
from antiphon.call.prompt import Prompt
from antiphon.call.settings import CallSettings, FirstSpeaker, Greeting, VadSettings
from antiphon.engines.protocols import Generated, Samples
from antiphon.engines.scripted import ScriptedEndOfTurn, ScriptedLanguageModel, ScriptedSpeaker, ScriptedTranscriber
from antiphon.errors import EngineError
from antiphon.media.protocol import Audio
from antiphon.testing.conversation import Conversation
from antiphon.testing.reference_medium import ReferenceMedium

FRAME_S = 0.02
LOUDNESS = 1_000
LENGTH_S = 40.0
QUIET_S = 25.0


def said(samples: Samples) -> str:
    """The utterances in ``samples``, by their loudness. Every fourth is a noise without words."""
    levels = sorted({round(int(level) / LOUDNESS) for level in np.unique(samples) if level})
    return " ".join(f"u{level}" for level in levels if not is_noise(level))


def is_noise(level: int) -> bool:
    return level % 4 == 0


class ByLoudness(ScriptedTranscriber):
    def __init__(self, dice: random.Random) -> None:
        super().__init__(said)
        self._dice = dice

    async def transcribe(self, utterance: object) -> str:
        self._delay_s = self._dice.choice([0.0, 0.1, 0.4, 1.5])
        return await super().transcribe(utterance)  # type: ignore[arg-type]


class Luck:
    """Fails now and then, or does not answer at all."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    async def try_it(self) -> None:
        match self._dice.randrange(12):
            case 0:
                raise EngineError("out of luck")
            case 1:
                raise ValueError("a bug")
            case 2:
                await asyncio.Event().wait()


class UnluckyTranscriber(ByLoudness):
    async def transcribe(self, utterance: object) -> str:
        await Luck(self._dice).try_it()
        return await super().transcribe(utterance)


class UnluckyModel(ScriptedLanguageModel):
    def __init__(self, dice: random.Random) -> None:
        super().__init__(lambda text: f"I heard {text}, and here is a sentence. And one more of them.")
        self._luck = Luck(dice)

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        async with aclosing(cast("AsyncGenerator[Generated, None]", super().generate(prompt, audio))) as items:
            async for number, item in enumerated(items):
                if number % 5 == 0:
                    await self._luck.try_it()
                yield item

    async def prime(self, prompt: Prompt) -> None:
        await self._luck.try_it()


class UnluckySpeaker(ScriptedSpeaker):
    def __init__(self, dice: random.Random) -> None:
        super().__init__(speed_factor=dice.choice([0.0, 2.0]))
        self._luck = Luck(dice)

    async def speak(self, text: str) -> AsyncIterator[Samples]:
        async with aclosing(cast("AsyncGenerator[Samples, None]", super().speak(text))) as pieces:
            async for number, samples in enumerated(pieces):
                if number % 4 == 0:
                    await self._luck.try_it()
                yield samples


class UnluckyEndOfTurn(ScriptedEndOfTurn):
    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._luck = Luck(dice)

    async def completeness(self, audio: Samples) -> float:
        await self._luck.try_it()
        return 0.9


T = TypeVar("T")


async def enumerated(items: AsyncIterator[T]) -> AsyncIterator[tuple[int, T]]:
    number = 0
    async for item in items:
        yield number, item
        number += 1


@dataclass
class Script:
    """What one caller does, and when: utterances with their loudness, data messages."""

    dice: random.Random
    speech: list[tuple[float, float, int]] = field(default_factory=list)
    messages: list[tuple[float, dict[str, object]]] = field(default_factory=list)
    leaves_at: float = LENGTH_S + QUIET_S

    def __post_init__(self) -> None:
        at, level = self.dice.uniform(0.1, 3.0), 0
        while at < LENGTH_S and level < 25:
            level += 1
            end = at + self.dice.choice([0.2, 0.4, 1.0, 2.5])
            self.speech.append((at, end, level))
            at = end + self.dice.choice([0.5, 0.6, 0.9, 1.5, 3.0, 6.0])
        for number in range(self.dice.randrange(5)):
            self.messages.append((self.dice.uniform(0, LENGTH_S), self._message(number)))
        self.messages.sort(key=lambda item: item[0])
        if self.dice.random() < 0.4:
            self.leaves_at = self.dice.uniform(1.0, LENGTH_S)
            self.speech = [spoken for spoken in self.speech if spoken[0] + 0.1 < self.leaves_at]
            self.messages = [message for message in self.messages if message[0] + 0.1 < self.leaves_at]

    def _message(self, number: int) -> dict[str, object]:
        match self.dice.randrange(4):
            case 0 | 1:
                urgency = self.dice.choice(["immediate", "soon", "later"])
                return {"type": "user_text_message", "text": f"t{number}", "urgency": urgency}
            case 2:
                return {
                    "type": "forced_agent_message",
                    "content": f"Forced {number}.",
                    "urgency": self.dice.choice(["immediate", "soon"]),
                    "uninterruptible": self.dice.random() < 0.5,
                }
            case _:
                return {"type": "user_text_message", "text": "", "urgency": "immediate"}

    async def play(self, client: ReferenceMedium) -> None:
        size = int(FRAME_S * client.input_rate)
        begun, messages = client.now, list(self.messages)
        for frame in range(round(self.leaves_at / FRAME_S)):
            at = frame * FRAME_S
            while messages and messages[0][0] <= at:
                client.say(json.dumps(messages.pop(0)[1]))
            level = next((level for begin, end, level in self.speech if begin <= at < end), 0)
            client._incoming.put_nowait(Audio(np.full(size, level * LOUDNESS, "<i2").tobytes()))
            await asyncio.sleep(max(0.0, begun + (frame + 1) * FRAME_S - client.now))


def check_wire(client: ReferenceMedium) -> None:
    state, speaking, final_due, shown = "idle", False, False, ""
    assert (client.received[0].message or {})["type"] == "call_started"
    for sent in client.received:
        if sent.audio is not None:
            assert speaking, "audio belongs to a reply, and ends before its final transcript"
            continue
        message = sent.message or {}
        match message["type"]:
            case "state":
                assert message["state"] != state
                assert not final_due, "the final transcript comes before the state changes"
                state = message["state"]
                speaking = final_due = state == "speaking"
                shown = ""
            case "playback_clear_buffer":
                assert state == "speaking"
                speaking = False
            case "transcript" if message["role"] == "agent":
                if message["final"]:
                    assert (message["text"] or "").startswith(shown.strip())
                    speaking = final_due = False
                else:
                    assert final_due
                    shown += message["delta"]


def check_words(scene: Conversation, script: Script) -> None:
    kept = scene.record.kept
    words = [word for message in kept if message.role is Role.USER for word in message.text.split()]
    guarded_s = scene.settings.vad.minimum_interruption_s
    for begin, end, level in script.speech:
        ignored = end - begin < guarded_s  # said over the agent, too short to interrupt
        wanted = (0,) if is_noise(level) else (0, 1) if ignored else (1,)
        assert words.count(f"u{level}") in wanted, f"u{level} is on record once"
    for _, message in script.messages:
        if message["type"] == "user_text_message" and message["text"]:
            assert words.count(str(message["text"])) == 1
    forced = [m["content"] for _, m in script.messages if m["type"] == "forced_agent_message" and m["uninterruptible"]]
    spoken = [message.text for message in kept if message.role is Role.AGENT]
    if script.leaves_at > LENGTH_S:
        assert [text for text in forced if text not in spoken] == []


def check_answers(scene: Conversation, script: Script) -> None:
    """The last thing said is the agent's, unless it was cut off, or nothing asks for an answer."""
    last = max((message for message in scene.record.kept), key=lambda message: message.ordinal)
    written = {m["text"] for _, m in script.messages if m.get("urgency") == "later"}
    silenced = any(m["type"] == "user_text_message" and not m["text"] for _, m in script.messages)
    assert last.role is Role.AGENT or last.text in written or silenced
    replies = [message for message in scene.record.kept if message.role is Role.AGENT]
    asked = len(script.speech) + len(script.messages) + 1
    assert len(replies) <= asked, "nothing is answered twice"


@pytest.mark.parametrize("seed", range(12))
def test_any_call(seed: int) -> None:
    dice = random.Random(seed)
    script = Script(dice)
    greeting = dice.choice([None, Greeting("Welcome to the house.", uninterruptible=dice.random() < 0.5), Greeting()])
    settings = CallSettings(
        "call",
        24_000,
        first_speaker=FirstSpeaker(dice.random() < 0.5, greeting),
        vad=VadSettings(
            turn_endpoint_delay_s=dice.choice([0.384, 0.2]), minimum_interruption_s=dice.choice([0.09, 0.09, 0.5])
        ),
        speech_model=dice.random() < 0.3,
    )
    scene = Conversation(settings, ReferenceMedium(client_buffer_ms=dice.choice([0, 60, 500, 30_000]))).with_engines(
        transcriber=ByLoudness(dice),
        model=ScriptedLanguageModel(
            lambda text: f"I heard {text}, and here is a sentence. And one more of them.",
            first_token_delay_s=dice.choice([0.0, 0.3, 1.5]),
            token_delay_s=dice.choice([0.0, 0.05]),
            audio_input=settings.speech_model,
        ),
        speaker=ScriptedSpeaker(
            first_chunk_delay_s=dice.choice([0.0, 0.2]), speed_factor=dice.choice([0.0, 2.0, 0.8]), character_ms=60
        ),
        end_of_turn=ScriptedEndOfTurn(
            [dice.choice([0.9, 0.9, 0.2]) for _ in range(40)], delay_s=dice.choice([0.0, 0.1, 0.5])
        ),
    )
    scene.run(script.play)
    assert scene.end is not None
    assert scene.end.reason == "hangup"
    check_wire(scene.client)
    check_words(scene, script)
    if script.leaves_at > LENGTH_S:
        check_answers(scene, script)


@pytest.mark.parametrize("seed", range(8))
def test_any_call_with_engines_that_fail_now_and_then(seed: int) -> None:
    """It ends by the caller's leave or is given up; nothing is stuck, nothing is left, what is on the wire is right."""
    dice = random.Random(seed)
    script = Script(dice)
    settings = CallSettings("call", 24_000, first_speaker=FirstSpeaker(dice.random() < 0.5, Greeting()))
    scene = Conversation(settings).with_engines(
        transcriber=UnluckyTranscriber(dice),
        model=UnluckyModel(dice),
        speaker=UnluckySpeaker(dice),
        end_of_turn=UnluckyEndOfTurn(dice),
    )
    with capture_logs() as logs:
        scene.run(script.play)
    assert scene.end is not None
    assert scene.end.reason in ("hangup", "system_error")
    if scene.end.reason == "system_error":
        assert scene.end.text == "the agent cannot answer"
    check_wire(scene.client)
    words = [word for message in scene.record.kept if message.role is Role.USER for word in message.text.split()]
    assert len(words) == len(set(words))
    assert {line["event"] for line in logs} <= {
        "engine_broke",
        "engine_failed",
        "engine_works_again",
    }
