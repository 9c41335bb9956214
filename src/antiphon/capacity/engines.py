"""What the engines of a call cost, each by itself, doing what it does in a turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.capacity.parts import REPLY, TRANSCRIPTIONS_A_TURN, TURN_S, Part
from antiphon.engines.protocols import (
    ACTIVITY_FRAME,
    LISTENING_RATE,
    EndOfTurn,
    LanguageModel,
    Samples,
    Speaker,
    TextDelta,
    Transcriber,
    VoiceActivity,
)

STREAMS = 20
"""Calls whose voice activity is judged at once."""

AT_ONCE = 5
"""Of those, how many have their frames come at about the same time."""

ELSEWHERE = frozenset({"openai"})
"""Kinds of engines that ask another server."""

ACTIVITY_S = 4.0
TURNS = 3
"""Turns that each of the other engines is measured over, after one to warm up."""

SYSTEM = (
    "You are the assistant of a small shop for bicycles. You answer questions about opening hours, repairs, orders "
    "and prices in one or two short spoken sentences, without lists or symbols, and ask back where it is unclear."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One piece of work: its processor time, and how long it took until its first and last result."""

    processor_s: float
    first_s: float
    whole_s: float


async def measure(
    work: Callable[[], AsyncIterator[object]],
    times: int = TURNS,
    processor_s: Callable[[], float] = time.process_time,
) -> Measured:
    """The mean of ``times`` pieces of work, after one that does not count."""
    totals = np.zeros(3)
    for round_ in range(times + 1):
        began, processor = time.monotonic(), processor_s()
        first: float | None = None
        async with aclosing(cast(Any, work())) as results:
            async for _ in results:
                first = first if first is not None else time.monotonic() - began
        if round_:
            whole = time.monotonic() - began
            totals += (processor_s() - processor, whole if first is None else first, whole)
    return Measured(*(float(total) for total in totals / times))


async def voice_activity(engine: VoiceActivity, name: str, speech: Samples) -> Part:
    """Frames of many calls, in real time, some at a time."""
    scored = 0
    done = asyncio.Event()
    frames = int(ACTIVITY_S * LISTENING_RATE / ACTIVITY_FRAME)

    def took(_score: float) -> None:
        nonlocal scored
        scored += 1
        if scored == frames * STREAMS:
            done.set()

    streams = [engine.open(took) for _ in range(STREAMS)]
    looped = np.resize(speech, frames * ACTIVITY_FRAME)
    loop = asyncio.get_running_loop()
    frame_s = ACTIVITY_FRAME / LISTENING_RATE
    processor, began = time.process_time(), loop.time()
    for number in range(frames):
        for place in range(0, STREAMS, AT_ONCE):
            due = began + (number + place / STREAMS) * frame_s
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            for stream in streams[place : place + AT_ONCE]:
                stream.push(looped[number * ACTIVITY_FRAME : (number + 1) * ACTIVITY_FRAME])
    await done.wait()
    cost = (time.process_time() - processor) / (ACTIVITY_S * STREAMS)
    for stream in streams:
        stream.close()
    return Part("voice activity", name, cost)


async def end_of_turn(engine: EndOfTurn, name: str, speech: Samples) -> Part:
    """An opinion for each pause."""
    found = await measure(lambda: _once(engine.completeness(speech)))
    return Part("end of turn", name, found.processor_s * TRANSCRIPTIONS_A_TURN / TURN_S, answer_s=found.whole_s)


async def transcriber(engine: Transcriber, name: str, speech: Samples) -> Part:
    """An utterance, as it comes; asked for its words at its end."""

    async def transcribe() -> str:
        transcription = engine.open("en")
        for start in range(0, len(speech) - ACTIVITY_FRAME, ACTIVITY_FRAME):
            transcription.feed(speech[start : start + ACTIVITY_FRAME], 0.9)
        try:
            return await transcription.text()
        finally:
            transcription.close()

    found = await measure(lambda: _once(transcribe()))
    cost = found.processor_s * TRANSCRIPTIONS_A_TURN / TURN_S
    return Part("transcriber", name, cost, answer_s=found.whole_s, elsewhere=name in ELSEWHERE)


async def language_model(
    engine: LanguageModel, name: str, speech: Samples, children_s: Callable[[], float] = lambda: 0.0
) -> Part:
    """A reply, in a conversation that grows; only its last turn is new to the model.

    ``children_s``: tells the processor time of child processes that the engine computes in.
    """
    said: list[ChatMessage] = []

    async def reply() -> AsyncIterator[object]:
        said.append(ChatMessage("user", f"And what is it on day number {len(said) + 1}? Please tell me."))
        prompt = Prompt("capacity", SYSTEM, tuple(said))
        words = ""
        async for item in engine.generate(prompt, speech if engine.audio_input else None):
            if isinstance(item, TextDelta):
                words += item.text
                yield item
            if len(words) >= len(REPLY):
                break  # every model is measured by a reply of the same length
        said.append(ChatMessage("assistant", words or REPLY))

    found = await measure(reply, processor_s=lambda: time.process_time() + children_s())
    cost = found.processor_s / TURN_S
    return Part("language model", name, cost, answer_s=found.first_s, elsewhere=name in ELSEWHERE)


async def speaker(engine: Speaker, name: str) -> Part:
    """A reply's words made into sound."""
    found = await measure(lambda: engine.speak(REPLY))
    cost = found.processor_s / TURN_S
    return Part("voice", name, cost, answer_s=found.first_s, elsewhere=name in ELSEWHERE)


async def _once(work: Awaitable[object]) -> AsyncIterator[object]:
    yield await work
