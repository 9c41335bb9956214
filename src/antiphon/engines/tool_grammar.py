"""What a model with tools may write: words, then calls whose arguments follow each tool's JSON schema.

The grammar is Lark's dialect for llguidance, which llama.cpp constrains by (docs/syntax.md of guidance-ai/llguidance).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from antiphon.call.prompt import ToolSpec
from antiphon.engines.tool_prompt import call_head

_MOST_CALLS = 4
"""In one answer: small models do not always find an end."""

_WORDS = r"WORDS: /[^<{}`\s][^<{}`]*/"
"""No brace, no backtick: models made for code otherwise write their calls as code, amid the words."""

_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As Python writes JSON, so that a call reads the same in the history."""

_TYPES = ("string", "integer", "number", "boolean", "null", "object", "array")
_COMPOSED = frozenset({"allOf", "anyOf", "oneOf", "patternProperties"})
_DEEPEST = 8
_MOST_PARTS = 2000
"""Of one tool's schema; references may multiply them."""

_LONGEST = 1000


def grammar(tools: Sequence[ToolSpec]) -> str:
    """Words and calls of ``tools``; words alone where there are none."""
    if not tools:
        return f"%llguidance {{}}\nstart: WORDS\n{_WORDS}\n"
    lines = [
        "%llguidance {}",
        r'start: WORDS | calls | WORDS "\n" calls',
        rf'calls: call ("\n" call){{0,{_MOST_CALLS - 1}}}',
        "call: " + " | ".join(f"call_{number}" for number in range(len(tools))),
        _WORDS,
    ]
    for number, tool in enumerate(tools):
        schema = constraint(tool.parameters)
        lines.append(f'call_{number}: {json.dumps(call_head(tool.name))} arguments_{number} "}}"')
        lines.append(f"arguments_{number}: %json {json.dumps({**schema, 'x-guidance': _SPACING})}")
    return "\n".join(lines) + "\n"


def constraint(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What of an object's JSON schema is enforced while the model writes: types, names and choices.

    llama.cpp silently writes unconstrained when it does not understand a grammar, hence nothing passes that may not be
    understood. What is left out here (patterns, formats, bounds of numbers, conditions) is left to the check of the
    arguments. An object takes no properties that it does not name, unless it says that it does.
    """
    enforced = _Schema(schema).enforced({"properties": {}, **schema, "type": "object"}, 0)
    return enforced if "anyOf" in enforced or enforced.get("type") == "object" else {"type": "object"}


class _Schema:
    """One schema being reduced to what is enforced of it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MOST_PARTS

    def enforced(self, schema: object, depth: int) -> dict[str, Any]:
        """Of one part, ``depth`` levels down; ``{}`` is anything at all."""
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > _DEEPEST or self._left < 0:
            return {}
        match schema:
            case {"$ref": str(pointer)}:
                return self.enforced(self._resolve(pointer), depth + 1)
            case {"const": value}:
                return {"const": value}
            case {"enum": [_, *_] as values}:
                return {"enum": values}
            case {"anyOf": [_, *_] as options} | {"oneOf": [_, *_] as options} if not schema.get("properties"):
                return {"anyOf": [self.enforced(option, depth + 1) for option in options]}
        kinds = schema.get("type")
        known = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind in _TYPES]
        match known:
            case ["object"]:
                return self._object(schema, depth)
            case ["array"]:
                return self._array(schema, depth)
            case [kind]:
                return {"type": kind}
            case [_, *_]:
                return {"anyOf": [self.enforced({**schema, "type": kind}, depth + 1) for kind in known]}
        return {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, Mapping) or _COMPOSED & schema.keys():
            return {"type": "object"}
        needed = required if isinstance(required, list | tuple) else []
        return {
            "type": "object",
            "properties": {str(name): self.enforced(part, depth + 1) for name, part in properties.items()},
            "required": [name for name in needed if isinstance(name, str) and name in properties],
            "additionalProperties": schema.get("additionalProperties", False) is not False,
        }

    def _array(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        bounds = {key: schema[key] for key in ("minItems", "maxItems") if _is_length(schema.get(key))}
        if bounds.get("minItems", 0) > bounds.get("maxItems", _LONGEST):
            bounds = {}
        return {"type": "array", "items": self.enforced(schema.get("items"), depth + 1), **bounds}

    def _resolve(self, pointer: str) -> object:
        """What ``#/$defs/name`` points at; nothing for anything more unusual."""
        found: object = self._root if pointer.startswith("#/") else None
        for key in pointer[2:].split("/"):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LONGEST
