from __future__ import annotations

from typing import Any

import pytest

from antiphon.call.prompt import Reaction
from antiphon.call.tools.outcomes import ResponseType, ToolOutcome
from antiphon.tools import outcomes
from tests.tools.samples import temporary


def test_a_result_is_taken_as_it_is() -> None:
    outcome = outcomes.from_result(
        "t", result="sunny", agent_reaction="speaks-once", update_call_state={"place": "Oslo"}
    )
    assert outcome == ToolOutcome("sunny", reaction=Reaction.SPEAKS_ONCE, state_update={"place": "Oslo"})
    assert outcomes.from_result("t").text == outcomes.EMPTY


def test_a_hang_up_from_a_client() -> None:
    outcome = outcomes.from_result("t", result='{"strict": true, "message": "Goodbye."}', response_type="hang-up")
    assert (outcome.response_type, outcome.closing_message, outcome.strict) == (ResponseType.HANG_UP, "Goodbye.", True)
    plain = outcomes.from_result("t", result="that is all", response_type="hang-up")
    assert (plain.response_type, plain.closing_message, plain.text) == (ResponseType.HANG_UP, "", "that is all")


def test_a_new_stage_needs_an_object() -> None:
    good = outcomes.from_result("t", result='{"systemPrompt": "x"}', response_type="new-stage")
    assert (good.response_type, outcomes.json_object(good.text)) == (ResponseType.NEW_STAGE, {"systemPrompt": "x"})
    assert outcomes.from_result("t", result="next", response_type="send-to-thread").failed


@pytest.mark.parametrize(
    ("fields", "text", "details"),
    [
        ({"error_type": "undefined", "error_message": "who?"}, "not available", "undefined: who?"),
        ({"error_type": "implementation-error", "error_message": "line 5"}, "failed", "implementation-error: line 5"),
        ({"error_type": "implementation-error", "result": "try later"}, "try later", "implementation-error"),
        ({"error_message": "line 5"}, "failed", "error: line 5"),
        ({"result": "x", "response_type": "bye"}, "cannot be used", "bye"),
        ({"result": "x", "agent_reaction": "shouts"}, "cannot be used", "shouts"),
    ],
)
def test_errors_are_short_for_the_model_and_whole_for_the_record(
    fields: dict[str, Any], text: str, details: str
) -> None:
    outcome = outcomes.from_result("t", **fields)
    assert outcome.failed
    assert text in outcome.text
    assert "line 5" not in outcome.text
    assert details in (outcome.error_details or "")


def test_other_outcomes() -> None:
    assert "2.5 seconds" in outcomes.timed_out("t", 2.5).text
    assert outcomes.unknown("x", ("a", "b")).text == 'There is no tool "x". There are: a, b.'
    assert outcomes.unreadable("not JSON").failed
    tool = temporary({"client": {}, "staticResponse": {"responseText": "Wait a moment."}})
    assert outcomes.static(tool) == ToolOutcome("Wait a moment.")


@pytest.mark.parametrize(
    "text", ["[1]", "x", "{", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', '{"a\\u0000": 1}', ""]
)
def test_objects_that_could_not_be_stored_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        outcomes.json_object(text)


def test_deep_nesting_is_refused() -> None:
    for depth in (150, 100_000):
        with pytest.raises(ValueError, match="deep"):
            outcomes.json_object('{"a":' * depth + "1" + "}" * depth)
