"""Data messages from the client: JSON → frozen, tagged types.

Names and fields: the Ultravox data message protocol (client to server). Keys are camelCase; their snake_case
spelling is taken too. ``null`` means absent. Keys nobody knows are ignored, as a newer client may send them; a wrong
type, a missing field or an unknown ``type`` is a :class:`antiphon.errors.MessageError` that names it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from antiphon.call.events import Urgency
from antiphon.call.messages import Modality
from antiphon.errors import MessageError
from antiphon.wire import json_text

MAIN_THREAD = "UI"
"""The thread that is the call itself."""

MAX_CHARACTERS = 1_048_576
"""Of one message, as much as a REST body may have: reading JSON holds up everything else in the process."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Measures the round trip; answered by a pong with the same timestamp."""

    timestamp: float


@dataclass(frozen=True, slots=True)
class UserTextMessage:
    """Words the caller wrote. Empty ``text`` with ``IMMEDIATE`` interrupts the agent and does nothing else.

    ``by_old_name``: it came as ``input_text_message`` and names no urgency.
    """

    text: str
    urgency: Urgency = Urgency.SOON
    thread_id: str = MAIN_THREAD
    by_old_name: bool = False


@dataclass(frozen=True, slots=True)
class SetOutputMedium:
    """The agent answers by voice or in writing from the end of the current utterance on."""

    medium: Modality


@dataclass(frozen=True, slots=True)
class HangUp:
    """The agent ends the call, saying ``message`` first if there is one."""

    message: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool outside the server answered.

    ``result`` is text as the model sees it (a value that was not a string is its JSON). ``agent_reaction`` None
    leaves it to the tool's default.
    """

    invocation_id: str
    result: str | None = None
    response_type: str = "tool-response"
    agent_reaction: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    update_call_state: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ClientToolResult(ToolResult):
    """The result of a tool the client implements."""


@dataclass(frozen=True, slots=True)
class DataConnectionToolResult(ToolResult):
    """The result of a tool the data connection implements."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool invocation the agent is made to do. ``id`` None: the server makes one."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ForcedAgentMessage:
    """Words the agent is made to say, tools it is made to call."""

    content: str = ""
    uninterruptible: bool = False
    urgency: Urgency = Urgency.SOON
    thread_id: str = MAIN_THREAD
    tool_calls: tuple[ToolCall, ...] = ()
    known_tool_results: tuple[ToolResult, ...] = ()


@dataclass(frozen=True, slots=True)
class ThreadLimits:
    """Bounds on what a thread may use; None is unbounded."""

    thread_output_tokens: int | None = None
    thread_fuzzy_input_tokens: int | None = None
    generations: int | None = None
    generation_output_tokens: int | None = None
    generation_fuzzy_input_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class SpawnThread:
    """A side conversation that starts from a copy of ``parent_thread_id``'s history."""

    new_thread_id: str | None = None
    parent_thread_id: str = MAIN_THREAD
    replace_existing: bool = False
    additional_messages: tuple[UserTextMessage | ForcedAgentMessage, ...] = ()
    allowed_tools: tuple[str, ...] | None = None
    disallowed_tools: tuple[str, ...] = ()
    limits: ThreadLimits = ThreadLimits()


Incoming: TypeAlias = (
    Ping
    | UserTextMessage
    | SetOutputMedium
    | HangUp
    | ClientToolResult
    | DataConnectionToolResult
    | ForcedAgentMessage
    | SpawnThread
)


def parse(text: str) -> Incoming:
    """One text frame. Raises :class:`MessageError`, never anything else."""
    if len(text) > MAX_CHARACTERS:
        raise MessageError(f"a message of more than {MAX_CHARACTERS} characters is not taken")
    try:
        value = json_text.decode(text)
    except json_text.BadJson as error:
        raise MessageError(str(error)) from None
    if not isinstance(value, dict):
        raise MessageError(f"expected a JSON object with a type, got {json_text.kind(value)}")
    return _parse(value)


def parse_object(value: Mapping[str, Any]) -> Incoming:
    """A message that is already an object (REST, data connection). Raises :class:`MessageError`."""
    try:
        json_text.check(dict(value))
    except json_text.BadJson as error:
        raise MessageError(str(error)) from None
    return _parse(value)


def _parse(value: Mapping[str, Any]) -> Incoming:
    name = value.get("type")
    if name is None:
        raise MessageError("type: is required")
    if not isinstance(name, str):
        raise MessageError(f"type: expected a string, got {json_text.kind(name)}")
    reader = _READERS.get(name)
    if reader is None:
        raise MessageError(f"type: {name[:40]!r} is not known; known are {', '.join(sorted(_READERS))}")
    return reader(_Fields(value, name))


_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


