"""Letters to threads: in data messages, and in what a tool answers with ``send-to-thread``."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from antiphon.call.prompt import ToolRequest
from antiphon.call.tools.outcomes import (
    ForcedMessage,
    ResponseType,
    SpawnThread,
    ThreadLimits,
    ThreadMessage,
    ToolOutcome,
    UserText,
)
from antiphon.errors import MessageError
from antiphon.tools import outcomes
from antiphon.wire import incoming, json_text

_KINDS = ("user_text_message", "forced_agent_message", "spawn_thread")


def thread_message_of(
    message: incoming.UserTextMessage | incoming.ForcedAgentMessage | incoming.SpawnThread, *, sealed: bool = False
) -> ThreadMessage:
    """The same for the core. ``sealed``: results that the message knows send no letters themselves."""
    match message:
        case incoming.UserTextMessage():
            return _user_text(message)
        case incoming.ForcedAgentMessage():
            return _forced(message, sealed=sealed)
        case incoming.SpawnThread():
            return _spawn(message, sealed=sealed)


def outcome_of(result: incoming.ToolResult, name: str = "", *, sealed: bool = False) -> ToolOutcome:
    """What somebody outside says came of the tool ``name``. ``sealed``: it may not be a letter to a thread."""
    outcome = outcomes.from_result(
        name,
        result=result.result,
        response_type=result.response_type,
        agent_reaction=result.agent_reaction,
        error_type=result.error_type,
        error_message=result.error_message,
        update_call_state=result.update_call_state,
    )
    if sealed and outcome.response_type is ResponseType.SEND_TO_THREAD:
        return _unusable(name, "a result within a letter cannot be send-to-thread itself")
    return opened(name, outcome)


def opened(name: str, outcome: ToolOutcome) -> ToolOutcome:
    """An outcome of the tool ``name`` with its letter read, where it is one; a failure where that cannot be."""
    if outcome.failed or outcome.response_type is not ResponseType.SEND_TO_THREAD:
        return outcome
    try:
        body = json_text.decode(outcome.text)
        if not isinstance(body, dict):
            raise MessageError(f"expected a JSON object, got {json_text.kind(body)}")
        text, thread_message = _text(body), _thread_message(body)
    except (MessageError, json_text.BadJson) as error:
        return _unusable(name, str(error))
    return replace(outcome, text=outcomes.bounded(text) or outcomes.EMPTY, thread_message=thread_message)


def _unusable(name: str, problem: str) -> ToolOutcome:
    return outcomes.failed(f'The tool "{name}" gave an answer that cannot be used.', f"send-to-thread: {problem}")


def _text(body: dict[str, Any]) -> str:
    value = _either(body, "callingThreadResultText", "calling_thread_result_text")
    if value is None:
        raise MessageError("callingThreadResultText: is required")
    if not isinstance(value, str):
        raise MessageError(f"callingThreadResultText: expected a string, got {json_text.kind(value)}")
    return value


def _thread_message(body: dict[str, Any]) -> ThreadMessage:
    value = _either(body, "dataMessage", "data_message")
    if value is None:
        raise MessageError("dataMessage: is required")
    if not isinstance(value, dict):
        raise MessageError(f"dataMessage: expected an object, got {json_text.kind(value)}")
    if value.get("type") not in _KINDS:
        raise MessageError(f"dataMessage.type: expected one of {', '.join(_KINDS)}")
    try:
        message = incoming.parse_object(value)
    except MessageError as error:
        raise MessageError(f"dataMessage: {error}") from None
    assert isinstance(message, incoming.UserTextMessage | incoming.ForcedAgentMessage | incoming.SpawnThread)
    return thread_message_of(message, sealed=True)


def _either(body: dict[str, Any], name: str, snake: str) -> Any:
    found = body.get(name)
    return found if found is not None else body.get(snake)


def _user_text(message: incoming.UserTextMessage) -> UserText:
    return UserText(message.thread_id, message.text, message.urgency)


def _forced(message: incoming.ForcedAgentMessage, *, sealed: bool) -> ForcedMessage:
    wants = tuple(ToolRequest(call.id or str(uuid.uuid4()), call.name, call.arguments) for call in message.tool_calls)
    names = {want.invocation: want.name for want in wants}
    known = {
        result.invocation_id: outcome_of(result, names.get(result.invocation_id, ""), sealed=sealed)
        for result in message.known_tool_results
    }
    return ForcedMessage(
        message.thread_id, message.content, message.urgency, message.uninterruptible, wants=wants, known=known
    )


def _spawn(message: incoming.SpawnThread, *, sealed: bool) -> SpawnThread:
    limits = message.limits
    return SpawnThread(
        message.new_thread_id or str(uuid.uuid4()),
        message.parent_thread_id,
        replaces=message.replace_existing,
        messages=tuple(
            _user_text(one) if isinstance(one, incoming.UserTextMessage) else _forced(one, sealed=sealed)
            for one in message.additional_messages
        ),
        allowed=message.allowed_tools,
        disallowed=message.disallowed_tools,
        limits=ThreadLimits(
            output_tokens=limits.thread_output_tokens,
            input_tokens=limits.thread_fuzzy_input_tokens,
            generations=limits.generations,
            generation_output_tokens=limits.generation_output_tokens,
            generation_input_tokens=limits.generation_fuzzy_input_tokens,
        ),
    )
