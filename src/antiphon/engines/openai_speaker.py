"""Any voice behind an OpenAI-compatible ``/v1/audio/speech``."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np

from antiphon.engines.openai_client import Connection
from antiphon.engines.protocols import Samples
from antiphon.engines.settings import OpenAIVoiceSettings

_NOT_SOUND = ("application/json", "text/")


class OpenAISpeaker:
    """Streams speech as the server makes it: ``response_format`` ``pcm``, which is s16le mono."""

    def __init__(self, settings: OpenAIVoiceSettings) -> None:
        self.sample_rate = settings.sample_rate
        self._settings = settings
        self._connection = Connection(settings, "speech")

    async def speak(self, text: str) -> AsyncIterator[Samples]:
        """Stream ``text`` as samples. Closing the iterator closes the connection."""
        if not text.strip():
            return
        with self._connection.failures():
            async with self._connection.client.audio.speech.with_streaming_response.create(
                model=self._settings.model, voice=self._settings.voice, input=text, response_format="pcm"
            ) as response:
                if response.headers.get("content-type", "").startswith(_NOT_SOUND):
                    raise self._connection.failure("answered with text where sound was asked for", retryable=False)
                odd, heard = b"", False
                async for data in response.iter_bytes():
                    data = odd + data
                    if not heard and data.startswith(b"RIFF"):
                        raise self._connection.failure("answered with WAV where raw PCM was asked for", retryable=False)
                    whole = len(data) & ~1
                    odd = data[whole:]
                    if whole:
                        heard = True
                        yield np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)
        if not heard:
            raise self._connection.failure("answered without any sound")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connection.aclose()
