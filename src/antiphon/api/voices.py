"""``/api/voices``: the voices calls can name, and how they sound."""

from __future__ import annotations

import asyncio
import io
import wave
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from antiphon.api.common import Cursor, PageSize, Serving, envelope, page_of, public_url, require_key
from antiphon.api.errors import error_response
from antiphon.api.services import Services
from antiphon.api.shapes import voice_json
from antiphon.engines.registry import VoiceEntry
from antiphon.errors import EngineError, InvalidRequest, NotFound

PREVIEW_TEXT = "Hello! This is how I sound. What would you like to talk about?"
PREVIEW_PATIENCE_S = 30.0

router = APIRouter(prefix="/api/voices", tags=["voices"], dependencies=[Depends(require_key)])


@router.get("", response_model=dict[str, Any])
async def voices_list(
    request: Request,
    serving: Serving,
    cursor: Cursor = None,
    page_size: PageSize = None,
    search: Annotated[str | None, Query(min_length=1)] = None,
    primary_language: Annotated[str | None, Query(alias="primaryLanguage", min_length=1)] = None,
    ownership: Annotated[str | None, Query(pattern="^(private|public)$")] = None,
    provider: Annotated[list[str] | None, Query()] = None,
    billing_style: Annotated[
        str | None, Query(alias="billingStyle", pattern="^VOICE_BILLING_STYLE_(INCLUDED|EXTERNAL)$")
    ] = None,
) -> Response:
    """All voices of this server; they are public and cost nothing."""
    found = [
        voice
        for voice in serving.engines.voices.values()
        if (search is None or search.casefold() in _words(serving, voice))
        and (primary_language is None or _language(voice.language) == _language(primary_language))
        and (not provider or voice.settings.engine in provider)
        and ownership != "private"
        and billing_style != "VOICE_BILLING_STYLE_EXTERNAL"
    ]
    base = public_url(request, serving.config)
    page = page_of(found, cursor, page_size)
    return await envelope(request, serving.config, page, lambda voice: _shown(serving, voice, base))


@router.get("/{voice_id}")
async def voices_retrieve(request: Request, serving: Serving, voice_id: str) -> dict[str, Any]:
    """One voice, by its id, name or alias."""
    return _shown(serving, _find(serving, voice_id), public_url(request, serving.config))


@router.get("/{voice_id}/preview", response_class=Response)
async def voices_preview_retrieve(request: Request, serving: Serving, voice_id: str) -> Response:
    """How the voice sounds, as WAV; or the error caused by using it."""
    voice = _find(serving, voice_id)
    previews: Previews = request.app.state.previews
    try:
        sound = await previews.of(voice)
    except EngineError as error:
        return error_response(400, f"the voice {voice.name} cannot speak: {error}")
    return Response(sound, media_type="audio/wav", headers={"Cache-Control": "private, max-age=3600"})


def _find(serving: Services, voice_id: str) -> VoiceEntry:
    try:
        return serving.engines.voice(voice_id)
    except InvalidRequest:
        raise NotFound(f"there is no voice {voice_id[:64]!r}") from None


def _shown(serving: Services, voice: VoiceEntry, base_url: str) -> dict[str, Any]:
    return voice_json(voice, base_url, serving.engines.also_called(voice))


def _words(serving: Services, voice: VoiceEntry) -> str:
    """What a search looks into."""
    return "\n".join((voice.name, voice.description, *serving.engines.also_called(voice))).casefold()


def _language(tag: str | None) -> str:
    return (tag or "").split("-")[0].casefold()


class Previews:
    """Each voice speaks its preview once; it is kept. Many who ask at the same time wait for the same one."""

    def __init__(self) -> None:
        self._sounds: dict[str, bytes] = {}
        self._speaking = asyncio.Lock()

    async def of(self, voice: VoiceEntry) -> bytes:
        """A WAV. Raises ``EngineError``."""
        async with self._speaking:
            if voice.name not in self._sounds:
                self._sounds[voice.name] = await _speak(voice)
            return self._sounds[voice.name]


async def _speak(voice: VoiceEntry) -> bytes:
    try:
        async with asyncio.timeout(PREVIEW_PATIENCE_S):
            pieces = [samples async for samples in voice.speaker.speak(PREVIEW_TEXT)]
    except TimeoutError:
        raise EngineError(f"nothing was heard within {PREVIEW_PATIENCE_S:.0f} s") from None
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(voice.speaker.sample_rate)
        file.writeframes(b"".join(piece.astype("<i2", copy=False).tobytes() for piece in pieces))
    return sound.getvalue()
