"""Which engine is asked, and which one is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from antiphon.engines.candidates import REST_S, RESTS, Breaker, Candidate, Candidates, FellBack
from antiphon.engines.condition import FAILURES_IN_A_ROW
from antiphon.errors import EngineError
from antiphon.testing.virtual_clock import run_virtual

STAYS_S, LATE_S = 20.0, 1.5


def broken() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        assert breaker.ready(100.0)
        breaker.begin()
        breaker.failed(100.0)
    return breaker


def test_an_engine_is_left_alone_after_failures_in_a_row() -> None:
    breaker = broken()
    assert not breaker.ready(100.0)
    assert not breaker.ready(100.0 + REST_S - 0.1)
    assert breaker.ready(100.0 + REST_S)


def test_failures_with_a_success_between_them_are_none_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(3 * FAILURES_IN_A_ROW):
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.ready(0.0)


def test_after_its_rest_one_request_tries_it_and_nobody_else() -> None:
    breaker = broken()
    breaker.begin()
    assert not breaker.ready(200.0)
    breaker.succeeded()
    assert breaker.ready(200.0)


def test_a_try_that_fails_begins_a_new_rest() -> None:
    breaker = broken()
    breaker.begin()
    breaker.failed(200.0)
    assert not breaker.ready(200.0 + REST_S - 0.1)
    assert breaker.ready(200.0 + REST_S)


def test_a_try_that_nobody_waits_for_tells_nothing() -> None:
    breaker = broken()
    breaker.begin()
    breaker.left()
    assert breaker.ready(200.0)


def row(*names: str) -> list[Candidate[str]]:
    return [Candidate(name, f"engine {name}", patience_s=1.0) for name in names]


def asked(candidates: Candidates[str], broken: set[str]) -> list[str]:
    """Who was asked, when those that are ``broken`` fail."""
    names: list[str] = []
    with suppress(EngineError):
        ask(candidates, broken, names.append)
    return names


def ask(candidates: Candidates[str], broken: set[str], on_asked: Callable[[str], None] = lambda name: None) -> None:
    for attempt in candidates.attempts():
        with attempt:
            on_asked(attempt.candidate.name)
            if attempt.candidate.name in broken:
                raise EngineError(f"{attempt.candidate.name} is gone")
            break


def test_the_next_is_asked_where_one_fails_and_the_last_ones_failure_is_everybodys() -> None:
    async def run() -> None:
        notes: list[FellBack] = []
        candidates = Candidates("model", row("a", "b", "c")).for_call(notes.append)
        with capture_logs() as logs:
            assert asked(candidates, set()) == ["a"]
            assert not notes + logs
            assert asked(candidates, {"a", "b"}) == ["a", "b", "c"]
        assert notes == [FellBack("model", "a", "b", "a is gone"), FellBack("model", "b", "c", "b is gone")]
        assert [line["event"] for line in logs] == ["engine_fallback", "engine_fallback"]
        with pytest.raises(EngineError, match="c is gone"):
            ask(candidates, {"a", "b", "c"})

    run_virtual(run())


def test_one_that_keeps_failing_is_asked_last_for_a_while_and_told_once_a_call() -> None:
    async def run() -> None:
        notes: list[FellBack] = []
        shared = Candidates("model", row("a", "b"))
        for _ in range(FAILURES_IN_A_ROW):
            assert asked(shared.for_call(notes.append), {"a"}) == ["a", "b"]
        notes.clear()
        call = shared.for_call(notes.append)
        assert asked(call, {"a"}) == asked(call, {"a"}) == ["b"]
        assert notes == [FellBack("model", "a", "b", RESTS)]
        assert asked(call, {"b"}) == ["b", "a"]  # better than nothing
        await asyncio.sleep(REST_S)
        assert asked(call, set()) == asked(call, set()) == ["a"]

    run_virtual(run())


def test_a_call_stays_with_what_stood_in_and_other_calls_do_not() -> None:
    async def run() -> None:
        shared = Candidates("voice", row("a", "b"), stays_s=STAYS_S)
        call = shared.for_call(lambda note: None)
        assert asked(call, {"a"}) == ["a", "b"]
        assert asked(call, set()) == ["b"]
        assert asked(shared.for_call(lambda note: None), set()) == ["a"]
        await asyncio.sleep(STAYS_S)
        assert asked(call, set()) == ["a"]

    run_virtual(run())


def test_what_was_given_out_is_not_taken_back() -> None:
    async def run() -> None:
        for attempt in Candidates("model", row("a", "b")).attempts():
            with attempt:
                attempt.useful = True
                raise EngineError("amid its words")

    with pytest.raises(EngineError, match="amid its words"):
        run_virtual(run())


def test_a_mistake_of_an_engine_is_logged_and_the_next_one_asked() -> None:
    async def run() -> list[str]:
        names = []
        for attempt in Candidates("model", row("a", "b")).attempts():
            with attempt:
                names.append(attempt.candidate.name)
                if attempt.candidate.name == "a":
                    raise ValueError("a bug")
        return names

    with capture_logs() as logs:
        assert run_virtual(run()) == ["a", "b"]
    assert logs[0]["event"] == "engine_broke"
    assert logs[1]["why"] == "it broke (ValueError)"


def test_one_that_shows_no_sign_of_life_is_waited_for_only_so_long_unless_it_is_the_last() -> None:
    async def run() -> list[float]:
        loop, times = asyncio.get_running_loop(), []
        for attempt in Candidates("model", row("a", "b")).attempts():
            with attempt:
                await attempt.result(asyncio.sleep(LATE_S))
            times.append(loop.time())
        return times

    with capture_logs() as logs:
        assert run_virtual(run()) == [1.0, 1.0 + LATE_S]
    assert logs[0]["why"] == "a gave no sign of life for 1 s"
