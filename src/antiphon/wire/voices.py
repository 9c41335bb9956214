"""``ultravox.v1.ExternalVoice``: a voice the caller brings along, by provider, or what to change about one of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from antiphon.errors import InvalidRequest
from antiphon.wire import fields
from antiphon.wire.fields import Flag, HeaderMap, HttpUrl, Int32, JsonObject, Number, SampleRate, Text, WireModel


class PronunciationDictionary(WireModel):
    """A pronunciation dictionary at ElevenLabs."""

    dictionary_id: Text | None = None
    version_id: Text | None = None


class ElevenLabsVoice(WireModel):
    """A voice served by ElevenLabs."""

    voice_id: Text | None = None
    model: Text | None = None
    speed: Annotated[Number, Field(ge=0.7, le=1.2)] | None = None
    use_speaker_boost: Flag | None = None
    style: Number | None = None
    similarity_boost: Number | None = None
    stability: Number | None = None
    pronunciation_dictionaries: list[PronunciationDictionary] | None = None
    optimize_streaming_latency: Int32 | None = None
    max_sample_rate: Int32 | None = None
    enable_ssml_parsing: Flag | None = None


class CartesiaGenerationConfig(WireModel):
    """How Cartesia's Sonic-3 and later speak."""

    volume: Annotated[Number, Field(ge=0.5, le=2.0)] | None = None
    speed: Annotated[Number, Field(ge=0.6, le=1.5)] | None = None
    emotion: Text | None = None
    pronunciation_dict_id: Text | None = None


class CartesiaVoice(WireModel):
    """A voice served by Cartesia."""

    voice_id: Text | None = None
    model: Text | None = None
    speed: Annotated[Number, Field(ge=-1, le=1)] | None = None
    emotion: Text | None = None
    emotions: list[Text] | None = None
    generation_config: CartesiaGenerationConfig | None = None


class LmntVoice(WireModel):
    """A voice served by LMNT."""

    voice_id: Text | None = None
    model: Text | None = None
    speed: Annotated[Number, Field(ge=0.25, le=2)] | None = None
    conversational: Flag | None = None


class GoogleVoice(WireModel):
    """A voice served by Google."""

    voice_id: Text | None = None
    speaking_rate: Annotated[Number, Field(ge=0.25, le=2)] | None = None


class InworldVoice(WireModel):
    """A voice served by Inworld."""

    voice_id: Text | None = None
    model_id: Text | None = None
    speaking_rate: Annotated[Number, Field(ge=0.5, le=1.5)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    apply_text_normalization: Flag | None = None


class RespeecherVoice(WireModel):
    """A voice served by Respeecher."""

    voice_id: Text | None = None
    model: Text | None = None
    seed: Int32 | None = None
    temperature: Annotated[Number, Field(ge=0)] | None = None
    top_k: Int32 | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[Number, Field(ge=0, le=2)] | None = None
    repetition_penalty: Annotated[Number, Field(ge=1, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=0, le=2)] | None = None

    @model_validator(mode="after")
    def _top_k(self) -> Self:
        if self.top_k is not None and self.top_k != -1 and self.top_k <= 0:
            raise fields.wrong("topK has to be -1 or more than 0")
        return self


class GenericVoice(WireModel):
    """A voice served by any HTTP API that answers JSON requests with audio."""

    url: HttpUrl | None = None
    headers: HeaderMap | None = None
    body: JsonObject | None = None
    response_sample_rate: SampleRate | None = None
    response_words_per_minute: Annotated[Int32, Field(gt=0)] | None = None
    response_mime_type: Text | None = None
    json_audio_field_path: Text | None = None
    json_byte_encoding: Literal["JSON_BYTE_ENCODING_BASE64", "JSON_BYTE_ENCODING_HEX"] | None = None


class ExternalVoice(WireModel):
    """Exactly one provider's voice."""

    eleven_labs: ElevenLabsVoice | None = None
    cartesia: CartesiaVoice | None = None
    lmnt: LmntVoice | None = None
    google: GoogleVoice | None = None
    inworld: InworldVoice | None = None
    respeecher: RespeecherVoice | None = None
    generic: GenericVoice | None = None

    @model_validator(mode="after")
    def _one_provider(self) -> Self:
        fields.exactly_one(self, tuple(type(self).model_fields))
        return self

    @property
    def provider(self) -> tuple[str, WireModel]:
        """The provider's name on the wire, and the voice there."""
        name = next(name for name in type(self).model_fields if getattr(self, name) is not None)
        voice: WireModel = getattr(self, name)
        return str(type(self).model_fields[name].alias), voice


_SPEEDS = frozenset(
    (
        *("elevenLabs.speed", "cartesia.generationConfig.speed", "lmnt.speed"),
        *("google.speakingRate", "inworld.speakingRate", "generic.body.speed"),
    )
)
"""Fields that say how many times as fast a voice is to speak; 1 is as it was made."""

_OTHER_VOICE = frozenset(("voiceId", "model", "modelId"))
"""Another voice, or another price: never a matter of overrides."""

_BODY = "generic.body."
_NOT_OF_BODY = frozenset(("model", "voice", "input", "response_format", "stream_format", "stream"))


@dataclass(frozen=True, slots=True)
class Overrides:
    """What ``voiceOverrides`` ask for. ``speed_field``: the field that says so. ``fields``: of ``generic.body``.

    ``rest``: fields that voices here have nothing like.
    """

    speed: float | None = None
    speed_field: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    rest: tuple[str, ...] = ()


def overrides_of(voice: ExternalVoice, path: str = "voiceOverrides") -> Overrides:
    """What is to be changed about a voice of ours, whatever provider's fields say so.

    Raises :class:`InvalidRequest` naming a field that would be another voice.
    """
    speed, speed_field, rest = None, "", []
    body: dict[str, Any] = {}
    for name, value in _leaves(voice):
        where = f"{path}.{name}"
        if name in _SPEEDS:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InvalidRequest.of(where, "expected a number")
            speed, speed_field = float(value), where
        elif name.startswith(_BODY) and name.removeprefix(_BODY) not in _NOT_OF_BODY:
            body[name.removeprefix(_BODY)] = value
        elif name.startswith("generic."):
            raise InvalidRequest.of(where, "is not to be overridden: how its voice is asked for is the server's own")
        elif name.rpartition(".")[2] in _OTHER_VOICE:
            raise InvalidRequest.of(where, "is not to be overridden: it would be another voice; choose that by voice")
        else:
            rest.append(where)
    return Overrides(speed, speed_field, body, tuple(rest))


def _leaves(voice: ExternalVoice) -> Iterator[tuple[str, Any]]:
    """The fields that are set, by their path below ``voice``; of a generic one's body those at its top."""
    provider, inner = voice.provider
    for name, value in inner.to_json().items():
        nested = isinstance(value, dict) and name in ("generationConfig", "body")
        for key, item in value.items() if nested else [("", value)]:
            yield ".".join(part for part in (provider, name, key) if part), item
