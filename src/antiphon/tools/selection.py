"""The tools of a call: those it asks for, checked, with what it changes about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from antiphon.call.prompt import ToolSpec
from antiphon.errors import InvalidRequest
from antiphon.tools import url_pattern
from antiphon.tools.built_in import BUILT_IN, find_built_in, missing, problem_of_override, spelled_as_defined
from antiphon.tools.definition import (
    MAX_TIMEOUT_S,
    BuiltIn,
    CallTool,
    Credential,
    Definition,
    DynamicParameter,
    HttpImplementation,
    Location,
    Parameter,
    SecurityOption,
    Selected,
    StaticParameter,
    TokenPlace,
)
from antiphon.tools.schema import MAX_KEYWORDS, check_schema, size

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")
_OURS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect")
)
"""Headers that belong to the connection and not to a tool."""


@dataclass(frozen=True, slots=True)
class DurableTool:
    """A tool that is kept on the server."""

    tool_id: str
    definition: Definition


FindDurable: TypeAlias = Callable[[str | None, str | None], DurableTool | None]
"""``(tool_id, tool_name)``, one of them ``None`` → the user's own tool, or ``None``."""


def select(selected: Sequence[Selected], find: FindDurable, path: str = "selectedTools") -> tuple[CallTool, ...]:
    """The tools of a call, in their order. Raises :class:`InvalidRequest` naming the first field that is wrong."""
    tools: list[CallTool] = []
    keywords = 0
    for index, item in enumerate(selected):
        tool = _tool(item, find, f"{path}.{index}")
        if any(tool.spec.name == other.spec.name for other in tools):
            raise InvalidRequest.of(
                f"{path}.{index}", f"the name {tool.spec.name} is used more than once; set nameOverride"
            )
        keywords += sum(size(parameter.schema) for parameter in tool.dynamic)
        if keywords > MAX_KEYWORDS:
            raise InvalidRequest.of(path, f"the schemas of all parameters have more than {MAX_KEYWORDS} keywords")
        tools.append(tool)
    return tuple(tools)


def check_definition(definition: Definition, path: str) -> None:
    """Raise :class:`InvalidRequest` naming a field under ``path`` unless a call can use the tool."""
    if _NAME.fullmatch(definition.name) is None:
        raise InvalidRequest.of(f"{path}.modelToolName", "has to match ^[a-zA-Z0-9_-]{1,64}$")
    if not 0 < definition.timeout_s <= MAX_TIMEOUT_S:
        raise InvalidRequest.of(f"{path}.timeout", f"has to be more than 0 and at most {MAX_TIMEOUT_S:g} s")
    _check_parameters(definition, path)
    if sum(size(parameter.schema) for parameter in definition.dynamic) > MAX_KEYWORDS:
        raise InvalidRequest.of(f"{path}.dynamicParameters", f"their schemas have more than {MAX_KEYWORDS} keywords")
    for index, parameter in enumerate(definition.dynamic):
        check_schema(parameter.schema, f"{path}.dynamicParameters.{index}.schema")
    known = {parameter.name for parameter in definition.parameters}
    for index, name in enumerate(definition.required_overrides):
        if name not in known:
            raise InvalidRequest.of(f"{path}.requirements.requiredParameterOverrides.{index}", f"no parameter {name}")
    for index, option in enumerate(definition.security):
        _check_security(option, f"{path}.requirements.httpSecurityOptions.options.{index}")
    if isinstance(definition.implementation, HttpImplementation):
        _check_http(definition, definition.implementation, f"{path}.http")


