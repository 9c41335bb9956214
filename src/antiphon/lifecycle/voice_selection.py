"""Which voice a call, or a stage of it, speaks with: one of the server's, as it is or tuned, or one brought along."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from antiphon.call.messages import CallEvent, Severity
from antiphon.engines.condition import Watched
from antiphon.engines.generic_speaker import (
    JSON_TYPE,
    LINES_TYPES,
    RAW_TYPES,
    WAV_TYPES,
    GenericApi,
    GenericSpeaker,
)
from antiphon.engines.protocols import KnowsLanguages, Speaker
from antiphon.engines.registry import Engines, VoiceEntry
from antiphon.engines.tuning import Tunable, Tuning
from antiphon.errors import InvalidRequest
from antiphon.tools.http import HttpCaller
from antiphon.wire.call_request import CallRequest
from antiphon.wire.voices import ExternalVoice, GenericVoice, Overrides, overrides_of

KEEP_ALIVE_S = 30.0
"""Connections to a voice that a call brought along are kept so long for its next reply."""

MOST_BODY_BYTES = 65_536
"""Of the request for a voice that is brought along: it is made anew for each clause."""

MOST_FIELDS_NAMED = 20
MOST_CHARACTERS = 1_000
"""Of what an event names."""

_LANGUAGE_LETTERS = (2, 3)
"""Of the first part of a code (RFC 5646, 2.2.1): longer ones are reserved, and no language has one."""

_CONNECTIONS_OWN = frozenset(("host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "expect"))


@dataclass(frozen=True, slots=True)
class VoiceChoice:
    """What is said about the voice. ``external`` excludes the others but ``language``."""

    voice: str | None = None
    external: ExternalVoice | None = None
    overrides: ExternalVoice | None = None
    language: str | None = None

    @classmethod
    def of(cls, request: CallRequest) -> VoiceChoice:
        """What a call was created with."""
        return cls(request.voice, request.external_voice, request.voice_overrides, request.language_hint)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The server's voice (``None``: it is brought along), and what is worth knowing about the choice."""

    entry: VoiceEntry | None
    notes: tuple[CallEvent, ...] = ()
    alias: str | None = None
    """The name that it was chosen by, where that is not its own."""

    @property
    def name(self) -> str | None:
        """What the voice is called in the call, where it is the server's."""
        return self.alias or (None if self.entry is None else self.entry.name)

    @property
    def voice_id(self) -> str | None:
        """Its id."""
        return None if self.entry is None else str(self.entry.voice_id)


class Voices:
    """Finds the voices of calls. Those that calls bring along are reached under the guard of ``http``."""

    def __init__(self, engines: Engines, http: HttpCaller) -> None:
        self._engines = engines
        self._http = http
        self._brought: dict[str, list[GenericSpeaker]] = {}

    def choose(self, choice: VoiceChoice) -> Chosen:
        """The voice. Raises :class:`InvalidRequest` naming what this server cannot do."""
        self._check_language(choice.language)
        if choice.external is not None:
            _api(choice.external)
            return Chosen(None)
        entry = self._entry(choice)
        overrides = _overrides(choice)
        speaker = entry.speaker
        unused = list(overrides.rest)
        if not (isinstance(speaker, Tunable) and speaker.takes_fields):
            unused += [f"voiceOverrides.generic.body.{name}" for name in overrides.fields]
        if overrides.speed is not None:
            _check_speed(entry, overrides)
        notes: list[CallEvent] = []
        if unused:
            named = [name[:200] for name in unused[:MOST_FIELDS_NAMED]]
            text = f"The voice {entry.name} has nothing like {', '.join(named)[:MOST_CHARACTERS]}; it speaks without."
            notes.append(CallEvent(Severity.WARNING, "voice_override_unused", text, {"fields": named}))
        if choice.language and entry.language and _primary(choice.language) != _primary(entry.language):
            text = f"The voice {entry.name} speaks {entry.language}, the call's languageHint is {choice.language}."
            notes.append(CallEvent(Severity.WARNING, "voice_language", text))
        return Chosen(entry, tuple(notes), self._engines.voice_alias(choice.voice or entry.name))

    def speaker(self, call_id: str, choice: VoiceChoice) -> Speaker:
        """Who speaks. Raises as :meth:`choose` does. What is opened for it is closed by :meth:`release`."""
        if choice.external is not None:
            api = _api(choice.external)
            brought = GenericSpeaker(api, self._http.open_client(keep_alive_s=KEEP_ALIVE_S))
            self._brought.setdefault(call_id, []).append(brought)
            return brought
        entry = self.choose(choice).entry
        assert entry is not None
        overrides, speaker = _overrides(choice), entry.speaker
        tuning = Tuning(overrides.speed, choice.language, overrides.fields)
        if tuning == Tuning() or not isinstance(speaker, Tunable):
            return speaker
        return speaker.tuned(tuning)

    def watched(self, choice: VoiceChoice) -> Watched:
        """Whose condition the speaker's successes and failures are."""
        conditions = self._engines.conditions
        row = () if choice.external is not None else conditions.voices.get(self._entry(choice).name, ())
        return conditions.watched(row) if row else Watched(conditions.brought_voice)

    async def release(self, call_id: str) -> None:
        """The call is over: close what its voices hold open."""
        for speaker in self._brought.pop(call_id, []):
            await speaker.aclose()

    def _check_language(self, language: str | None) -> None:
        """Refuse a language that the caller would not be understood in.

        Remote transcribers cannot be asked, and refuse a hint that is no language without a word to the call.
        """
        transcriber = self._engines.transcriber
        if language and isinstance(transcriber, KnowsLanguages) and not transcriber.knows(language):
            known = ", ".join(transcriber.known_languages())
            text = f"speech recognition on this server does not know the language {language}; it knows {known}"
            raise InvalidRequest.of("languageHint", text)
        if language and len(_primary(language)) not in _LANGUAGE_LETTERS:
            text = f"{language} is no BCP 47 language code: those begin with two or three letters, such as en or de-DE"
            raise InvalidRequest.of("languageHint", text)

    def _entry(self, choice: VoiceChoice) -> VoiceEntry:
        return self._engines.voice(choice.voice or self._engines.default_voice)


