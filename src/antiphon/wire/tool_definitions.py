"""Tools as JSON has them → tools as ``tools/`` knows them, and the way back for what REST shows of a call's tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from antiphon.call.prompt import Reaction
from antiphon.tools.definition import (
    DEFAULT_TIMEOUT_S,
    AutomaticParameter,
    CallTool,
    ClientImplementation,
    DataConnectionImplementation,
    Definition,
    DynamicParameter,
    HttpImplementation,
    Implementation,
    KnownValue,
    Location,
    SecurityOption,
    Selected,
    StaticParameter,
    TokenPlace,
    TokenRequirement,
)
from antiphon.wire import tools as wire
from antiphon.wire.durations import format_duration

_LOCATION = "PARAMETER_LOCATION_"
_KNOWN = "KNOWN_PARAM_"
_REACTION = "AGENT_REACTION_"


def to_selected(selected: wire.SelectedTool) -> Selected:
    """A tool as a call's request selects it."""
    return Selected(
        tool_id=selected.tool_id,
        tool_name=selected.tool_name,
        temporary=None if selected.temporary_tool is None else to_definition(selected.temporary_tool),
        name=selected.name_override,
        description=selected.description_override,
        tokens=dict(selected.auth_tokens or {}),
        overrides=dict(selected.parameter_overrides or {}),
    )


def to_definition(tool: wire.ToolDefinition) -> Definition:
    """A tool as it is defined. A parameter without a place goes into the query where the method has no body."""
    implementation = _implementation(tool)
    bodiless = isinstance(implementation, HttpImplementation) and implementation.method in ("GET", "HEAD", "DELETE")
    otherwise = Location.QUERY if bodiless else Location.BODY
    requirements = tool.requirements or wire.ToolRequirements()
    security = requirements.http_security_options or wire.SecurityOptions()
    return Definition(
        name=tool.model_tool_name,
        description=tool.description or "",
        implementation=implementation,
        dynamic=tuple(
            DynamicParameter(item.name, _location(item.location, otherwise), item.json_schema or {}, item.required)
            for item in tool.dynamic_parameters or ()
        ),
        static=tuple(
            StaticParameter(item.name, _location(item.location, otherwise), item.value)
            for item in tool.static_parameters or ()
        ),
        automatic=tuple(
            AutomaticParameter(
                item.name, _location(item.location, otherwise), KnownValue(item.known_value.removeprefix(_KNOWN))
            )
            for item in tool.automatic_parameters or ()
        ),
        security=tuple(_option(option) for option in security.options or ()),
        required_overrides=tuple(requirements.required_parameter_overrides or ()),
        timeout_s=DEFAULT_TIMEOUT_S if tool.timeout is None else tool.timeout,
        precomputable=tool.precomputable,
        reaction=Reaction(tool.default_reaction.removeprefix(_REACTION).lower().replace("_", "-")),
        static_response=None if tool.static_response is None else tool.static_response.response_text or "",
    )


def call_tool_json(tool: CallTool) -> dict[str, Any]:
    """``ultravox.v1.CallTool``: a tool as used for one call, without what authenticates it."""
    spec = tool.spec
    shown: dict[str, Any] = {
        "description": spec.description,
        "dynamicParameters": [
            {"name": item.name, **_place(item.location), "schema": dict(item.schema), "required": item.required}
            for item in tool.dynamic
        ],
        "staticParameters": [{"name": item.name, **_place(item.location), "value": item.value} for item in tool.static],
        "automaticParameters": [
            {"name": item.name, **_place(item.location), "knownValue": f"{_KNOWN}{item.known_value}"}
            for item in tool.automatic
        ],
        "timeout": format_duration(spec.timeout_s),
        "precomputable": spec.precomputable,
        "defaultReaction": f"{_REACTION}{spec.reaction.upper().replace('-', '_')}",
    }
    if spec.static_response is not None:
        shown["staticResponse"] = {"responseText": spec.static_response}
    match tool.implementation:
        case HttpImplementation(url_pattern, method):
            shown["http"] = {
                "baseUrlPattern": url_pattern,
                "httpMethod": method,
                "authHeaders": _names(tool, TokenPlace.HEADER, TokenPlace.AUTHORIZATION),
                "authQueryParams": _names(tool, TokenPlace.QUERY),
            }
        case ClientImplementation():
            shown["client"] = {}
        case DataConnectionImplementation():
            shown["dataConnection"] = {}
    return shown


def _names(tool: CallTool, *places: TokenPlace) -> list[str]:
    return [
        "Authorization" if item.place is TokenPlace.AUTHORIZATION else item.name
        for item in tool.credentials
        if item.place in places
    ]


def _place(location: Location) -> dict[str, str]:
    return {"location": f"{_LOCATION}{location.upper()}"}


def _implementation(tool: wire.ToolDefinition) -> Implementation:
    if tool.http is not None:
        return HttpImplementation(tool.http.base_url_pattern, tool.http.http_method.upper())
    return ClientImplementation() if tool.client is not None else DataConnectionImplementation()


def _location(location: str | None, otherwise: Location) -> Location:
    return otherwise if location is None else Location(location.removeprefix(_LOCATION).lower())


def _option(option: wire.SecurityRequirements) -> SecurityOption:
    tokens: Iterable[tuple[str, wire.SecurityRequirement]] = (option.requirements or {}).items()
    return SecurityOption(
        tuple(_requirement(token, requirement) for token, requirement in tokens),
        call_token=option.ultravox_call_token_requirement is not None,
    )


def _requirement(token: str, requirement: wire.SecurityRequirement) -> TokenRequirement:
    if requirement.query_api_key is not None:
        return TokenRequirement(token, TokenPlace.QUERY, requirement.query_api_key.name or "")
    if requirement.header_api_key is not None:
        return TokenRequirement(token, TokenPlace.HEADER, requirement.header_api_key.name or "")
    scheme = requirement.http_auth.scheme if requirement.http_auth is not None else None
    return TokenRequirement(token, TokenPlace.AUTHORIZATION, scheme or "Bearer")
