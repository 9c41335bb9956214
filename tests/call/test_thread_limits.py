"""What threads may not use more of."""

from __future__ import annotations

import pytest

from antiphon.call import events as ev
from antiphon.call.messages import (
    ThreadRejected,
)
from antiphon.call.settings import ThreadSettings
from antiphon.call.tools.outcomes import ThreadLimits
from tests.call.threads.test_threads import SIDE, call, spawn, spawned, state, text, told, with_later


def test_too_many_threads_are_rejected_and_failed_ones_do_not_count() -> None:
    stage = call(threads=ThreadSettings(most=2), threads_fail=True)
    spawned(text("fails"), stage=stage, thread="a").run(2.0)
    for name in "bcd":
        stage.feed(ev.SpawnRequested(stage.now, spawn(thread=name)))
    assert list(stage.call.threads.states()) == ["a", "b", "c"]
    assert "2 threads" in str([m.reason for m in stage.messages if isinstance(m, ThreadRejected)])
    stage.feed(ev.SpawnRequested(stage.now, spawn(thread="b", replaces=True)))
    assert list(stage.call.threads.states()) == ["a", "c", "b"]


@pytest.mark.parametrize("name", ["", "x" * 129, "_PARENT"])
def test_ids_that_a_thread_cannot_have(name: str) -> None:
    assert told(spawned(text("sum up"), thread=name).run(1.0)) == "rejected"


def test_a_thread_that_is_told_too_much_fails() -> None:
    stage = spawned(text("sum up"), stage=call(aside_s=None))
    with_later(stage, 1.0, text("x" * 600_000), text("x" * 600_000))
    assert state(stage) == "FAILED"
    assert told(stage) == "spawned, terminated"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ((None, 0, None), {"input_tokens": 10, "output_tokens": 15}),  # 40 and 57 characters
        ((900, 895, 7), {"input_tokens": 5, "output_tokens": 7}),
    ],
)
def test_tokens_are_the_engines_or_estimated(
    usage: tuple[int | None, int, int | None], expected: dict[str, int]
) -> None:
    stage = spawned(text("x" * 40), stage=call(thread_usage=usage)).run(10.0)
    extras = stage.events("side_generation.completed")[0].extras
    written = len("To " + "x" * 40 + ": noted.")
    if usage[2] is None:
        expected = {**expected, "output_tokens": -(-written // 4)}
    assert extras == {"thread_id": SIDE, **expected}


def test_the_engine_is_told_to_stop_one_token_after_the_limit() -> None:
    stage = call(thread_usage=(50, 0, 6))
    spawned(text("one"), stage=stage, limits=ThreadLimits(output_tokens=10, generation_output_tokens=8))
    with_later(stage, 3.0, text("two"))
    assert [aside.prompt.output_tokens for aside in stage.thread_generation] == [9, 5]
    assert stage.events("thread.limit_reached")[0].extras == {
        "thread_id": SIDE,
        "total_input_tokens": stage.events("thread.limit_reached")[0].extras["total_input_tokens"],
        "total_output_tokens": 12,
        "total_generations": 2,
    }
