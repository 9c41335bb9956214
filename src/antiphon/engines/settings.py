"""The engine part of ``antiphon.toml``: which model listens, thinks and speaks.

Each table names its ``engine`` and takes that engine's fields and no others. Everything is frozen, and two
tables that say the same compare equal, so that they can share one engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from antiphon.engines.chains import check_aliases, check_chain, wrong

DEFAULT_MODEL = "ultravox-v0.7"
"""The language model of a call that names none."""

DEFAULT_VOICE = "Hibari"
"""The built-in voice."""

DEFAULT_VOICES = (DEFAULT_VOICE, "Mark")
"""The voice of a call that names none is the first of these that there is; the built-in one was once called Mark."""


def _path(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


# The configuration is validated strictly (no "8000" for 8000), but TOML has no paths and no tuples.
FilePath: TypeAlias = Annotated[Path, BeforeValidator(_path)]
Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_tuple), Field(min_length=1)]


class Settings(BaseModel):
    """What all settings have in common: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OpenAIServer(Settings):
    """Any server that speaks OpenAI's API."""

    engine: Literal["openai"] = Field(description="An OpenAI-compatible server.")
    base_url: str = Field(
        pattern=r"^https?://[^\s]+$", description="Address of the server's API, up to and with its `/v1`."
    )
    model: str = Field(min_length=1, description="The model's name on that server.")
    api_key: SecretStr | None = Field(default=None, description="The server's API key, where it wants one.")
    connect_timeout_s: float = Field(default=5.0, gt=0, le=60, description="Longest wait for a connection, seconds.")
    timeout_s: float = Field(
        default=15.0, gt=0, le=600, description="Longest wait for the first, and for each next, byte, seconds."
    )


class SileroSettings(Settings):
    """Silero VAD, embedded."""

    engine: Literal["silero"] = Field(description="Silero VAD, in this process.")
    path: FilePath | None = Field(default=None, description="An ONNX file of your own; by default the fetched one.")


class ScriptedVoiceActivitySettings(Settings):
    """Voice activity by loudness, without any model."""

    engine: Literal["scripted"] = Field(description="Speech is what is loud; needs no model.")
    threshold: float = Field(
        default=500.0, gt=0, le=32767, description="Root mean square of a 16-bit frame from which it counts as speech."
    )


class SmartTurnSettings(Settings):
    """smart-turn, embedded: hears whether the caller is done."""

    engine: Literal["smart-turn"] = Field(description="smart-turn, in this process.")
    path: FilePath | None = Field(default=None, description="An ONNX file of your own; by default the fetched one.")


class NoEndOfTurnSettings(Settings):
    """Silence alone ends a turn."""

    engine: Literal["none"] = Field(description="No second opinion: silence alone ends a turn.")


class ScriptedEndOfTurnSettings(Settings):
    """The same opinion on every utterance."""

    engine: Literal["scripted"] = Field(description="One fixed opinion; needs no model.")
    completeness: float = Field(default=1.0, ge=0, le=1, description="Probability that the caller is done.")
    delay_s: float = Field(default=0.0, ge=0, le=60, description="Seconds until it is known.")


class StandIn(Settings):
    """What an engine with a fallback has in common with its like."""

    fallback: str | None = Field(
        default=None, min_length=1, description="Another one of the same kind, by name, that does the work if it fails."
    )
    first_answer_patience_s: float = Field(
        default=4.0,
        gt=0,
        le=60,
        description="Longest wait for its first sign of life before the fallback is asked, seconds.",
    )


class WhisperSettings(StandIn):
    """Whisper, embedded."""

    engine: Literal["whisper"] = Field(description="Whisper, in this process.")
    path: FilePath | None = Field(
        default=None, description="A folder with a Whisper model for CTranslate2; by default the fetched one."
    )
    threads: int = Field(default=1, ge=1, le=64, description="Threads of computation.")


class OpenAITranscriberSettings(StandIn, OpenAIServer):
    """`/v1/audio/transcriptions` of an OpenAI-compatible server."""