def _overrides(choice: VoiceChoice) -> Overrides:
    return Overrides() if choice.overrides is None else overrides_of(choice.overrides)


def _check_speed(entry: VoiceEntry, overrides: Overrides) -> None:
    if not isinstance(entry.speaker, Tunable):
        raise InvalidRequest.of(overrides.speed_field, f"the voice {entry.name} has one speed only")
    slowest, fastest = entry.speaker.speeds
    if not slowest <= (overrides.speed or 0.0) <= fastest:
        raise InvalidRequest.of(
            overrides.speed_field, f"the voice {entry.name} can speak at {slowest:g} to {fastest:g} times its speed"
        )


def _api(external: ExternalVoice) -> GenericApi:
    """How to ask for a voice that is brought along. Raises :class:`InvalidRequest` naming what cannot be."""
    provider, voice = external.provider
    if not isinstance(voice, GenericVoice):
        raise InvalidRequest.of(
            f"externalVoice.{provider}",
            "this server has no engine for voices of this provider; externalVoice.generic takes any HTTP API "
            "that answers with PCM or WAV",
        )
    path = "externalVoice.generic"
    if voice.url is None:
        raise InvalidRequest.of(f"{path}.url", "is required")
    if (wrong := _wrong_url(voice.url)) is not None:
        raise InvalidRequest.of(f"{path}.url", wrong)
    for name in voice.headers or {}:
        if name.lower() in _CONNECTIONS_OWN:
            raise InvalidRequest.of(f"{path}.headers.{name}", "is the connection's own")
    body: dict[str, Any] = voice.body or {}
    api = GenericApi(
        url=voice.url,
        body=body,
        headers=voice.headers or {},
        rate=voice.response_sample_rate,
        mime=voice.response_mime_type,
        audio_path=voice.json_audio_field_path,
        hexadecimal=voice.json_byte_encoding == "JSON_BYTE_ENCODING_HEX",
    )
    if not api.has_placeholder:
        raise InvalidRequest.of(f"{path}.body", "has to hold {text} in one of its strings, for what is to be spoken")
    if len(json.dumps(body)) > MOST_BODY_BYTES:
        raise InvalidRequest.of(f"{path}.body", f"has to have at most {MOST_BODY_BYTES} bytes")
    stated = (api.mime or "").partition(";")[0].strip().lower()
    if stated and stated in RAW_TYPES and api.rate is None and "rate=" not in (api.mime or ""):
        raise InvalidRequest.of(f"{path}.responseSampleRate", "is required for raw PCM")
    if stated and stated not in {*RAW_TYPES, *WAV_TYPES, *LINES_TYPES, JSON_TYPE}:
        raise InvalidRequest.of(
            f"{path}.responseMimeType",
            "cannot be heard; possible are WAV (audio/wav), raw PCM (audio/l16), and JSON that holds either",
        )
    if (stated == JSON_TYPE or stated in LINES_TYPES) and api.audio_path is None:
        raise InvalidRequest.of(f"{path}.jsonAudioFieldPath", "is required for an answer in JSON")
    return api


def _wrong_url(text: str) -> str | None:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        return f"is no URL: {error}"
    if url.userinfo or not url.host:
        return "has to have a host and no user name; headers are the place for keys"
    if not 0 < (url.port or 443) <= 65_535:
        return "has an impossible port"
    return None


def _primary(tag: str) -> str:
    return tag.partition("-")[0].casefold()
