"""All engines of one server: built from the settings, loaded once, found by name.

Each engine's module is imported only when the settings name that engine, so a server whose models are all
remote never loads llama.cpp or Whisper.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from antiphon.engines.aliases import hosted_name, model_aliases, voice_aliases
from antiphon.engines.candidates import Candidate, Candidates
from antiphon.engines.chains import chain
from antiphon.engines.closing import close_all
from antiphon.engines.condition import Conditions
from antiphon.engines.families import family
from antiphon.engines.needs import Fetched
from antiphon.engines.protocols import EndOfTurn, LanguageModel, Speaker, Transcriber, VoiceActivity
from antiphon.engines.settings import (
    DEFAULT_MODEL,
    DEFAULT_VOICES,
    NO_ALIASES,
    Aliases,
    EndOfTurnSettings,
    EngineSettings,
    HibariSettings,
    LlamaSettings,
    ModelSettings,
    NoEndOfTurnSettings,
    OpenAIModelSettings,
    OpenAITranscriberSettings,
    OpenAIVoiceSettings,
    ScriptedEndOfTurnSettings,
    ScriptedModelSettings,
    ScriptedTranscriberSettings,
    ScriptedVoiceActivitySettings,
    ScriptedVoiceSettings,
    SileroSettings,
    SmartTurnSettings,
    TranscriberSettings,
    VoiceActivitySettings,
    VoiceSettings,
    WhisperSettings,
)
from antiphon.engines.threads import in_thread
from antiphon.errors import InvalidRequest

Progress = Callable[[str], None]
"""Told, in a word or two, what is being loaded."""

_VOICES = uuid.UUID("7d2a0a3c-4c0e-5d6b-9d53-5f0a1d3b7c11")

_ITSELF = ""
"""The transcriber has no name."""


@runtime_checkable
class _Loadable(Protocol):
    def load(self) -> None: ...


@runtime_checkable
class _ComputesElsewhere(Protocol):
    @property
    def processor_s(self) -> float: ...

    @property
    def resident_bytes(self) -> int: ...


@runtime_checkable
class _FallsBack(Protocol):
    @property
    def candidates(self) -> Candidates[object]: ...


def voice_uuid(name: str) -> uuid.UUID:
    """The id of the voice called ``name``: the same on every server."""
    return uuid.uuid5(_VOICES, name)


@dataclass(frozen=True, slots=True)
class VoiceEntry:
    """A voice that calls can choose."""

    name: str
    voice_id: uuid.UUID
    speaker: Speaker
    settings: VoiceSettings
    description: str
    language: str | None


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of one server. ``models`` and ``voices`` hold each once, under its own name."""

    voice_activity: VoiceActivity
    end_of_turn: EndOfTurn | None
    transcriber: Transcriber
    models: Mapping[str, LanguageModel]
    voices: Mapping[str, VoiceEntry]
    fetched: Fetched | None = None
    aliases: Aliases = NO_ALIASES
    conditions: Conditions = field(default_factory=Conditions)
    model_aliases: Mapping[str, str] = field(init=False)
    """Names that stand for another, where no model is called so."""
    voice_aliases: Mapping[str, str] = field(init=False)
    """As ``model_aliases``, for voices."""

    def __post_init__(self) -> None:
        """Work out what the further names stand for."""
        languages = {name: entry.language for name, entry in self.voices.items()}
        models = model_aliases(self.models, self.default_model, self.aliases.models)
        voices = voice_aliases(languages, self.default_voice, self.aliases.voices)
        object.__setattr__(self, "model_aliases", models)
        object.__setattr__(self, "voice_aliases", voices)

    @property
    def default_model(self) -> str:
        """The model of a call that names none."""
        return DEFAULT_MODEL if DEFAULT_MODEL in self.models else next(iter(self.models))

    @property
    def default_voice(self) -> str:
        """The voice of a call that names none."""
        return next((name for name in DEFAULT_VOICES if name in self.voices), next(iter(self.voices)))

    def model(self, name: str) -> LanguageModel:
        """The model called ``name``, or of which that is an alias; :class:`InvalidRequest` lists what there is."""
        found = self.models.get(self.model_aliases.get(name, name))
        if found is None:
            raise InvalidRequest.of("model", f"there is no model {name!r}; there are: {', '.join(self.models)}")
        return found

    def voice(self, name_or_id: str) -> VoiceEntry:
        """The voice with that name, alias (both in upper or lower case) or id.

        Raises:
            InvalidRequest: there is none; the error lists those there are.

        """
        name = hosted_name(name_or_id) or name_or_id
        found = self.voices.get(name)
        if found is not None:
            return found
        for entry in self.voices.values():
            if name.casefold() in (entry.name.casefold(), str(entry.voice_id)):
                return entry
        alias = self.voice_alias(name_or_id)
        if alias is not None:
            return self.voices[self.voice_aliases[alias]]
        raise InvalidRequest.of("voice", f"there is no voice {name_or_id!r}; there are: {', '.join(self.voices)}")

    def voice_alias(self, name_or_id: str) -> str | None:
        """The alias of a voice that is meant by ``name_or_id``, as it is written in the table; ``None``: none is."""
        wanted = (hosted_name(name_or_id) or name_or_id).casefold()
        for alias in self.voice_aliases:
            # The built-in voice was once called by what is an alias now, and had that name's id.
            if wanted in (alias.casefold(), str(voice_uuid(alias))):
                return alias
        return None

    def also_called(self, voice: VoiceEntry) -> tuple[str, ...]:
        """The aliases of a voice."""
        return tuple(alias for alias, name in self.voice_aliases.items() if name == voice.name)

    async def load(self, progress: Progress = lambda what: None) -> None:
        """Load and warm every engine, one after the other, each in a thread.

        ``progress`` is called with the name of each before its turn. Raises a
        :class:`~antiphon.errors.SetupError` (``ModelMissing``, ``ModelCorrupt``, :class:`ConfigError`) or
        :class:`~antiphon.errors.EngineError`.
        """
        if self.fetched is not None:
            await asyncio.to_thread(self.fetched.check)
        for name, engine in self._distinct():
            if isinstance(engine, _Loadable):
                progress(name)
                await in_thread(f"load {name}", engine.load)

    def processor_meter(self) -> Callable[[], float]:
        """Return a function that tells the processor time, in seconds, of all child processes of the engines."""
        elsewhere = [engine for _name, engine in self._distinct() if isinstance(engine, _ComputesElsewhere)]
        return lambda: sum(engine.processor_s for engine in elsewhere)

    def memory_meter(self) -> Callable[[], int]:
        """Return a function that tells the memory, in bytes, of all child processes of the engines."""
        elsewhere = [engine for _name, engine in self._distinct() if isinstance(engine, _ComputesElsewhere)]
        return lambda: sum(engine.resident_bytes for engine in elsewhere)

    async def close(self) -> None:
        """Stop the engines' threads, processes and connections. Safe to call twice."""
        await close_all(list(self._distinct()))

    def _distinct(self) -> Iterator[tuple[str, object]]:
        """Every engine once, with what to call it."""
        seen: set[int] = set()
        everything: list[tuple[str, object]] = [
            ("voice activity", self.voice_activity),
            ("end of turn", self.end_of_turn),
            ("transcriber", self.transcriber),
            *((f"voice {name}", entry.speaker) for name, entry in self.voices.items()),
            *((f"model {name}", model) for name, model in self.models.items()),
        ]
        for name, engine in everything:
            behind = [one.engine for one in engine.candidates.row] if isinstance(engine, _FallsBack) else [engine]
            for one in behind:
                if one is not None and id(one) not in seen:
                    seen.add(id(one))
                    yield name, one


