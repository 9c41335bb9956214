"""How many waiting calls are going to be joined: programs that are made up, on a virtual clock."""

from __future__ import annotations

import pytest

from antiphon.lifecycle.admission import Admission, LoadLimits
from antiphon.lifecycle.join_forecast import MEMORY, YOUNG_S, JoinForecast


def learned(joined: int = 0, missed: int = 0) -> JoinForecast:
    forecast = JoinForecast()
    for number in range(joined):
        forecast.waits(f"joined {number}", 0.0)
        forecast.joined(f"joined {number}")
    for number in range(missed):
        forecast.waits(f"missed {number}", 0.0)
        forecast.missed(f"missed {number}")
    return forecast


@pytest.mark.parametrize("per_s", [5, 50, 200, 800])
@pytest.mark.parametrize("before", [0, 20, 80])
def test_thousands_of_calls_that_nobody_joins_keep_nobody_out(per_s: float, before: int) -> None:
    forecast, admission = learned(joined=before), Admission(200)
    for number in range(2000):
        now = number / per_s
        admission.check(now, 0, forecast.expected(now))
        forecast.waits(str(number), now)
    admission.check(now, 0, forecast.expected(now))
    later = now + YOUNG_S + 1
    assert forecast.expected(later) == 0


def test_calls_that_are_joined_at_once_count_nearly_in_full() -> None:
    forecast = learned(joined=MEMORY)
    for number in range(40):
        forecast.waits(f"new {number}", 100 + number / 80)
    assert forecast.expected(100.5) == pytest.approx(40, abs=10)


def test_many_calls_at_once_on_a_server_whose_calls_are_joined_are_not_all_let_in() -> None:
    forecast, limits = learned(joined=MEMORY), LoadLimits(call_cost=0.01)
    admission = Admission(1000)
    admission.load.limits = limits
    let_in = 0
    for number in range(500):
        now = 100 + number / 1000
        try:
            admission.check(now, 0, forecast.expected(now))
        except Exception:
            break
        forecast.waits(str(number), now)
        let_in += 1
    assert 60 < let_in < 150, "80 would fill it"


def test_calls_that_are_joined_late_are_learned_all_the_same() -> None:
    forecast = JoinForecast()
    for number in range(60):
        now = number * 1.0
        forecast.waits(str(number), now)
        forecast.expected(now)
        if number >= 20:
            forecast.joined(str(number - 20))  # a telephone that rings for 20 s
    assert forecast.expected(60.0) > 5, "of ten that are young"
    for number in range(40, 60):
        forecast.joined(str(number))
    assert forecast.expected(60.0) == 0


def test_what_was_deleted_teaches_nothing() -> None:
    forecast = JoinForecast()
    for number in range(500):
        forecast.waits(str(number), 0.0)
        forecast.dropped(str(number))
    forecast.waits("one", 0.0)
    assert forecast.expected(0.0) == 1
    forecast.joined("unknown")
    forecast.missed("unknown")
    assert forecast.expected(0.0) == 1
