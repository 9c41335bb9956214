"""When one more call would be too much."""

from __future__ import annotations

import pytest

from antiphon.errors import Overloaded
from antiphon.session.load import Admission, Load, LoadLimits, Reading


def run(load: Load, seconds: float, share: float, late_s: float = 0.001, start: float = 0.0) -> float:
    """The loop works for ``share`` of its time, woken every 50 ms."""
    steps = round(seconds / 0.05)
    for step in range(steps + 1):
        now = start + step * 0.05
        load.sample(now, now * share, late_s)
    return start + seconds


def test_the_share_of_its_time_that_the_loop_works() -> None:
    load = Load()
    run(load, 20, 0.4)
    assert abs(load.busy - 0.4) < 0.01


def test_there_is_room_until_the_next_call_would_be_too_much() -> None:
    load = Load(LoadLimits(busy=0.75))
    now = run(load, 20, 0.5)
    assert load.refusal(now, live=50, expected=0) is None
    assert load.refusal(now, live=50, expected=29) is None, "each costs 0.8 %, 10 % are for being awake"
    refusal = load.refusal(now, live=50, expected=32)
    assert refusal is not None
    assert "50 %" in refusal or "50%" in refusal


def test_calls_that_have_just_begun_are_going_to_cost_as_much_as_the_others() -> None:
    load = Load(LoadLimits(busy=0.75))
    now = run(load, 20, 0.5)
    for _ in range(35):
        load.call_began(now)
    assert load.refusal(now, live=85, expected=0) is not None
    later = run(load, 10, 0.5, start=now)
    assert load.refusal(later, live=85, expected=0) is None, "by now they show in what the loop works"


def test_a_late_loop_takes_no_more_calls_until_it_is_in_time_again() -> None:
    load = Load(LoadLimits(late_s=0.025))
    now = run(load, 10, 0.2, late_s=0.060)
    assert load.refusal(now, live=10, expected=0) is not None
    later = run(load, 6, 0.2, start=now)
    assert load.refusal(later, live=10, expected=0) is None


def test_a_single_late_waking_is_no_reason() -> None:
    load = Load()
    now = run(load, 10, 0.2)
    load.sample(now + 0.3, (now + 0.3) * 0.2, 0.25)
    assert load.refusal(now + 0.3, live=10, expected=0) is None


def test_an_empty_server_takes_the_first_call_whatever_keeps_it_busy() -> None:
    load = Load()
    now = run(load, 10, 1.0, late_s=0.5)
    assert load.refusal(now, live=0, expected=0) is None
    assert load.refusal(now, live=1, expected=0) is not None


def test_too_few_calls_teach_nothing() -> None:
    load = Load(LoadLimits(busy=0.75, call_cost=0.01))
    now = run(load, 20, 0.3)
    assert load.refusal(now, live=2, expected=42) is None
    assert load.refusal(now, live=2, expected=46) is not None


def reading(live: int, *, busy: float = 0.1, expected: int = 0, late_s: float = 0.001) -> Reading:
    return Reading(live, 0, expected, busy, late_s)


def full_load() -> tuple[Load, float]:
    load = Load(LoadLimits(busy=0.75))
    return load, run(load, 20, 0.75)


def test_a_call_is_let_in_where_any_process_of_the_server_has_room() -> None:
    load, now = full_load()
    admission = Admission(1000, load)
    with pytest.raises(Overloaded, match="75%"):
        admission.check(now, 75, 0)
    admission.peers = (reading(75, busy=0.75), reading(60, busy=0.6))
    admission.check(now, 75, 0)
    admission.peers = (reading(75, busy=0.75), reading(60, busy=0.6, late_s=0.5))
    with pytest.raises(Overloaded, match="75%"):
        admission.check(now, 75, 0)


def test_calls_that_are_expected_are_shared_out() -> None:
    load, now = full_load()
    admission = Admission(1000, load)
    admission.peers = (reading(60, busy=0.6, expected=8),)
    admission.check(now, 75, 20)
    with pytest.raises(Overloaded):
        admission.check(now, 75, 32)


def test_places_are_those_of_all_processes_together() -> None:
    admission = Admission(10)
    admission.peers = (reading(4), reading(3))
    admission.check_place(2)
    with pytest.raises(Overloaded, match="all 10 places"):
        admission.check_place(3)
