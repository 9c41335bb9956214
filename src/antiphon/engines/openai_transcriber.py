"""Any speech recognition behind an OpenAI-compatible ``/v1/audio/transcriptions``."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import wave
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from antiphon.audio.pcm import bytes_from_samples
from antiphon.engines.openai_client import Connection, Refused
from antiphon.engines.protocols import LISTENING_RATE, Samples
from antiphon.engines.settings import OpenAITranscriberSettings

_SPEECH = 0.1
"""Probability from which a frame may be speech: protocol.md's default ``frameActivationThreshold``."""


def wav(samples: Samples) -> bytes:
    """A WAV file of 16 kHz mono ``samples``."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(LISTENING_RATE)
        writer.writeframes(bytes_from_samples(samples))
    return file.getvalue()


def _form(file: bytes, fields: Mapping[str, str]) -> tuple[bytes, str]:
    """An utterance and what goes with it as ``multipart/form-data`` (RFC 7578), and its content type.

    In one piece: aiohttp's own form writes some twenty small ones, at twice the cost of the whole request.
    """
    boundary = secrets.token_hex(16)
    disposition = f"--{boundary}\r\nContent-Disposition: form-data; name="
    head = f'{disposition}"file"; filename="utterance.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    parts = [f'\r\n{disposition}"{name}"\r\n\r\n{value}' for name, value in fields.items()]
    tail = f"{''.join(parts)}\r\n--{boundary}--\r\n"
    return b"".join((head.encode(), file, tail.encode())), f"multipart/form-data; boundary={boundary}"


class OpenAITranscriber:
    """Posts an utterance whole, as often as its words are asked for after more speech."""

    def __init__(self, settings: OpenAITranscriberSettings) -> None:
        self._model = settings.model
        self._connection = Connection(settings, "transcription")
        self._refused: set[str] = set()

    def open(self, language: str | None) -> OpenAITranscription:
        """Begin an utterance. Of ``language`` the server is told the primary subtag (``en`` of ``en-US``).

        One that the server refuses is not told it again.
        """
        return OpenAITranscription(self, language.split("-")[0].lower() if language else None)

    async def transcribe(self, samples: Samples, language: str | None) -> str:
        """The words of 16 kHz ``samples``."""
        with self._connection.failures():
            told = None if language in self._refused else language
            try:
                return await self._ask(samples, told)
            except Refused as error:
                if told is None or error.status not in (400, 422) or "language" not in error.text.lower():
                    raise
                self._refused.add(told)  # a hint must not cost the words
                return await self._ask(samples, None)

    async def _ask(self, samples: Samples, language: str | None) -> str:
        fields = {"model": self._model, "response_format": "json", "temperature": "0"}
        if language:
            fields["language"] = language
        form, content_type = _form(wav(samples), fields)
        headers = {"Content-Type": content_type}
        async with self._connection.post("audio/transcriptions", data=form, headers=headers) as response:
            text = json.loads(await response.read())["text"]
            if not isinstance(text, str):
                raise TypeError("text is no string")
            return text.strip()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connection.aclose()


@dataclass(eq=False, slots=True)
class _Request:
    """One request, for an utterance of so many frames of speech, and how many wait for it."""

    speech_frames: int
    task: asyncio.Task[str]
    waiting: int = 0


class OpenAITranscription:
    """One utterance. A request is for all that was fed; its answer holds for as long as only silence follows."""

    def __init__(self, transcriber: OpenAITranscriber, language: str | None) -> None:
        self._transcriber = transcriber
        self._language = language
        self._frames: list[Samples] = []
        self._speech_frames = 0
        self._request: _Request | None = None

    def feed(self, frame: Samples, probability: float) -> None:
        """Keep a frame."""
        self._frames.append(frame)
        self._speech_frames += probability >= _SPEECH

    async def text(self) -> str:
        """The words of all that was fed, ``""`` without a request when none of it can be speech."""
        if not self._speech_frames:
            return ""
        request = self._current() or self._ask()
        request.waiting += 1
        try:
            return await asyncio.shield(request.task)
        finally:
            request.waiting -= 1
            if request is not self._request and not request.waiting:
                request.task.cancel()

    def close(self) -> None:
        """Stop a pending request and forget the utterance."""
        if self._request is not None:
            self._request.task.cancel()
            self._request = None
        self._frames.clear()
        self._speech_frames = 0

    def _current(self) -> _Request | None:
        """The last request, if it still answers the question and has not failed."""
        request = self._request
        if request is None or request.speech_frames != self._speech_frames:
            return None
        failed = request.task.done() and (request.task.cancelled() or request.task.exception() is not None)
        return None if failed else request

    def _ask(self) -> _Request:
        if self._request is not None and not self._request.waiting:
            self._request.task.cancel()  # about less of the utterance, and nobody waits for it
        samples = np.concatenate(self._frames)
        task = asyncio.ensure_future(self._transcriber.transcribe(samples, self._language))
        task.add_done_callback(_seen)
        self._request = _Request(self._speech_frames, task)
        return self._request


def _seen(task: asyncio.Task[str]) -> None:
    """Look at a failure that nobody may be waiting for any more."""
    if not task.cancelled():
        task.exception()
