"""Engines for OpenAI-compatible servers, and a real server on a real socket for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from antiphon.engines.openai_model import OpenAIModel
from antiphon.engines.openai_speaker import OpenAISpeaker
from antiphon.engines.openai_transcriber import OpenAITranscriber
from antiphon.engines.settings import OpenAIModelSettings, OpenAITranscriberSettings, OpenAIVoiceSettings
from tests.engines.openai_parts import settings
from tests.support.openai_server import OpenAIServer


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
async def model(server: OpenAIServer) -> AsyncIterator[OpenAIModel]:
    engine = OpenAIModel(OpenAIModelSettings(**settings(server)))
    yield engine
    await engine.aclose()


@pytest.fixture
async def speaker(server: OpenAIServer) -> AsyncIterator[OpenAISpeaker]:
    engine = OpenAISpeaker(OpenAIVoiceSettings(**settings(server, voice="alloy")))
    yield engine
    await engine.aclose()


@pytest.fixture
async def transcriber(server: OpenAIServer) -> AsyncIterator[OpenAITranscriber]:
    engine = OpenAITranscriber(OpenAITranscriberSettings(**settings(server)))
    yield engine
    await engine.aclose()
