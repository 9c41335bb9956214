"""The demo's conversation: four recorded sentences, the third of which interrupts the agent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise, takewhile
from typing import Any

from antiphon.client.caller import Caller, join
from antiphon.client.conversation import answered
from antiphon.client.live import Live
from antiphon.client.turns import Turn, turns
from antiphon.client.voice import Voice
from antiphon.client.wav import Samples, read_wav

INPUT_RATE = 16_000
OUTPUT_RATE = 24_000
INTERRUPT_AFTER_S = 2.5
"""How much of the story the caller listens to."""

CALL: dict[str, Any] = {
    "systemPrompt": (
        "You are Mark, a friendly voice assistant. Answer in one short spoken sentence, in plain words, without lists "
        "or symbols. When you are asked for a story, tell it in five sentences."
    ),
    "temperature": 0,
    "firstSpeakerSettings": {"agent": {"text": "Hello, this is Mark. What would you like to know?"}},
    "recordingEnabled": True,
    "medium": {
        "serverWebSocket": {
            "inputSampleRate": INPUT_RATE,
            "outputSampleRate": OUTPUT_RATE,
            "dataMessages": {"callEvent": True},
        }
    },
}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing the caller says. ``interrupting``: while the agent is still speaking."""

    clip: str
    interrupting: bool = False


SCENE = (Line("capital"), Line("story"), Line("sum", interrupting=True), Line("day"))


@dataclass(frozen=True, slots=True)
class Played:
    """How the conversation went: its turns and what was heard of each side, from the join on.

    ``replies`` is the agent's sound by reply, the greeting first: one more than there are turns.
    """

    turns: tuple[Turn, ...]
    greeting: str
    caller: Samples
    agent: Samples
    replies: tuple[Samples, ...]


def clip(name: str) -> Samples:
    """One of the recorded sentences, at ``INPUT_RATE``."""
    with resources.as_file(resources.files("antiphon.demo") / f"{name}.wav") as path:
        return read_wav(path).samples


async def play(url: str, live: Live) -> Played:
    """Join the call at ``url`` and go through the scene. Raises :class:`~antiphon.errors.CallEnded`."""
    voice = Voice(INPUT_RATE)
    async with join(url, voice, input_rate=INPUT_RATE, output_rate=OUTPUT_RATE, on_message=live.show) as caller:
        await answered(caller, 0.0)
        for line, following in zip(SCENE, [*SCENE[1:], None], strict=True):
            utterance = await caller.say(clip(line.clip))
            if following is not None and following.interrupting:
                await _listen_a_while(caller, utterance.ended_s)
            else:
                await answered(caller, utterance.ended_s)
        live.end()
        ended_s = caller.now
    found = turns(caller.utterances, caller.received, caller.chunks)
    starts = [0.0, *(turn.utterance.ended_s + (turn.audio_s or 0.0) for turn in found), ended_s]
    heard = [caller.playback.heard(start, end) for start, end in pairwise(starts)]
    return Played(tuple(found), _greeting(caller), voice.said(), caller.playback.heard(0.0, ended_s), tuple(heard))


async def _listen_a_while(caller: Caller, since_s: float) -> None:
    """Return when ``INTERRUPT_AFTER_S`` of the answer have been heard."""
    speaking = await caller.until_message(
        lambda message: message.type == "state" and message.body.get("state") == "speaking",
        after_s=since_s,
        timeout_s=60,
    )
    await asyncio.sleep(max(0.0, speaking.at + INTERRUPT_AFTER_S - caller.now))


def _greeting(caller: Caller) -> str:
    """What the agent said before it first understood the caller."""
    finals = [m.body for m in caller.received if m.type == "transcript" and m.body.get("final")]
    before = takewhile(lambda body: body.get("role") == "agent", finals)
    return " ".join(str(body.get("text", "")) for body in before)
