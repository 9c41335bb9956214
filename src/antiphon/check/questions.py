"""One real question for each kind of engine. Each returns what was answered, for people, or raises ``EngineError``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import cast

import numpy as np

from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.engines.protocols import (
    ACTIVITY_FRAME,
    LISTENING_RATE,
    EndOfTurn,
    LanguageModel,
    Samples,
    Speaker,
    TextDelta,
    ToolCall,
    Transcriber,
    VoiceActivity,
)
from antiphon.errors import EngineError

SYSTEM = "You are on the telephone. Answer in one short sentence."
QUESTION = "What is the capital of France?"
SPOKEN = "Hello."
OUTPUT_TOKENS = 40
SPEECH = 0.5
"""Probability that a frame of real speech has to have at least once."""

PAUSE_S = 0.3
_SHOWN = 60


async def hear(engine: Transcriber, speech: Samples) -> str:
    """The words of a recorded sentence."""
    transcription = engine.open("en")
    try:
        for frame in _frames(speech):
            transcription.feed(frame, 0.9)
        text = await transcription.text()
    finally:
        transcription.close()
    if not text.strip():
        raise EngineError("heard no words in a recorded sentence")
    return f"heard {_quoted(text)}"


async def detect(engine: VoiceActivity, speech: Samples) -> str:
    """How much it takes a recorded sentence, and silence, for speech."""
    loud, quiet = await _scores(engine, speech), await _scores(engine, np.zeros(LISTENING_RATE // 2, np.int16))
    if max(loud) < SPEECH:
        raise EngineError(f"took a recorded sentence for noise: {max(loud):.2f} at most that it is speech")
    return f"speech {max(loud):.2f}, silence {quiet[-1]:.2f}"


async def judge(engine: EndOfTurn, speech: Samples) -> str:
    """Whether a recorded sentence is complete."""
    pause = np.zeros(int(PAUSE_S * LISTENING_RATE), np.int16)
    completeness = await engine.completeness(np.concatenate([speech, pause]))
    return f"{completeness:.2f} that the sentence is complete"


async def think(engine: LanguageModel, speech: Samples) -> str:
    """An answer to a short question, heard by a model that hears."""
    text, tools = "", 0
    prompt = Prompt("check", SYSTEM, (ChatMessage("user", QUESTION),), output_tokens=OUTPUT_TOKENS)
    audio = speech if engine.audio_input else None
    if audio is not None:
        prompt = Prompt("check", SYSTEM, (), output_tokens=OUTPUT_TOKENS)
    async with aclosing(cast("AsyncGenerator[object]", engine.generate(prompt, audio))) as generated:
        async for item in generated:
            text += item.text if isinstance(item, TextDelta) else ""
            tools += isinstance(item, ToolCall)
    if not text.strip():
        raise EngineError("wanted to use a tool that it was not given" if tools else "wrote nothing")
    return f"wrote {_quoted(text)}"


async def speak(engine: Speaker) -> str:
    """How long one word takes to say."""
    count, loudest = 0, 0
    async with aclosing(cast("AsyncGenerator[Samples]", engine.speak(SPOKEN))) as sound:
        async for samples in sound:
            count += len(samples)
            loudest = max(loudest, int(np.abs(samples.astype(np.int32)).max()) if len(samples) else 0)
    if not loudest:
        raise EngineError("made no sound" if not count else "made a silent sound")
    return f"spoke {_quoted(SPOKEN)} in {count / engine.sample_rate:.2f} s of sound"


async def _scores(engine: VoiceActivity, samples: Samples) -> list[float]:
    frames, scores, done = list(_frames(samples)), list[float](), asyncio.Event()

    def took(score: float) -> None:
        scores.append(score)
        if len(scores) == len(frames):
            done.set()

    stream = engine.open(took)
    try:
        for frame in frames:
            stream.push(frame)
        await done.wait()
    finally:
        stream.close()
    return scores


def _frames(samples: Samples) -> Iterator[Samples]:
    for start in range(0, len(samples) - ACTIVITY_FRAME + 1, ACTIVITY_FRAME):
        yield samples[start : start + ACTIVITY_FRAME]


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line if len(line) <= _SHOWN else line[: _SHOWN - 1] + '…'}”"
