"""``ultravox.v1.StartCallRequest``, the whole of it: a JSON body → a frozen :class:`CallRequest`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from antiphon.call.messages import Modality
from antiphon.errors import FieldError, InvalidRequest
from antiphon.wire import json_text
from antiphon.wire.call_parts import (
    AgentGreeting,
    Callbacks,
    DataConnection,
    FirstSpeakerSettings,
    InitialMessage,
    MessageMedium,
    SharedSecret,
    TimedMessage,
    VadSettings,
)
from antiphon.wire.fields import (
    Flag,
    JsonObject,
    Many,
    Number,
    PositiveDuration,
    StringMap,
    Text,
    WireModel,
    at_most,
    wrong,
)
from antiphon.wire.medium import CallMedium, WebRtcMedium
from antiphon.wire.tools import SelectedTool
from antiphon.wire.voices import ExternalVoice

ModelT = TypeVar("ModelT", bound=WireModel)

DEFAULT_MODEL = "ultravox-v0.7"
MAX_INITIAL_MESSAGES = 2_000
"""Each becomes a row; a megabyte of them keeps other calls waiting for half a second."""

MAX_JOIN_TIMEOUT_S = 3600.0
"""A call that waits for its join holds a place among those that are expected."""

MAX_TOOLS = 200
"""Each is looked up and checked when the call is created; models choose badly among far fewer."""

MAX_SHARED_SECRETS = 50
"""Each adds a signature to a header, and servers take headers of 8 KB."""

MAX_FIELDS_NAMED = 20
"""Wrong fields listed in one answer."""

_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")


def _language(value: str) -> str:
    if value and (len(value) > 16 or _LANGUAGE.fullmatch(value) is None):
        raise wrong('expected a BCP 47 language code of at most 16 characters, such as "en" or "pt-BR"')
    return value


def _metadata(value: dict[str, str]) -> dict[str, str]:
    for key in value:
        if key.startswith("ultravox."):
            raise wrong('keys may not start with "ultravox.", which is reserved')
    return value


class CallRequest(WireModel):
    """What a call is created with. Durations are seconds; ``to_json()`` is the body as sent, to be stored."""

    system_prompt: Text | None = None
    temperature: Annotated[Number, Field(ge=0, le=1)] = 0.0
    model: Text = DEFAULT_MODEL
    voice: Text | None = None
    external_voice: ExternalVoice | None = None
    language_hint: Annotated[Text, AfterValidator(_language)] | None = None
    initial_messages: Annotated[Many[InitialMessage], Field(max_length=MAX_INITIAL_MESSAGES)] = ()
    join_timeout: Annotated[PositiveDuration, AfterValidator(at_most(MAX_JOIN_TIMEOUT_S))] = 30.0
    max_duration: PositiveDuration = 3600.0
    time_exceeded_message: Text | None = None
    inactivity_messages: Many[TimedMessage] = ()
    selected_tools: Annotated[Many[SelectedTool], Field(max_length=MAX_TOOLS)] = ()
    medium: CallMedium = CallMedium()
    recording_enabled: Flag = False
    first_speaker: Literal["FIRST_SPEAKER_AGENT", "FIRST_SPEAKER_USER"] | None = None
    transcript_optional: Flag = True
    initial_output_medium: MessageMedium = "MESSAGE_MEDIUM_VOICE"
    vad_settings: VadSettings | None = None
    first_speaker_settings: FirstSpeakerSettings = FirstSpeakerSettings()
    experimental_settings: JsonObject | None = None
    metadata: Annotated[StringMap, AfterValidator(_metadata)] = Field(default_factory=dict)
    initial_state: JsonObject = Field(default_factory=dict)
    data_connection: DataConnection | None = None
    callbacks: Callbacks | None = None
    voice_overrides: ExternalVoice | None = None
    retention_policy: Literal["CALL_RETENTION_POLICY_RETAIN", "CALL_RETENTION_POLICY_AUTO_DELETE"] | None = None
    shared_secrets: Annotated[Many[SharedSecret], Field(max_length=MAX_SHARED_SECRETS)] = ()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.voice and self.external_voice is not None:
            raise wrong("excludes voice; at most one of the two may be set", "externalVoice")
        if self.voice_overrides is not None and not self.voice:
            raise wrong("is only possible together with voice", "voiceOverrides")
        settings = self.first_speaker_settings
        if (self.first_speaker == "FIRST_SPEAKER_USER" and settings.agent is not None) or (
            self.first_speaker == "FIRST_SPEAKER_AGENT" and settings.user is not None
        ):
            raise wrong("contradicts firstSpeakerSettings", "firstSpeaker")
        names = [tool.model_name for tool in self.selected_tools if tool.model_name is not None]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise wrong(f"the name {repeated[0]} is used more than once", "selectedTools")
        return self

    @property
    def user_speaks_first(self) -> bool:
        """Whether the agent waits for the caller to begin."""
        return self.first_speaker_settings.user is not None or self.first_speaker == "FIRST_SPEAKER_USER"

    @property
    def greeting(self) -> AgentGreeting:
        """How the agent begins, where it does."""
        return self.first_speaker_settings.agent or AgentGreeting()

    @property
    def vad(self) -> VadSettings:
        """Voice activity settings, with their defaults."""
        return self.vad_settings or VadSettings()

    @property
    def modality(self) -> Modality:
        """How the agent answers until the client changes it."""
        return Modality.TEXT if self.initial_output_medium == "MESSAGE_MEDIUM_TEXT" else Modality.VOICE


def parse_call_request(body: Any) -> CallRequest:
    """The request in a decoded JSON body. Raises :class:`InvalidRequest` naming each wrong field, nothing else."""
    request = parse_body(CallRequest, body)
    if request.medium == CallMedium():
        return request.model_copy(update={"medium": CallMedium(web_rtc=WebRtcMedium())})
    return request


def parse_body(model: type[ModelT], body: Any) -> ModelT:
    """The ``model`` in a decoded JSON body. Raises :class:`InvalidRequest` naming each wrong field, nothing else."""
    if not isinstance(body, Mapping):
        raise InvalidRequest(f"expected a JSON object, got {json_text.kind(body)}")
    try:
        json_text.check(body)
    except json_text.BadJson as error:
        raise InvalidRequest(str(error)) from None
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_input=False)) from None


def _invalid(errors: Iterable[ErrorDetails]) -> InvalidRequest:
    return InvalidRequest.all([FieldError(_path(error), _sentence(error)) for error in errors][:MAX_FIELDS_NAMED])


def _path(error: ErrorDetails) -> str:
    below = str(error.get("ctx", {}).get("path", "")) if error["type"] == "wrong" else ""
    parts = [str(part) for part in error["loc"] if part != "[key]"]
    return ".".join([*parts, below] if below else parts)


def _sentence(error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a known field"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "expected an object"
        case "list_type" | "tuple_type":
            return "expected an array"
        case "string_type":
            return "expected a string"
        case "too_long":
            return f"has to have at most {error['ctx']['max_length']} entries"
        case "bool_type":
            return "expected true or false"
        case _:
            return re.sub(r"^(Input|String) should", "has to", error["msg"])
