from __future__ import annotations

from typing import Any

import pytest

from antiphon.call.tools.outcomes import ToolOutcome
from antiphon.tools.arguments import client_parameters
from antiphon.tools.schema import problem
from tests.tools.samples import FACTS, dynamic, temporary


def sent(parameters: list[Any], arguments: dict[str, Any]) -> dict[str, Any] | ToolOutcome:
    return client_parameters(temporary({"client": {}, "dynamicParameters": parameters}), arguments, FACTS)


def test_a_client_is_sent_everything() -> None:
    tool = temporary(
        {
            "client": {},
            "dynamicParameters": [dynamic("a"), dynamic("b")],
            "staticParameters": [{"name": "s", "value": [1]}],
            "automaticParameters": [{"name": "state", "knownValue": "KNOWN_PARAM_CALL_STATE"}],
        },
        parameterOverrides={"b": "fixed"},
    )
    parameters = client_parameters(tool, {"a": "x", "b": "the model's", "unknown": 1}, FACTS)
    assert parameters == {"a": "x", "b": "fixed", "s": [1], "state": {"step": 3}}


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        ({"type": "integer"}, "5", "'5' is not of type 'integer'"),
        ({"enum": ["a", "b"]}, "c", "not one of"),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], "[1] 1 is not of type"),
        ({"type": "string", "pattern": "^[0-9]{3}$"}, "12", "does not match"),
        ({"type": "object", "required": ["x"]}, {}, "'x' is a required property"),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "number"}}}, "x", "not of type 'number'"),
    ],
)
def test_what_the_schema_refuses_is_said_to_the_model(schema: dict[str, Any], value: Any, words: str) -> None:
    outcome = sent([dynamic("p", schema)], {"p": value})
    assert isinstance(outcome, ToolOutcome)
    assert outcome.failed
    assert outcome.text.startswith('The tool "lookup" was not used: p: ')
    assert words in outcome.text
    assert len(outcome.text) < 300


def test_missing_and_null() -> None:
    required = sent([dynamic("p", required=True)], {})
    assert isinstance(required, ToolOutcome)
    assert "p is required" in required.text
    assert sent([dynamic("p")], {"p": None}) == {}
    assert sent([dynamic("p", {"type": ["string", "null"]})], {"p": None}) == {"p": None}


def test_long_values_are_not_repeated_to_the_model() -> None:
    outcome = sent([dynamic("p", {"type": "integer"})], {"p": "x" * 10_000})
    assert isinstance(outcome, ToolOutcome)
    assert len(outcome.text) < 300


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", "^a*a*a*a*a*a*$", r"^((a)*b?)*$", r"(a*)\1*$"])
def test_expressions_that_never_end_are_not_run(pattern: str) -> None:
    assert problem("a" * 200 + "!", {"type": "string", "pattern": pattern}) is None


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (r"^[\w.+*{-]+@[\w-]+\.[a-z]+$", "nobody"),
        (r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$", "today"),
        ("^(yes|no)$", "maybe"),
    ],
)
def test_ordinary_expressions_are_run(pattern: str, value: str) -> None:
    assert problem(value, {"type": "string", "pattern": pattern}) is not None


def test_a_schema_that_multiplies_itself_is_given_up() -> None:
    doubling = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
    schema = {"$defs": {**doubling, "a40": {"type": "string"}}, "$ref": "#/$defs/a0"}
    assert problem("x", schema) == "cannot be checked, its schema has no end"


def test_nothing_is_fetched_and_nothing_runs_for_ever() -> None:
    assert problem(1, {"$ref": "http://127.0.0.1:9/schema"}) is None
    assert problem(1, {"$ref": "#"}) is not None
