"""What came of an invocation, put into the one form that the core knows.

The model reads ``text``: one short sentence of a failure, from which it can go on. ``error_details`` is for the
record. Source of the names: the Ultravox tool result messages and ``X-Ultravox-...`` response headers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from antiphon.call.prompt import Reaction
from antiphon.call.tools.outcomes import ResponseType, ToolOutcome
from antiphon.tools.definition import CallTool
from antiphon.tools.json_values import compact, read_object

MAX_RESULT_CHARACTERS = 32_768
"""Of a result that a model reads; the rest is cut off, and the model told."""
MAX_DETAIL_CHARACTERS = 8_192

EMPTY = "(no content)"


def failed(text: str, details: str | None = None) -> ToolOutcome:
    """A failure: ``text`` for the model, ``details`` for the record (the same by default)."""
    return ToolOutcome(text, failed=True, error_details=shortened(details or text, MAX_DETAIL_CHARACTERS))


def timed_out(name: str, timeout_s: float) -> ToolOutcome:
    """No answer in time. What the tool does meanwhile is not known."""
    return failed(f'The tool "{name}" did not answer within {timeout_s:g} seconds.')


def unknown(name: str, known: Iterable[str]) -> ToolOutcome:
    """The model wants a tool that there is none of."""
    listed = ", ".join(known)
    return failed(
        f'There is no tool "{shortened(name, 64)}". ' + (f"There are: {listed}." if listed else "There are none.")
    )


def unreadable(problem: str) -> ToolOutcome:
    """What the model filled in is no JSON object."""
    return failed(f"The tool was not used, its arguments have to be a JSON object: {shortened(problem, 200)}")


def static(tool: CallTool) -> ToolOutcome:
    """The answer that is known beforehand, of a tool that has one."""
    return ToolOutcome(tool.spec.static_response or EMPTY)


def from_result(
    name: str,
    *,
    result: str | None = None,
    response_type: str = ResponseType.TOOL_RESPONSE,
    agent_reaction: str | None = None,
    error_type: str | None = None,
    error_message: str | None = None,
    update_call_state: Mapping[str, Any] | None = None,
) -> ToolOutcome:
    """What a client or a data connection answered for the tool ``name``. ``error_message`` is kept from the model."""
    if error_type or (error_message and result is None):
        if error_type == "undefined":
            text = f'The tool "{name}" is not available.'
        else:
            text = result or f'The tool "{name}" failed.'
        details = f"{error_type or 'error'}: {error_message}" if error_message else f"{error_type}: {text}"
        return failed(shortened(text, MAX_RESULT_CHARACTERS), details)
    return answered(name, result or "", response_type, agent_reaction, update_call_state)


def answered(
    name: str,
    text: str,
    response_type: str | None,
    reaction: str | None,
    state_update: Mapping[str, Any] | None,
) -> ToolOutcome:
    """An answer that is not an error. One that cannot be understood is a failure that says so."""
    try:
        kind = ResponseType((response_type or ResponseType.TOOL_RESPONSE).strip().lower())
    except ValueError:
        return _not_understood(name, "response type", response_type, ResponseType)
    try:
        wanted = Reaction(reaction.strip().lower()) if reaction else None
    except ValueError:
        return _not_understood(name, "agent reaction", reaction, Reaction)
    if kind is ResponseType.HANG_UP:
        return _hang_up(name, text, wanted, state_update)
    if kind is ResponseType.TOOL_RESPONSE:
        return ToolOutcome(bounded(text) or EMPTY, reaction=wanted, state_update=state_update)
    try:
        read_object(text)
    except ValueError as error:
        return failed(
            f'The tool "{name}" gave an answer that cannot be used.',
            f"a {kind} answer has to be a JSON object: {error}\n{text}",
        )
    return ToolOutcome(text, response_type=kind, reaction=wanted, state_update=state_update)


def json_object(text: str) -> dict[str, Any]:
    """The object that ``text`` is the JSON of; raises ``ValueError``. For the bodies of new stages and the like."""
    return read_object(text)


def bounded(text: str) -> str:
    """A result as the model may have it."""
    if len(text) <= MAX_RESULT_CHARACTERS:
        return text
    return f"{text[:MAX_RESULT_CHARACTERS]}\n[{len(text) - MAX_RESULT_CHARACTERS} more characters were cut off]"


def shortened(text: str, length: int) -> str:
    """At most ``length`` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _hang_up(name: str, text: str, reaction: Reaction | None, state_update: Mapping[str, Any] | None) -> ToolOutcome:
    """The answer may be an object with ``message`` and ``strict`` (true unless it says otherwise)."""
    try:
        body = read_object(text)
    except ValueError:
        body = {}
    message, strict = body.get("message") or "", body.get("strict")
    if not isinstance(message, str) or not isinstance(strict, bool | None):
        return failed(
            f'The tool "{name}" gave an answer that cannot be used.',
            f"a hang-up's message has to be a string and its strict true or false\n{compact(body)}",
        )
    return ToolOutcome(
        bounded(text) or EMPTY,
        response_type=ResponseType.HANG_UP,
        reaction=reaction,
        state_update=state_update,
        closing_message=message,
        strict=strict is not False,
    )


def _not_understood(name: str, what: str, value: str | None, known: Iterable[str]) -> ToolOutcome:
    return failed(
        f'The tool "{name}" gave an answer that cannot be used.',
        f"unknown {what} {shortened(repr(value), 100)}; known are {', '.join(known)}",
    )