def _tool(item: Selected, find: FindDurable, path: str) -> CallTool:
    tool_id, definition, named = _resolved(item, find, path)
    check_definition(definition, named)
    overrides = dict(item.overrides)
    if isinstance(definition.implementation, BuiltIn):
        overrides = spelled_as_defined(definition, overrides)
    _check_overrides(definition, overrides, f"{path}.parameterOverrides")
    dynamic = tuple(parameter for parameter in definition.dynamic if parameter.name not in overrides)
    name = item.name or definition.name
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest.of(f"{path}.nameOverride", "has to match ^[a-zA-Z0-9_-]{1,64}$")
    spec = ToolSpec(
        name=name,
        description=definition.description if item.description is None else item.description,
        parameters=_object_schema(dynamic),
        precomputable=definition.precomputable,
        static_response=definition.static_response,
        reaction=definition.reaction,
        timeout_s=definition.timeout_s,
    )
    return CallTool(
        spec=spec,
        implementation=definition.implementation,
        dynamic=dynamic,
        static=(
            *(
                StaticParameter(parameter.name, parameter.location, overrides[parameter.name])
                for parameter in definition.parameters
                if parameter.name in overrides and not isinstance(parameter, StaticParameter)
            ),
            *(
                StaticParameter(parameter.name, parameter.location, overrides.get(parameter.name, parameter.value))
                for parameter in definition.static
            ),
        ),
        automatic=tuple(parameter for parameter in definition.automatic if parameter.name not in overrides),
        credentials=_credentials(definition.security, item.tokens, f"{path}.authTokens"),
        tool_id=tool_id,
    )


def _resolved(item: Selected, find: FindDurable, path: str) -> tuple[str | None, Definition, str]:
    """The tool's id, its definition, and the name of the field that holds or names it."""
    if item.temporary is not None:
        return None, item.temporary, f"{path}.temporaryTool"
    durable = find(item.tool_id, item.tool_name)
    if durable is not None:
        return durable.tool_id, durable.definition, path
    built_in = find_built_in(item.tool_id, item.tool_name)
    if built_in is not None:
        return built_in.tool_id, built_in.definition, path
    field = "toolName" if item.tool_id is None else "toolId"
    if (why := missing(item.tool_id, item.tool_name)) is not None:
        raise InvalidRequest.of(f"{path}.{field}", f"the tool cannot be had: {why}")
    if item.tool_id is not None:
        raise InvalidRequest.of(f"{path}.toolId", f"there is no tool with the id {item.tool_id[:64]}")
    raise InvalidRequest.of(
        f"{path}.toolName",
        f"there is no tool named {(item.tool_name or '')[:64]}; built in are {', '.join(BUILT_IN)}",
    )


def _object_schema(dynamic: Sequence[DynamicParameter]) -> dict[str, Any]:
    shown: dict[str, Any] = {"type": "object", "properties": {item.name: dict(item.schema) for item in dynamic}}
    required = [item.name for item in dynamic if item.required]
    return {**shown, "required": required} if required else shown


def _check_overrides(definition: Definition, overrides: Mapping[str, Any], path: str) -> None:
    known = [parameter.name for parameter in definition.parameters]
    for name, value in overrides.items():
        if name not in known:
            listed = f"there are {', '.join(known)}" if known else "the tool has none"
            raise InvalidRequest.of(f"{path}.{name}", f"is not a parameter of {definition.name}; {listed}")
        if isinstance(definition.implementation, BuiltIn):
            wrong = problem_of_override(definition, name, value)
            if wrong is not None:
                raise InvalidRequest.of(f"{path}.{name}", wrong)
        else:
            _check_fixed_value(definition, name, value, f"{path}.{name}")
    for name in definition.required_overrides:
        if name not in overrides:
            raise InvalidRequest.of(f"{path}.{name}", f"is required by {definition.name}")


def _check_fixed_value(definition: Definition, name: str, value: Any, path: str) -> None:
    for parameter in definition.parameters:
        if parameter.name == name:
            _check_value(parameter.location, value, path)


def _check_value(location: Location, value: Any, path: str) -> None:
    if location is Location.PATH and value in (None, ""):
        raise InvalidRequest.of(path, "a path parameter may not be empty")
    if location is Location.HEADER and isinstance(value, str) and _UNSENDABLE.search(value):
        raise InvalidRequest.of(path, "a header may not contain line breaks or control characters")