class _Fields:
    """Reads an object's fields by their camelCase names (or snake_case), with types checked."""

    def __init__(self, value: Mapping[str, Any], where: str) -> None:
        self._value = value
        self._where = where

    def _get(self, name: str) -> Any:
        found = self._value.get(name)
        return found if found is not None else self._value.get(_HUMP.sub("_", name).lower())

    def _wrong(self, name: str, expected: str, got: Any) -> MessageError:
        return MessageError(f"{self._where}.{name}: expected {expected}, got {json_text.kind(got)}")

    def missing(self, name: str) -> MessageError:
        return MessageError(f"{self._where}.{name}: is required")

    def text(self, name: str) -> str | None:
        value = self._get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        return value

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise self.missing(name)
        return value

    def choice(self, name: str, known: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is not None and value not in known:
            raise MessageError(f"{self._where}.{name}: expected one of {', '.join(known)}")
        return value

    def flag(self, name: str) -> bool:
        value = self._get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return bool(value)

    def number(self, name: str) -> float:
        value = self._get(name)
        if value is None:
            raise self.missing(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(name, "a number", value)
        return value  # an int stays one, so that a pong carries the very same timestamp

    def count(self, name: str) -> int | None:
        value = self._get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(name, "an integer of at least 0", value)
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        value = self._get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return value

    def inner(self, name: str) -> _Fields:
        return _Fields(self.mapping(name) or {}, f"{self._where}.{name}")

    def texts(self, name: str) -> tuple[str, ...] | None:
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "an array of strings", value)
        return tuple(value)

    def objects(self, name: str) -> list[_Fields]:
        value = self._get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, "an array", value)
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise self._wrong(f"{name}.{index}", "an object", item)
        return [_Fields(item, f"{self._where}.{name}.{index}") for index, item in enumerate(value)]

    def any_as_text(self, name: str) -> str | None:
        """A string as it is, anything else as its JSON."""
        value = self._get(name)
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False)


_ALL_URGENCIES = tuple(Urgency)
_REACTIONS = ("speaks", "listens", "speaks-once")
_RESPONSE_TYPES = ("tool-response", "hang-up", "new-stage", "send-to-thread")


def _ping(fields: _Fields) -> Ping:
    return Ping(fields.number("timestamp"))


def _user_text(fields: _Fields) -> UserTextMessage:
    urgency = fields.choice("urgency", _ALL_URGENCIES)
    if urgency is None:
        urgency = Urgency.LATER if fields.flag("deferResponse") else Urgency.SOON
    return UserTextMessage(fields.required_text("text"), Urgency(urgency), fields.text("threadId") or MAIN_THREAD)


def _input_text(fields: _Fields) -> UserTextMessage:
    message = _user_text(fields)
    return replace(message, by_old_name=fields.text("urgency") is None)


def _set_output_medium(fields: _Fields) -> SetOutputMedium:
    medium = fields.choice("medium", tuple(Modality))
    if medium is None:
        raise fields.missing("medium")
    return SetOutputMedium(Modality(medium))


def _hang_up(fields: _Fields) -> HangUp:
    return HangUp(fields.text("message") or "")


def _tool_result(fields: _Fields, kind: Callable[..., Any] = ToolResult) -> Any:
    return kind(
        invocation_id=fields.required_text("invocationId"),
        result=fields.any_as_text("result"),
        response_type=fields.choice("responseType", _RESPONSE_TYPES) or "tool-response",
        agent_reaction=fields.choice("agentReaction", _REACTIONS),
        error_type=fields.text("errorType"),
        error_message=fields.text("errorMessage"),
        update_call_state=fields.mapping("updateCallState"),
    )


def _tool_call(fields: _Fields) -> ToolCall:
    return ToolCall(fields.required_text("name"), fields.mapping("arguments") or {}, fields.text("id"))


def _forced(fields: _Fields) -> ForcedAgentMessage:
    urgency = fields.choice("urgency", (Urgency.IMMEDIATE, Urgency.SOON))
    return ForcedAgentMessage(
        content=fields.text("content") or "",
        uninterruptible=fields.flag("uninterruptible"),
        urgency=Urgency(urgency) if urgency else Urgency.SOON,
        thread_id=fields.text("threadId") or MAIN_THREAD,
        tool_calls=tuple(_tool_call(item) for item in fields.objects("toolCalls")),
        known_tool_results=tuple(_tool_result(item) for item in fields.objects("knownToolResults")),
    )


def _additional(fields: _Fields) -> UserTextMessage | ForcedAgentMessage:
    name = fields.choice("type", ("user_text_message", "forced_agent_message"))
    if name is None:
        raise fields.missing("type")
    return _user_text(fields) if name == "user_text_message" else _forced(fields)


def _spawn_thread(fields: _Fields) -> SpawnThread:
    tools, limits = fields.inner("toolFilter"), fields.inner("limits")
    return SpawnThread(
        new_thread_id=fields.text("newThreadId") or None,
        parent_thread_id=fields.text("parentThreadId") or MAIN_THREAD,
        replace_existing=fields.choice("ifExists", ("reject", "replace")) == "replace",
        additional_messages=tuple(_additional(item) for item in fields.objects("additionalMessages")),
        allowed_tools=tools.texts("allowedTools"),
        disallowed_tools=tools.texts("disallowedTools") or (),
        limits=ThreadLimits(
            thread_output_tokens=limits.count("threadOutputTokenLimit"),
            thread_fuzzy_input_tokens=limits.count("threadFuzzyInputTokenLimit"),
            generations=limits.count("generationLimit"),
            generation_output_tokens=limits.count("generationOutputTokenLimit"),
            generation_fuzzy_input_tokens=limits.count("generationFuzzyInputTokenLimit"),
        ),
    )


_READERS: dict[str, Callable[[_Fields], Incoming]] = {
    "ping": _ping,
    "user_text_message": _user_text,
    "input_text_message": _input_text,  # the name before 2025
    "set_output_medium": _set_output_medium,
    "hang_up": _hang_up,
    "client_tool_result": lambda fields: _tool_result(fields, ClientToolResult),
    "data_connection_tool_result": lambda fields: _tool_result(fields, DataConnectionToolResult),
    "forced_agent_message": _forced,
    "spawn_thread": _spawn_thread,
}
