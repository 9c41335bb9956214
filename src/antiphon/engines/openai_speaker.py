"""Any voice behind an OpenAI-compatible ``/v1/audio/speech``."""

from __future__ import annotations

from collections.abc import AsyncIterator

from antiphon.audio.pcm import samples_from_bytes
from antiphon.engines.openai_client import LONGEST_REFUSAL, Connection
from antiphon.engines.protocols import Samples
from antiphon.engines.settings import OpenAIVoiceSettings
from antiphon.engines.tuning import Tuning, check_speed

_NOT_SOUND = ("application/json", "text/")


class OpenAISpeaker:
    """Streams speech as the server makes it: ``response_format`` ``pcm``, which is s16le mono."""

    speeds = (0.25, 4.0)
    takes_fields = True

    def __init__(
        self, settings: OpenAIVoiceSettings, tuning: Tuning | None = None, connection: Connection | None = None
    ) -> None:
        self.sample_rate = settings.sample_rate
        self._settings = settings
        self._connection = connection or Connection(settings, "speech")
        tuning = tuning or Tuning()
        check_speed(tuning.speed, self.speeds)
        self._fields = dict(tuning.fields)
        if tuning.speed is not None:
            self._fields["speed"] = tuning.speed
        if settings.language_field is not None and tuning.language:
            self._fields.setdefault(settings.language_field, tuning.language)

    def tuned(self, tuning: Tuning) -> OpenAISpeaker:
        """The same voice through the same connections, with what the call adds to each request."""
        return OpenAISpeaker(self._settings, tuning, self._connection)

    async def speak(self, text: str) -> AsyncIterator[Samples]:
        """Stream ``text`` as samples. Closing the iterator closes the connection."""
        if not text.strip():
            return
        with self._connection.failures(lambda: (text,)):
            body = {
                "model": self._settings.model,
                "voice": self._settings.voice,
                "input": text,
                "response_format": "pcm",
                **self._fields,
            }
            async with self._connection.post("audio/speech", json=body) as response:
                if response.headers.get("content-type", "").startswith(_NOT_SOUND):
                    said = (await response.content.read(LONGEST_REFUSAL)).decode(errors="replace")
                    told = self._connection.why(said, (text,))
                    raise self._connection.failure(
                        f"answered with text where sound was asked for{told}", retryable=False
                    )
                odd, heard = b"", False
                async for data in response.content.iter_any():
                    data = odd + data
                    if not heard and data.startswith(b"RIFF"):
                        raise self._connection.failure("answered with WAV where raw PCM was asked for", retryable=False)
                    whole = len(data) & ~1
                    odd = data[whole:]
                    if whole:
                        heard = True
                        yield samples_from_bytes(data[:whole])
        if not heard:
            raise self._connection.failure("answered without any sound")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connection.aclose()