def _check_parameters(definition: Definition, path: str) -> None:
    """Names are unique in their place, those that the model sees everywhere; headers can be sent."""
    http = isinstance(definition.implementation, HttpImplementation)
    seen: set[tuple[Location, str]] = set()
    model_names: set[str] = set()
    kinds: tuple[tuple[str, Sequence[Parameter]], ...] = (
        ("dynamicParameters", definition.dynamic),
        ("staticParameters", definition.static),
        ("automaticParameters", definition.automatic),
    )
    for kind, parameters in kinds:
        for index, parameter in enumerate(parameters):
            where = f"{path}.{kind}.{index}"
            header = parameter.location is Location.HEADER
            place = (parameter.location, parameter.name.lower() if header else parameter.name)
            if place in seen or (isinstance(parameter, DynamicParameter) and parameter.name in model_names):
                raise InvalidRequest.of(f"{where}.name", f"there is another parameter {parameter.name}")
            seen.add(place)
            if isinstance(parameter, DynamicParameter):
                model_names.add(parameter.name)
            if not http and parameter.location is not Location.BODY:
                raise InvalidRequest.of(f"{where}.location", "only an HTTP tool has places other than the body")
            if header:
                _check_header(parameter.name, f"{where}.name")
            if isinstance(parameter, StaticParameter):
                _check_value(parameter.location, parameter.value, f"{where}.value")


def _check_header(name: str, path: str) -> None:
    if _HEADER.fullmatch(name) is None:
        raise InvalidRequest.of(path, "is not the name of a header")
    if name.lower() in _OURS:
        raise InvalidRequest.of(path, f"the header {name} is the connection's own")


def _check_http(definition: Definition, http: HttpImplementation, path: str) -> None:
    if http.method not in METHODS:
        raise InvalidRequest.of(f"{path}.httpMethod", f"has to be one of {', '.join(METHODS)}")
    wrong = url_pattern.problem(http.url_pattern)
    if wrong is not None:
        raise InvalidRequest.of(f"{path}.baseUrlPattern", wrong)
    names = url_pattern.placeholders(http.url_pattern)
    known = {parameter.name for parameter in definition.parameters}
    for name in names:
        if name not in known:
            raise InvalidRequest.of(f"{path}.baseUrlPattern", f"no parameter fills the placeholder {{{name}}}")
    for parameter in definition.parameters:
        if parameter.location is Location.PATH and parameter.name not in names:
            raise InvalidRequest.of(
                f"{path}.baseUrlPattern", f"has no placeholder {{{parameter.name}}} for the path parameter of that name"
            )


def _check_security(option: SecurityOption, path: str) -> None:
    for requirement in option.tokens:
        where = f"{path}.requirements.{requirement.token}"
        match requirement.place:
            case TokenPlace.QUERY:
                if not requirement.name:
                    raise InvalidRequest.of(f"{where}.queryApiKey.name", "is required")
            case TokenPlace.HEADER:
                _check_header(requirement.name, f"{where}.headerApiKey.name")
            case TokenPlace.AUTHORIZATION:
                if _HEADER.fullmatch(requirement.name) is None:
                    raise InvalidRequest.of(f"{where}.httpAuth.scheme", "is not the name of a scheme, such as Bearer")


def _credentials(options: Sequence[SecurityOption], tokens: Mapping[str, str], path: str) -> tuple[Credential, ...]:
    """The first option that wants something and has all of it; else the one that wants nothing, if there is one."""
    for name, value in tokens.items():
        if _UNSENDABLE.search(value):
            raise InvalidRequest.of(f"{path}.{name}", "may not contain line breaks or control characters")
    possible = [option for option in options if not option.call_token]
    for option in possible:
        if option.tokens and all(requirement.token in tokens for requirement in option.tokens):
            return tuple(Credential(item.place, item.name, tokens[item.token]) for item in option.tokens)
    if not options or any(not option.tokens for option in possible):
        return ()
    if not possible:
        raise InvalidRequest.of(path, "the tool needs an Ultravox call token, which this server does not issue")
    ways = " or ".join(" and ".join(item.token for item in option.tokens) for option in possible)
    raise InvalidRequest.of(path, f"the tool needs the tokens {ways}")