def build(settings: EngineSettings, models_folder: Path) -> Engines:
    """Make the engines, without touching a file of theirs: that is for :meth:`Engines.load`.

    Embedded engines without a ``path`` take the fetched weights of ``models_folder``. Models, and voices, that
    are configured alike share one engine.
    """
    fetched = Fetched(models_folder, settings)
    transcribers = {_ITSELF: settings.transcriber, **dict(chain(settings.transcribers, settings.transcriber))}
    hear = family("transcriber", transcribers, partial(_transcriber, fetched=fetched), _fallback_transcriber)
    think = family("model", settings.models, partial(_model, fetched=fetched), _fallback_model)
    speak = family("voice", settings.voices, _speaker, _fallback_speaker)
    return Engines(
        voice_activity=_voice_activity(settings.voice_activity, fetched),
        end_of_turn=_end_of_turn(settings.end_of_turn, fetched),
        transcriber=hear.engines[_ITSELF],
        models=think.engines,
        voices={
            name: VoiceEntry(name, voice_uuid(name), speak.engines[name], one, one.description, one.language)
            for name, one in settings.voices.items()
        },
        fetched=fetched,
        aliases=settings.aliases,
        conditions=Conditions(hear.conditions[_ITSELF], think.conditions, speak.conditions),
    )


