"""What the tests of the engines for OpenAI-compatible servers share."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.engines.openai_model import OpenAIModel
from antiphon.engines.openai_speaker import OpenAISpeaker
from antiphon.engines.openai_transcriber import OpenAITranscriber
from antiphon.engines.protocols import Alive, Generated, Samples
from antiphon.errors import EngineError
from tests.support.openai_server import OpenAIServer

KEY = "sk-do-not-tell"
PROMPT = Prompt("call-1", "Be brief.", (ChatMessage("user", "Hello?"),), temperature=0.3)
FRAME = np.arange(512, dtype=np.int16)


def settings(server: OpenAIServer, **more: Any) -> dict[str, Any]:
    return {
        "engine": "openai",
        "base_url": server.base_url,
        "model": "some-model",
        "api_key": SecretStr(KEY),
        "timeout_s": 5.0,
        **more,
    }


async def generated(model: OpenAIModel, prompt: Prompt = PROMPT, audio: Samples | None = None) -> list[Generated]:
    """All that came but mere signs of life."""
    return [item async for item in model.generate(prompt, audio) if item != Alive()]


async def spoken(speaker: OpenAISpeaker, text: str = "Good morning.") -> list[Samples]:
    return [samples async for samples in speaker.speak(text)]


async def transcribed(transcriber: OpenAITranscriber) -> str:
    transcription = transcriber.open("en-US")
    transcription.feed(FRAME, 0.9)
    return await transcription.text()


def silent(error: pytest.ExceptionInfo[EngineError]) -> bool:
    """Nothing secret and nobody's words in the error, nor in what it came from."""
    text = f"{error.value!r} {error.value.__suppress_context__}"
    return KEY not in text and "Hello?" not in text


def sound_of(file: bytes) -> Samples:
    with wave.open(io.BytesIO(file)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, 16_000)
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2").astype(np.int16)
