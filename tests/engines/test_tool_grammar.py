"""What a model with tools may write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.call.prompt import ToolSpec
from antiphon.engines.tool_grammar import constraint, grammar

STRING = {"type": "string"}
KEYS = ["type", "properties", "required", "items", "enum", "const", "anyOf", "oneOf", "$ref", "minItems", "maxItems"]


def closed(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def test_each_tool_has_its_own_arguments() -> None:
    text = grammar((ToolSpec("a", "", {}), ToolSpec('b"', "", closed("x", x=STRING))))
    assert text.startswith("%llguidance {}\nstart: WORDS | calls")
    assert r'call_1: "{\"name\": \"b\\\"\", \"arguments\": " arguments_1 "}"' in text
    schemas = [json.loads(line.partition("%json ")[2]) for line in text.splitlines() if "%json" in line]
    assert [schema.pop("x-guidance")["key_separator"] for schema in schemas] == [": ", ": "]
    assert schemas == [closed(), closed("x", x=STRING)]


def test_without_tools_there_are_only_words() -> None:
    assert "call" not in grammar(())


@pytest.mark.parametrize(
    ("schema", "enforced"),
    [
        (closed("x", x={**STRING, "pattern": "(?=", "format": "odd", "description": "d"}), closed("x", x=STRING)),
        ({"type": "object", "properties": {"x": {"enum": [1, "a"]}}}, closed(x={"enum": [1, "a"]})),
        (closed(x={"type": ["string", "null"]}), closed(x={"anyOf": [STRING, {"type": "null"}]})),
        (closed(x={"type": "array", "items": STRING, "maxItems": 3}), None),
        (closed(x={"type": "array", "minItems": 3, "maxItems": 2}), closed(x={"type": "array", "items": {}})),
        (closed(x={"type": "array", "maxItems": 10**9}), closed(x={"type": "array", "items": {}})),
        (closed(x={"type": "integer", "minimum": 3, "maximum": 2}), closed(x={"type": "integer"})),
        (closed(x={"type": "strin"}), closed(x={})),
        (closed(x=True), closed(x={})),
        (closed(x={"not": STRING}), closed(x={})),
        ({**closed(x={"$ref": "#/$defs/y"}), "$defs": {"y": STRING}}, closed(x=STRING)),
        (closed(x={"$ref": "#/$defs/y"}), closed(x={})),
        (closed(x={"$ref": "http://there/y"}), closed(x={})),
        ({"type": "object", "properties": [1], "required": 5}, {"type": "object"}),
        ({**closed(x=STRING), "required": ["x", "y", 7]}, closed("x", x=STRING)),
        ({**closed(x=STRING), "additionalProperties": STRING}, {**closed(x=STRING), "additionalProperties": True}),
        ({"description": "Nothing."}, closed()),
        (closed(x={"type": "object"}), closed(x={"type": "object"})),
        (closed(x=STRING) | {"additionalProperties": {}}, closed(x=STRING) | {"additionalProperties": True}),
        ({"$ref": "#/$defs/y", "$defs": {"y": STRING}}, {"type": "object"}),
        ({**closed(x=STRING), "allOf": [closed("y", y=STRING)]}, {"type": "object"}),
        ({"type": "object", "oneOf": [closed(x=STRING)]}, {"anyOf": [closed(x=STRING)]}),
    ],
)
def test_what_may_not_be_understood_is_left_to_the_check(schema: dict[str, Any], enforced: dict[str, Any]) -> None:
    assert constraint(schema) == (enforced or schema)


def test_a_schema_within_itself_comes_to_an_end() -> None:
    node = closed(next={"$ref": "#"}, child={"$ref": "#/properties/child"})
    assert len(json.dumps(constraint(node))) < 10_000
    tree = closed(left={"$ref": "#/$defs/t"}, right={"$ref": "#/$defs/t"})
    assert len(json.dumps(constraint({**tree, "$defs": {"t": tree}}))) < 100_000
    wide = closed(**{f"p{number}": {"$ref": "#/$defs/t"} for number in range(50)})
    assert len(json.dumps(constraint({**wide, "$defs": {"t": wide}}))) < 200_000


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "array", "string", "#/properties/a", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "a"]), inner, max_size=5),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "a"]), JSON))
def test_any_schema_at_all_makes_a_grammar(schema: dict[str, Any]) -> None:
    assert "%json" in grammar((ToolSpec("a", "", schema),))
