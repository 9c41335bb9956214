"""What ``debug`` messages say of tools, as the public documentation of the client SDKs shows it.

They are for people: programs should not rely on their form.
"""

from __future__ import annotations

import json

from antiphon.call.messages import ToolAnswer, ToolsAnswered, ToolsWanted
from antiphon.call.prompt import ToolRequest


def debug_text(message: ToolsWanted | ToolsAnswered) -> str:
    """One message about all tools of a reply: the calls before they are made, or calls and results together."""
    where = "" if message.thread is None else f"Thread {message.thread}: "
    if isinstance(message, ToolsWanted):
        by = "Forced agent message" if message.forced else "LLM response"
        return f"{where}{by}: Tool calls: [{', '.join(map(_wanted, message.requests))}]"
    halves = [*map(_call, message.answers), *map(_result, message.answers)]
    return f"{where}Tool call complete.\n\nResult: [\n  " + " ,\n  ".join(halves) + "\n]"


def _wanted(request: ToolRequest) -> str:
    return f"FunctionCall(name={request.name!r}, args={_arguments(request)!r}, invocation_id={request.invocation!r})"


def _arguments(request: ToolRequest) -> str:
    return json.dumps(dict(request.arguments), ensure_ascii=False)


def _call(answer: ToolAnswer) -> str:
    return _half("MESSAGE_ROLE_TOOL_CALL", answer.call_ordinal, _arguments(answer.request), answer.request)


def _result(answer: ToolAnswer) -> str:
    half = _half("MESSAGE_ROLE_TOOL_RESULT", answer.result_ordinal, answer.text, answer.request)
    return half if answer.error_details is None else f"{half} error_details: {_quoted(answer.error_details)}"


def _half(role: str, ordinal: int | None, text: str, request: ToolRequest) -> str:
    place = "" if ordinal is None else f" ordinal: {ordinal}"
    names = f"tool_name: {_quoted(request.name)} invocation_id: {_quoted(request.invocation)}"
    return f"role: {role}{place} text: {_quoted(text)} {names}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
