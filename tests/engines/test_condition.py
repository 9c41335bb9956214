"""What is known of an engine from those who asked it, and what the log is told."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from antiphon.engines.condition import DOWN_FOR_S, TOLD_EVERY_S, Condition, Conditions, EngineState, merged
from antiphon.engines.current_call import current_call
from antiphon.testing.virtual_clock import run_virtual


def test_a_failing_engine_has_one_line_in_ten_seconds_and_the_next_one_counts() -> None:
    async def scenario() -> None:
        condition = Condition("model main")
        current_call.set("call-1")
        for _ in range(100):
            condition.failed("answered 500: busy")
        await asyncio.sleep(TOLD_EVERY_S)
        condition.failed("answered 500: busy", call_id="call-2")
        condition.worked()

    with capture_logs() as logs:
        run_virtual(scenario())
    line = {"event": "engine_failed", "log_level": "warning", "engine": "model main", "error": "answered 500: busy"}
    assert logs[0] == line | {"call_id": "call-1"}
    assert logs[1] == line | {"call_id": "call-2", "not_logged_before": 99}
    assert logs[2]["event"] == "engine_works_again"
    assert len(logs) == 3


def test_three_failures_in_a_row_are_down_for_a_while_and_a_success_is_up() -> None:
    async def scenario() -> None:
        condition, loop = Condition("model main"), asyncio.get_running_loop()
        for failures in range(1, 4):
            condition.failed("x")
            assert condition.state.is_down(loop.time()) is (failures == 3)
        await asyncio.sleep(DOWN_FOR_S)
        assert not condition.state.is_down(loop.time()), "it is worth a try again"
        assert condition.state.failures == 3
        condition.failed("x")
        assert condition.state.is_down(loop.time())
        condition.worked()
        assert not condition.state.failures

    run_virtual(scenario())


def test_a_kind_is_broken_when_none_of_its_engines_works() -> None:
    main, spare, other, ears, voice = (Condition(name) for name in ("main", "spare", "other", "ears", "voice"))
    conditions = Conditions((ears,), {"main": (main, spare), "spare": (spare,), "other": (other,)}, {"v": (voice,)})
    down = {name: EngineState(name, 3, "x", 100.0) for name in ("main", "spare", "other", "ears", "voice")}

    def broken(*names: str) -> list[str]:
        return conditions.broken({name: down[name] for name in names}, 101.0)

    assert broken() == []
    assert broken("main", "spare") == [], "another model works"
    assert broken("main", "spare", "other") == ["model"]
    assert broken("ears", "voice") == ["transcriber", "voice"]
    assert Conditions().broken(down, 101.0) == []


def test_what_several_workers_know_is_one_state() -> None:
    one, two = EngineState("m", 2, "old", 10.0, 1.0), EngineState("m", 1, "new", 12.0)
    assert merged([[one], [two]])["m"] == EngineState("m", 3, "new", 12.0, 1.0)
    after = EngineState("m", worked_at=11.0)
    assert merged([[one], [two], [after]])["m"] == EngineState("m", 1, "new", 12.0, 11.0)
    assert merged([[one], [after]])["m"] == after
    assert merged([]) == {}


def test_alike_engines_share_a_condition_and_fallbacks_have_their_own() -> None:
    a, b = Condition("model a"), Condition("model b")
    conditions = Conditions((), {"a": (a, b)}, {})
    assert conditions.watched((a,)).condition is a
    chain = conditions.watched((a, b))
    assert not chain.alone
    assert chain.condition is conditions.watched((a, b)).condition
    assert chain.condition not in (a, b)
