"""Tools for a model that only knows text: how they are told, how what they did is told, and how calls are read.

The form is what Qwen2.5-Coder-1.5B takes to of itself: words, or a bare JSON object for a call. Measured with it, one
object with words and calls in it, or tags around the calls as in the model's own template, made it use hardly any tool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from antiphon.call.prompt import ChatMessage, Prompt, ToolSpec
from antiphon.engines.protocols import TextDelta, ToolCall

_SECTION = """# Tools

You may call one or more functions to assist with the user query. You have these functions:
{signatures}

For each function call, return a json object with function name and arguments:
{{"name": <function-name>, "arguments": <args-json-object>}}
Only a function can do things or look things up: never say that you do it and never make up a result, call the \
function. To greetings, thanks, feelings, small talk and all else answer in words."""

_TELL = "Tell me in words."
"""With every result; small models otherwise use the tool again, and again."""

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


def usable(prompt: Prompt) -> tuple[ToolSpec, ...]:
    """The tools that may be used next: none again that has answered since the caller spoke.

    A small model does not know when it is done. Better ones use a tool several times in one answer.
    """
    answered: set[str] = set()
    for message in prompt.messages:
        if message.role == "user":
            answered.clear()
        answered |= {call.name for call in message.tool_calls}
    last = prompt.messages[-1].role if prompt.messages else ""
    return tuple(tool for tool in prompt.tools if last != "tool" or tool.name not in answered)


def call_head(name: str) -> str:
    """What stands before the arguments of a call."""
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '


def _plain(message: ChatMessage, names: Mapping[str, str]) -> ChatMessage:
    if message.role == "tool":
        name = names.get(message.tool_call_id or "", "tool")
        return ChatMessage("user", f"<tool_response>\n{name}: {message.text}\n</tool_response>\n{_TELL}")
    calls = [
        f"{call_head(call.name)}{json.dumps(dict(call.arguments), ensure_ascii=False)}}}" for call in message.tool_calls
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
    """Takes a model's text as it comes and tells its words, which have no braces, from its calls."""

    def __init__(self) -> None:
        self._held = ""
        self._in_call = False

    def feed(self, text: str) -> list[TextDelta | ToolCall]:
        """The next text; what is certain by now. Words come at once, but for the spaces at their end."""
        self._held += text
        found: list[TextDelta | ToolCall] = []
        while (item := self._call() if self._in_call else self._words()) is not None:
            found.append(item)
        return found

    def finish(self) -> list[TextDelta | ToolCall]:
        """There is no more. A call that was cut short comes with as much of its arguments as there is."""
        held, self._held = self._held, ""
        cut = re.match(r'\{"name": ("(?:[^"\\]|\\.)*"), "arguments": (.+)', held, re.DOTALL)
        return [ToolCall(json.loads(cut[1]), cut[2])] if cut else []

    def _words(self) -> TextDelta | ToolCall | None:
        words, brace, _ = self._held.partition("{")
        words = words.rstrip()
        if brace:
            self._in_call = True
            self._held = self._held[self._held.index(brace) :]
        else:
            self._held = self._held[len(words) :]
        return TextDelta(words) if words else self._call() if brace else None

    def _call(self) -> TextDelta | ToolCall | None:
        """The call at the beginning of what is held, if it is whole."""
        try:
            call, end = json.JSONDecoder().raw_decode(self._held)
        except (ValueError, RecursionError):
            return None
        self._held = self._held[end:]
        self._in_call = False
        match call:
            case {"name": str(name), "arguments": arguments}:
                return ToolCall(name, json.dumps(arguments, ensure_ascii=False))
        return self._words()