class ScriptedTranscriberSettings(StandIn):
    """Given texts instead of what was said."""

    engine: Literal["scripted"] = Field(description="Given texts, one an utterance; needs no model.")
    texts: Texts = Field(
        default=("Hello, can you hear me?",), description="The utterances in order, then from the start."
    )
    delay_s: float = Field(default=0.0, ge=0, le=60, description="Seconds one transcription takes.")


class LlamaSettings(StandIn):
    """A GGUF model through llama.cpp, embedded."""

    engine: Literal["llama"] = Field(description="A GGUF model through llama.cpp, in a child process.")
    path: FilePath | None = Field(
        default=None, description="A GGUF file of your own; by default the fetched Qwen2.5 1.5B."
    )
    threads: int = Field(default=2, ge=1, le=64, description="Threads of computation.")
    context_tokens: int = Field(
        default=4096, ge=512, le=1_048_576, description="Tokens of prompt and reply that one call may hold."
    )
    parallel_calls: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Calls whose prompts are kept ready at once; each costs a context of memory.",
    )
    max_tokens: int = Field(default=300, ge=1, le=8192, description="Longest reply, in tokens.")


class OpenAIModelSettings(StandIn, OpenAIServer):
    """`/v1/chat/completions` of an OpenAI-compatible server, streamed."""

    audio_input: bool = Field(
        default=False,
        description="The model hears: it is sent the caller's audio itself, as `input_audio` parts.",
    )
    max_tokens: int = Field(default=300, ge=1, le=8192, description="Longest reply, in tokens.")


class ScriptedModelSettings(StandIn):
    """Given replies."""

    engine: Literal["scripted"] = Field(description="Given replies; needs no model.")
    replies: Texts = Field(
        default=("Hello! I can hear you. How can I help?",),
        description="The replies in order, one whenever the caller has spoken or tools have answered, then from the "
        'start. `[[tool NAME {"key": 1}]]` in a reply uses a tool.',
    )
    first_token_delay_s: float = Field(default=0.0, ge=0, le=60, description="Seconds until the first word.")
    token_delay_s: float = Field(default=0.0, ge=0, le=60, description="Seconds between words.")
    audio_input: bool = Field(default=False, description="Behave as a model that hears.")

    @field_validator("replies")
    @classmethod
    def _tools_are_used_as_documented(cls, replies: tuple[str, ...]) -> tuple[str, ...]:
        if any("[[tool" in reply for reply in replies):
            from antiphon.engines.tool_script import parse  # brings numpy along

            for reply in replies:
                parse(reply)
        return replies


class Voice(StandIn):
    """What all voices have in common."""

    description: str = Field(default="", description="What the voice is like, for those who choose one.")
    language: str | None = Field(default=None, description="The language it speaks, as a BCP-47 tag.")


class HibariSettings(Voice):
    """hibari, embedded."""

    engine: Literal["hibari"] = Field(description="hibari, in this process.")
    speed: float = Field(default=1.0, ge=0.5, le=2.0, description="Speed of speech; 1.0 is as the voice was made.")


class OpenAIVoiceSettings(Voice, OpenAIServer):
    """`/v1/audio/speech` of an OpenAI-compatible server, streamed as PCM."""

    voice: str = Field(min_length=1, description="The voice's name on that server.")
    sample_rate: int = Field(
        default=24_000, ge=8000, le=48_000, description="Sample rate of the PCM which the server sends, Hz."
    )
    language_field: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Field of a request that takes a call's `languageHint`, where the server has one.",
    )


class ScriptedVoiceSettings(Voice):
    """A sound for each character."""

    engine: Literal["scripted"] = Field(description="A tone of fixed length for each character; needs no model.")
    sample_rate: int = Field(default=24_000, ge=8000, le=48_000, description="Sample rate, Hz.")
    character_ms: int = Field(default=60, ge=1, le=1000, description="Milliseconds of sound for each character.")
    first_chunk_delay_s: float = Field(default=0.0, ge=0, le=60, description="Seconds until the first sound.")
    speed_factor: float = Field(
        default=0.0, ge=0, description="How many times faster than real time sound is made; 0 is at once."
    )


