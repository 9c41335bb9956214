"""Tools for a model that only knows text: how they are told, how what they did is told, and how calls are read.

The form is that of Qwen's and Hermes's chat templates, which small models know from their training. Measured with
Qwen2.5-Coder-1.5B, a JSON object with the words and the calls in it made it hardly ever use a tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from antiphon.call.history import ChatMessage, Prompt
from antiphon.call.tools import ToolSpec
from antiphon.engines.protocols import TextDelta, ToolCall

OPEN, CLOSE = "<tool_call>\n", "\n</tool_call>"

_SECTION = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{signatures}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>
Only a function can do things or look things up: never say that you do it and never make up a result, call the \
function. For all else answer in words."""

_DEEPEST = 4
"""Levels of a parameter's type that are told; the grammar knows the others all the same."""


def as_text(prompt: Prompt) -> Prompt:
    """The same prompt in words alone; the very same object where no tools are in it.

    Its beginning stays the same from turn to turn, and what the model itself wrote comes back as it wrote it.
    """
    if not prompt.tools and not any(message.tool_calls or message.role == "tool" for message in prompt.messages):
        return prompt
    names = {call.invocation: call.name for message in prompt.messages for call in message.tool_calls}
    messages: list[ChatMessage] = []
    for message in prompt.messages:
        plain = _plain(message, names)
        if messages and messages[-1].role == plain.role:
            plain = ChatMessage(plain.role, f"{messages.pop().text}\n{plain.text}")
        messages.append(plain)
    system = prompt.system
    if prompt.tools:
        section = _SECTION.format(signatures="\n".join(_signature(tool) for tool in prompt.tools))
        system = f"{system}\n\n{section}" if system else section
    return replace(prompt, system=system, messages=tuple(messages), tools=())


def call_head(name: str) -> str:
    """What stands before the arguments of a call."""
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def _plain(message: ChatMessage, names: Mapping[str, str]) -> ChatMessage:
    if message.role == "tool":
        name = names.get(message.tool_call_id or "", "tool")
        return ChatMessage("user", f"<tool_response>\n{name}: {message.text}\n</tool_response>")
    calls = [
        f"{OPEN}{call_head(call.name)}{json.dumps(dict(call.arguments), ensure_ascii=False)}}}{CLOSE}"
        for call in message.tool_calls
    ]
    return ChatMessage(message.role, "\n".join([message.text, *calls] if message.text else calls))


def _signature(tool: ToolSpec) -> str:
    """One line: a third of the tokens of the tool's JSON, and better understood by small models."""
    properties = tool.parameters.get("properties")
    if isinstance(properties, Mapping):
        parameters = _fields(properties, tool.parameters.get("required"), 0)
    else:
        parameters = ""
    return f"- {tool.name}({parameters}): {_line(tool.description)}"


def _fields(properties: Mapping[str, Any], required: object, depth: int) -> str:
    needed = required if isinstance(required, Sequence) else ()
    fields = []
    for name, schema in properties.items():
        field = f"{name}{'' if name in needed else '?'}: {_type(schema, depth)}"
        if isinstance(schema, Mapping) and isinstance(description := schema.get("description"), str):
            field += f" ({_line(description)})"
        fields.append(field)
    return ", ".join(fields)


def _type(schema: object, depth: int) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    kind = schema.get("type", "any")
    match schema:
        case {"enum": [*values]}:
            return "|".join(json.dumps(value, ensure_ascii=False) for value in values)
        case {"const": value}:
            return json.dumps(value, ensure_ascii=False)
        case {"anyOf": [*options]} | {"oneOf": [*options]} if depth < _DEEPEST:
            return "|".join(_type(option, depth + 1) for option in options)
        case {"items": Mapping() as items} if depth < _DEEPEST:
            return f"[{_type(items, depth + 1)}]"
        case {"properties": Mapping() as properties} if depth < _DEEPEST:
            return f"{{{_fields(properties, schema.get('required'), depth + 1)}}}"
    return "|".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _line(text: str) -> str:
    return " ".join(text.split())


class CallReader:
    """Takes a model's text as it comes and tells its words from its calls."""

    def __init__(self) -> None:
        self._held = ""
        self._in_call = False

    def feed(self, text: str) -> list[TextDelta | ToolCall]:
        """The next text; what is certain by now. Words come at once, but for spaces and what may begin a call."""
        self._held += text
        found: list[TextDelta | ToolCall] = []
        while (item := self._next()) is not None:
            found.append(item)
        return found

    def finish(self) -> list[TextDelta | ToolCall]:
        """There is no more. A call that was cut short comes with as much of its arguments as there is."""
        held, self._held = self._held, ""
        if not self._in_call:
            return [TextDelta(held)] if held.strip() else []
        self._in_call = False
        cut = re.match(r'<tool_call>\n\{"name": ("(?:[^"\\]|\\.)*"), "arguments": (.+)', held, re.DOTALL)
        return [ToolCall(json.loads(cut[1]), cut[2])] if cut else []

    def _next(self) -> TextDelta | ToolCall | None:
        if self._in_call:
            return self._call()
        start = self._held.find(OPEN)
        if start < 0:
            start = _sure(self._held)
        else:
            self._in_call = True
        words, self._held = self._held[:start], self._held[start:]
        if self._in_call:
            words = words.rstrip()
        return TextDelta(words) if words else self._call() if self._in_call else None

    def _call(self) -> ToolCall | None:
        """The call at the beginning of what is held, if it is whole."""
        end = -1
        while (end := self._held.find(CLOSE, end + 1)) >= 0:
            try:
                call = json.loads(self._held[len(OPEN) : end])
            except ValueError:
                continue  # these words were in its arguments
            self._held = self._held[end + len(CLOSE) :]
            self._in_call = False
            return ToolCall(call["name"], json.dumps(call["arguments"], ensure_ascii=False))
        return None


def _sure(text: str) -> int:
    """How much of ``text`` is words, whatever follows."""
    start = text.rfind("<")
    if start < 0 or not OPEN.startswith(text[start:]):
        start = len(text)
    return len(text[:start].rstrip())
