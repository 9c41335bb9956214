"""``ultravox.v1.SelectedTool`` and what a temporary tool is defined by."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, FailFast, Field, model_validator

from antiphon.wire import fields
from antiphon.wire.fields import (
    Flag,
    HttpUrl,
    JsonObject,
    NonEmptyText,
    PositiveDuration,
    StringMap,
    Text,
    ToolName,
    WireModel,
)

MAX_TOOL_TIMEOUT_S = 40.0
MAX_PARAMETERS = 100
"""Of each kind; and of whatever else a tool has several."""

MAX_SCHEMA_PARTS = 2_000
"""Values in the schemas of one tool. To check them takes 0.1 ms each, at the creation of every call that has it."""

T = TypeVar("T")
Some: TypeAlias = Annotated[tuple[T, ...], FailFast(), Field(max_length=MAX_PARAMETERS)]
SomeByName: TypeAlias = Annotated[dict[str, T], BeforeValidator(fields.few_enough)]

Location = Literal[
    "PARAMETER_LOCATION_QUERY", "PARAMETER_LOCATION_PATH", "PARAMETER_LOCATION_HEADER", "PARAMETER_LOCATION_BODY"
]
KnownValue = Literal[
    "KNOWN_PARAM_CALL_ID",
    "KNOWN_PARAM_CONVERSATION_HISTORY",
    "KNOWN_PARAM_OUTPUT_SAMPLE_RATE",
    "KNOWN_PARAM_CALL_STATE",
    "KNOWN_PARAM_CALL_STAGE_ID",
    "KNOWN_PARAM_THREAD_ID",
    "KNOWN_PARAM_THREAD_STATES",
    "KNOWN_PARAM_CALL_METADATA",
]
Reaction = Literal["AGENT_REACTION_SPEAKS", "AGENT_REACTION_LISTENS", "AGENT_REACTION_SPEAKS_ONCE"]


class DynamicParameter(WireModel):
    """A parameter the model fills; ``schema`` is its JSON schema."""

    name: NonEmptyText
    location: Location | None = None
    json_schema: JsonObject | None = Field(default=None, alias="schema")
    required: Flag = False


class StaticParameter(WireModel):
    """A parameter that is always sent, with this value."""

    name: NonEmptyText
    location: Location | None = None
    value: Any = None


class AutomaticParameter(WireModel):
    """A parameter the server knows the value of."""

    name: NonEmptyText
    location: Location | None = None
    known_value: KnownValue


class QueryApiKey(WireModel):
    """An API key in the query string."""

    name: Text | None = None


class HeaderApiKey(WireModel):
    """An API key in a header."""

    name: Text | None = None


class HttpAuth(WireModel):
    """An ``Authorization`` header."""

    scheme: Text | None = None


class SecurityRequirement(WireModel):
    """Exactly one way to authenticate."""

    query_api_key: QueryApiKey | None = None
    header_api_key: HeaderApiKey | None = None
    http_auth: HttpAuth | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        fields.exactly_one(self, tuple(type(self).model_fields))
        return self


class CallTokenRequirement(WireModel):
    """A token that identifies the call."""

    scopes: Some[Text] = ()


class SecurityRequirements(WireModel):
    """All of these have to be met."""

    requirements: SomeByName[SecurityRequirement] | None = None
    ultravox_call_token_requirement: CallTokenRequirement | None = None


class SecurityOptions(WireModel):
    """One of these has to be met."""

    options: Some[SecurityRequirements] = ()


class ToolRequirements(WireModel):
    """What a call has to bring for a tool."""

    http_security_options: SecurityOptions | None = None
    required_parameter_overrides: Some[Text] = ()


class HttpTool(WireModel):
    """A tool behind HTTP; the URL may hold ``{placeholders}`` for path parameters."""

    base_url_pattern: HttpUrl
    http_method: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z]{1,16}\z")]


class ClientTool(WireModel):
    """A tool the client implements."""


class DataConnectionTool(WireModel):
    """A tool the data connection implements."""


class StaticToolResponse(WireModel):
    """The answer the model gets at once, whatever the tool does."""

    response_text: Text | None = None


class ToolDefinition(WireModel):
    """``ultravox.v1.BaseToolDefinition``."""

    model_tool_name: ToolName
    description: Text | None = None
    dynamic_parameters: Some[DynamicParameter] = ()
    static_parameters: Some[StaticParameter] = ()
    automatic_parameters: Some[AutomaticParameter] = ()
    requirements: ToolRequirements | None = None
    timeout: Annotated[PositiveDuration, AfterValidator(fields.at_most(MAX_TOOL_TIMEOUT_S))] | None = None
    precomputable: Flag = False
    http: HttpTool | None = None
    client: ClientTool | None = None
    data_connection: DataConnectionTool | None = None
    default_reaction: Reaction = "AGENT_REACTION_SPEAKS"
    static_response: StaticToolResponse | None = None

    @model_validator(mode="after")
    def _one_implementation(self) -> Self:
        fields.exactly_one(self, ("http", "client", "data_connection"))
        if self.http is None:
            everything: tuple[DynamicParameter | StaticParameter | AutomaticParameter, ...] = (
                *self.dynamic_parameters,
                *self.static_parameters,
                *self.automatic_parameters,
            )
            if any(item.location not in (None, "PARAMETER_LOCATION_BODY") for item in everything):
                raise fields.wrong("only body parameters are possible for client and data connection tools")
        if sum(_parts(item.json_schema) for item in self.dynamic_parameters) > MAX_SCHEMA_PARTS:
            raise fields.wrong(f"its schemas have more than {MAX_SCHEMA_PARTS} parts", "dynamicParameters")
        return self


def _parts(value: Any) -> int:
    """How many values there are in a JSON value, itself included. The door has bounded its depth."""
    match value:
        case dict():
            return 1 + sum(map(_parts, value.values()))
        case list():
            return 1 + sum(map(_parts, value))
        case _:
            return 1


class SelectedTool(WireModel):
    """A tool of one call: a durable one by id or name, or one defined here."""

    tool_id: NonEmptyText | None = None
    tool_name: NonEmptyText | None = None
    temporary_tool: ToolDefinition | None = None
    name_override: ToolName | None = None
    description_override: Text | None = None
    auth_tokens: StringMap | None = None
    parameter_overrides: JsonObject | None = None
    transition_id: Text | None = None

    @model_validator(mode="after")
    def _one_tool(self) -> Self:
        fields.exactly_one(self, ("tool_id", "tool_name", "temporary_tool"))
        return self

    @property
    def model_name(self) -> str | None:
        """The name the model sees, where the request alone tells."""
        if self.name_override is not None:
            return self.name_override
        return self.temporary_tool.model_tool_name if self.temporary_tool is not None else self.tool_name