def _fallback_model(row: list[Candidate[LanguageModel]]) -> LanguageModel:
    from antiphon.engines.fallback import FallbackModel

    return FallbackModel(Candidates("model", row))


def _fallback_speaker(row: list[Candidate[Speaker]]) -> Speaker:
    from antiphon.engines.fallback import STAYS_S, FallbackSpeaker

    return FallbackSpeaker(Candidates("voice", row, stays_s=STAYS_S))


def _fallback_transcriber(row: list[Candidate[Transcriber]]) -> Transcriber:
    from antiphon.engines.fallback import STAYS_S, FallbackTranscriber

    return FallbackTranscriber(Candidates("transcriber", row, stays_s=STAYS_S))


def _voice_activity(settings: VoiceActivitySettings, fetched: Fetched) -> VoiceActivity:
    match settings:
        case SileroSettings():
            from antiphon.engines.silero import SileroVoiceActivity

            return SileroVoiceActivity(settings.path or fetched.file(settings))
        case ScriptedVoiceActivitySettings():
            from antiphon.engines.scripted import ScriptedVoiceActivity

            return ScriptedVoiceActivity(threshold=settings.threshold)


def _end_of_turn(settings: EndOfTurnSettings, fetched: Fetched) -> EndOfTurn | None:
    match settings:
        case SmartTurnSettings():
            from antiphon.engines.smart_turn import SmartTurn

            return SmartTurn(settings.path or fetched.file(settings))
        case ScriptedEndOfTurnSettings():
            from antiphon.engines.scripted import ScriptedEndOfTurn

            return ScriptedEndOfTurn([settings.completeness], delay_s=settings.delay_s)
        case NoEndOfTurnSettings():
            return None


def _transcriber(settings: TranscriberSettings, fetched: Fetched) -> Transcriber:
    match settings:
        case WhisperSettings():
            from antiphon.engines.whisper import WhisperTranscriber

            return WhisperTranscriber(settings.path or fetched.file(settings).parent, threads=settings.threads)
        case OpenAITranscriberSettings():
            from antiphon.engines.openai_transcriber import OpenAITranscriber

            return OpenAITranscriber(settings)
        case ScriptedTranscriberSettings():
            from antiphon.engines.scripted import ScriptedTranscriber

            return ScriptedTranscriber(settings.texts, delay_s=settings.delay_s)


def _model(settings: ModelSettings, fetched: Fetched) -> LanguageModel:
    match settings:
        case LlamaSettings():
            from antiphon.engines.llama import LlamaModel

            return LlamaModel(
                settings.path or fetched.file(settings),
                threads=settings.threads,
                context_tokens=settings.context_tokens,
                parallel=settings.parallel_calls,
                max_tokens=settings.max_tokens,
            )
        case OpenAIModelSettings():
            from antiphon.engines.openai_model import OpenAIModel

            return OpenAIModel(settings)
        case ScriptedModelSettings():
            from antiphon.engines.scripted import ScriptedLanguageModel

            return ScriptedLanguageModel(
                settings.replies,
                first_token_delay_s=settings.first_token_delay_s,
                token_delay_s=settings.token_delay_s,
                audio_input=settings.audio_input,
            )


def _speaker(settings: VoiceSettings) -> Speaker:
    match settings:
        case HibariSettings():
            from antiphon.engines.hibari import HibariSpeaker

            return HibariSpeaker(speed=settings.speed)
        case OpenAIVoiceSettings():
            from antiphon.engines.openai_speaker import OpenAISpeaker

            return OpenAISpeaker(settings)
        case ScriptedVoiceSettings():
            from antiphon.engines.scripted import ScriptedSpeaker

            return ScriptedSpeaker(
                sample_rate=settings.sample_rate,
                character_ms=settings.character_ms,
                first_chunk_delay_s=settings.first_chunk_delay_s,
                speed_factor=settings.speed_factor,
            )