VoiceActivitySettings: TypeAlias = Annotated[
    SileroSettings | ScriptedVoiceActivitySettings, Field(discriminator="engine")
]
EndOfTurnSettings: TypeAlias = Annotated[
    SmartTurnSettings | NoEndOfTurnSettings | ScriptedEndOfTurnSettings, Field(discriminator="engine")
]
TranscriberSettings: TypeAlias = Annotated[
    WhisperSettings | OpenAITranscriberSettings | ScriptedTranscriberSettings, Field(discriminator="engine")
]
ModelSettings: TypeAlias = Annotated[
    LlamaSettings | OpenAIModelSettings | ScriptedModelSettings, Field(discriminator="engine")
]
VoiceSettings: TypeAlias = Annotated[
    HibariSettings | OpenAIVoiceSettings | ScriptedVoiceSettings, Field(discriminator="engine")
]


class Aliases(Settings):
    """Names that stand for others."""

    models: dict[str, str] = Field(
        default={}, description="Further names of `[models.NAME]`; one that is a model's own name means that model."
    )
    voices: dict[str, str] = Field(
        default={}, description="Further names of `[voices.NAME]`; one that is a voice's own name means that voice."
    )


NO_ALIASES = Aliases()


class EngineSettings(Settings):
    """Everything about engines in ``antiphon.toml``; what is left out is embedded.

    ``models`` and ``voices``, once given, replace the built-in ones: a server whose tables name only remote
    models loads no weights. What other names calls may use is in :mod:`antiphon.engines.aliases`.
    """

    voice_activity: VoiceActivitySettings = Field(
        default=SileroSettings(engine="silero"), description="Judges, 31 times a second, whether somebody speaks."
    )
    end_of_turn: EndOfTurnSettings = Field(
        default=SmartTurnSettings(engine="smart-turn"), description="Hears whether the caller is done."
    )
    transcriber: TranscriberSettings = Field(
        default=WhisperSettings(engine="whisper"), description="Turns the caller's speech into words."
    )
    transcribers: dict[str, TranscriberSettings] = Field(
        default={}, description="Transcribers for others to fall back on, by name."
    )
    models: dict[str, ModelSettings] = Field(
        default={DEFAULT_MODEL: LlamaSettings(engine="llama")},
        min_length=1,
        description="Language models by the name that calls use.",
    )
    voices: dict[str, VoiceSettings] = Field(
        default={
            DEFAULT_VOICE: HibariSettings(engine="hibari", description="A calm American voice.", language="en-US")
        },
        min_length=1,
        description="Voices by the name that calls use.",
    )
    aliases: Aliases = Field(
        default=NO_ALIASES, description="Further names of models and voices, for programs that use them."
    )

    @model_validator(mode="after")
    def _fallbacks_are_there(self) -> EngineSettings:
        check_chain(self.transcribers, self.transcriber, ("transcriber",))
        for name, transcriber in self.transcribers.items():
            check_chain(self.transcribers, transcriber, ("transcribers", name))
        for name, voice in self.voices.items():
            check_chain(self.voices, voice, ("voices", name))
        for name, model in self.models.items():
            check_chain(self.models, model, ("models", name))
            if model.fallback is not None and _hears(model) and not _hears(self.models[model.fallback]):
                what = f'"{name}" hears the caller itself, so has "{model.fallback}" to; its audio_input is false'
                raise wrong(model, ("models", name), what)
        return self

    @model_validator(mode="after")
    def _aliases_stand_for_something(self) -> EngineSettings:
        check_aliases("models", self.aliases.models, self.models)
        check_aliases("voices", self.aliases.voices, self.voices)
        return self


def _hears(model: LlamaSettings | OpenAIModelSettings | ScriptedModelSettings) -> bool:
    return not isinstance(model, LlamaSettings) and model.audio_input
