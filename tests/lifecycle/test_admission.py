"""When one more call would be too much: the rules, and machines that are made up, on a virtual clock."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from antiphon.errors import Overloaded, TooManyWaiting
from antiphon.lifecycle.admission import AWAKE, LATE_SPAN_S, Admission, Load, LoadLimits, Reading

STEP_S = 0.05


def run(load: Load, seconds: float, share: float, start: float = 0.0) -> float:
    """The loop works for ``share`` of its time."""
    steps = round(seconds / STEP_S)
    for step in range(steps + 1):
        now = start + step * STEP_S
        load.sample(now, now * share)
    return start + seconds


def stalls(load: Load, *lates_s: float, until: float) -> None:
    """Beats of the playout that were so late, one after the other, the last of them at ``until``."""
    for place, late_s in enumerate(lates_s):
        load.sound_was_late(until - 0.1 * (len(lates_s) - 1 - place), late_s)


@dataclass
class Machine:
    """A process with calls, each of which costs ``cost`` of the loop, and ``start_s`` of work when it begins."""

    cost: float = 0.004
    start_s: float = 0.0
    elsewhere: float = 0.0
    """Share of its time that the processor does not give to us."""
    always: int = 0
    now: float = 0.0
    live: int = 0
    worked_s: float = 0.0
    _work_s: float = 0.0
    """What it has to do and did not come to yet."""
    admission: Admission = field(init=False)

    def __post_init__(self) -> None:
        self.admission = Admission(1000, always=self.always)

    @property
    def wanted(self) -> float:
        return (AWAKE if self.live else 0.0) + self.cost * self.live

    def step(self) -> None:
        """Time goes on. Where there is more work than time, sound is late."""
        self.now += STEP_S
        self._work_s += STEP_S * self.wanted
        done_s = min(STEP_S * (1 - self.elsewhere), self._work_s)
        self.worked_s += done_s
        self._work_s = min(1.0, self._work_s - done_s)
        if self.live and self._work_s > 0.05:
            self.admission.load.sound_was_late(self.now, STEP_S + 0.04)
        self.admission.load.sample(self.now, self.worked_s)

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.step()

    def ask(self, expected: float = 0.0) -> str | None:
        """Ask for a call; the reason where it is refused."""
        try:
            self.admission.check(self.now, self.live, expected)
        except Overloaded as error:
            return error.detail
        return None

    def begin(self) -> None:
        self.live += 1
        self._work_s += self.start_s
        self.admission.load.call_began(self.now)

    def end(self) -> None:
        self.live -= 1
        self.admission.load.call_ended(self.now)

    def ramp(self, per_s: float, most: int) -> Iterator[str | None]:
        """Ask for a call so often, and begin each that is let in."""
        began = self.now
        for number in range(most):
            refusal = self.ask()
            if refusal is None:
                self.begin()
            yield refusal
            while self.now < began + (number + 1) / per_s:
                self.step()


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
    assert refusal.startswith("beside 50 live calls and 32 that are about to be joined, one more would take this")
    assert refusal.endswith("to 76% of what it can do, and 75% is the most")


def test_calls_that_have_just_begun_are_going_to_cost_as_much_as_the_others() -> None:
    load = Load(LoadLimits(busy=0.75))
    now = run(load, 20, 0.5)
    for _ in range(35):
        load.call_began(now)
    assert load.refusal(now, live=85, expected=0) is not None
    later = run(load, 15, 0.5, start=now)
    assert load.refusal(later, live=85, expected=0) is None, "by now they show in what the loop works"


def test_calls_that_have_just_ended_make_room_at_once() -> None:
    load = Load()
    now = run(load, 20, 0.78)
    assert load.refusal(now, live=100, expected=0) is None
    assert load.refusal(now, live=100, expected=5) is not None
    for _ in range(90):
        load.call_ended(now)
    assert load.refusal(now, live=10, expected=20) is None, "the average has not followed yet"


@pytest.mark.parametrize("cost", [0.002, 0.004, 0.005])
@pytest.mark.parametrize(("per_s", "start_s"), [(2, 0.01), (14, 0.002), (14, 0.01), (50, 0.004)])
def test_a_ramp_on_an_idle_worker_is_let_in_though_its_calls_do_not_show_yet(
    cost: float, per_s: float, start_s: float
) -> None:
    machine = Machine(cost=cost, start_s=start_s)
    assert [refusal for refusal in machine.ramp(per_s, 100) if refusal] == []
    machine.wait(20)
    assert machine.admission.load.busy == pytest.approx(AWAKE + 100 * cost, abs=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_calls_cost_a_ramp_stops_near_the_limit(seed: int) -> None:
    dice = random.Random(seed)
    machine = Machine(cost=dice.uniform(0.003, 0.03), start_s=dice.uniform(0.005, 0.02))
    refused = sum(refusal is not None for refusal in machine.ramp(dice.uniform(1, 14), 400))
    assert refused
    assert machine.wanted < 0.93, "nobody suffers"
    assert machine.wanted > 0.7, "no room is wasted"
    machine.wait(30)
    assert machine.wanted + machine.cost > 0.8 or machine.ask() is None, "and what is left is given out"


def test_a_machine_that_other_programs_use_takes_calls_as_long_as_none_is_live() -> None:
    machine = Machine(elsewhere=0.95)
    machine.wait(10)
    assert machine.ask() is None
    assert machine.ask(expected=20) is None


def test_a_machine_that_other_programs_use_takes_a_small_number_whatever_the_calls_suffer() -> None:
    machine = Machine(elsewhere=0.95, always=4)
    for _ in range(4):
        assert machine.ask() is None
        machine.begin()
        machine.wait(10)
    refusal = machine.ask()
    assert refusal is not None
    assert "100% of the sound of 4 live calls was over 40 ms late" in refusal
    machine.elsewhere = 0.0
    machine.wait(LATE_SPAN_S + 2)
    assert machine.ask() is None, "when the others are gone"


def test_a_truly_overloaded_machine_is_refused() -> None:
    machine = Machine(cost=0.01, always=4)
    for _ in range(95):
        machine.begin()
    machine.wait(10)
    assert machine.admission.load.busy == pytest.approx(1.0, abs=0.05)
    refusal = machine.ask()
    assert refusal is not None
    assert "late in the last seconds" in refusal


def test_one_stall_of_a_quarter_of_a_second_is_no_reason() -> None:
    load = Load()
    now = run(load, 10, 0.2)
    stalls(load, 0.25, until=now)
    assert load.refusal(now, live=10, expected=0) is None
    stalls(load, *[0.25] * 3, until=now)
    assert load.refusal(now, live=10, expected=0) is not None
    assert load.refusal(now + LATE_SPAN_S, live=10, expected=0) is None


def test_sound_that_is_late_by_less_than_the_limit_is_in_time() -> None:
    load = Load(LoadLimits(late_s=0.1))
    now = run(load, 10, 0.2)
    stalls(load, *[0.09] * 50, until=now)
    assert load.late_share(now) == 0


def test_an_empty_server_takes_calls_whatever_keeps_it_busy() -> None:
    load = Load()
    now = run(load, 10, 1.0)
    stalls(load, *[0.5] * 20, until=now)
    assert load.refusal(now, live=0, expected=0) is None
    assert load.refusal(now, live=0, expected=50) is None
    assert load.refusal(now, live=1, expected=0) is not None


def test_few_calls_teach_little() -> None:
    load = Load(LoadLimits(busy=0.75, call_cost=0.01))
    now = run(load, 20, 0.3)
    assert load.refusal(now, live=1, expected=5) is None, "the one may be at its dearest just now"
    assert load.refusal(now, live=1, expected=7) is not None
    assert load.refusal(now, live=10, expected=20) is None


def test_a_limit_of_one_refuses_nobody_for_how_busy_it_is() -> None:
    admission = Admission(1000, Load(LoadLimits(busy=1.0)))
    now = run(admission.load, 20, 1.0)
    admission.check(now, 100, 100)
    admission.check_join(now, 100)


@pytest.mark.parametrize("start_s", [0.005, 0.02, 0.03])
def test_joins_in_a_burst_are_not_refused_for_the_work_of_their_beginning(start_s: float) -> None:
    """Seen: of 50 calls created and joined within a second 34 were refused at the join."""
    machine = Machine(start_s=start_s)
    for _ in range(140):
        machine.admission.check_join(machine.now, machine.live)
        machine.begin()
        machine.wait(STEP_S)
    machine.wait(20)
    assert machine.ask() is None


def test_of_very_many_calls_that_are_created_and_joined_at_once_the_last_are_refused() -> None:
    machine, refused = Machine(cost=0.005), 0
    for _ in range(320):
        try:
            machine.admission.check_join(machine.now, machine.live)
        except Overloaded:
            refused += 1
        else:
            machine.begin()
        machine.wait(STEP_S)
    assert refused
    assert machine.wanted < 0.95, "nobody suffers"


def test_a_join_is_refused_where_the_live_calls_suffer_from_each_other() -> None:
    machine = Machine(cost=0.012, always=4)
    for _ in range(90):
        machine.begin()
    machine.wait(10)
    with pytest.raises(Overloaded, match="the server is full with 90 live calls; the join URL stays good"):
        machine.admission.check_join(machine.now, machine.live)
    machine.admission.check_join(machine.now, 3)


def test_a_join_is_not_refused_for_what_other_programs_do() -> None:
    machine = Machine(elsewhere=0.95)
    for _ in range(20):
        machine.begin()
    machine.wait(10)
    assert machine.ask() is not None
    machine.admission.check_join(machine.now, machine.live)


def reading(live: int, *, busy: float = 0.1, expected: float = 0, late_share: float = 0.0) -> Reading:
    return Reading(live, 0, expected, busy, late_share)


def full_load() -> tuple[Load, float]:
    load = Load(LoadLimits(busy=0.75))
    return load, run(load, 20, 0.75)


def test_a_call_is_let_in_where_any_process_of_the_server_has_room() -> None:
    load, now = full_load()
    admission = Admission(1000, load)
    with pytest.raises(Overloaded, match="75 live calls, one more would take this process to 7"):
        admission.check(now, 75, 0)
    admission.peers = (reading(75, busy=0.75), reading(60, busy=0.6))
    admission.check(now, 75, 0)
    admission.peers = (reading(75, busy=0.75), reading(60, busy=0.6, late_share=0.5))
    with pytest.raises(Overloaded, match="the other workers have no room either"):
        admission.check(now, 75, 0)


def test_calls_that_are_expected_are_shared_out() -> None:
    load, now = full_load()
    admission = Admission(1000, load)
    admission.peers = (reading(60, busy=0.6, expected=8),)
    admission.check(now, 75, 20)
    with pytest.raises(Overloaded):
        admission.check(now, 75, 32)


def test_the_small_number_is_that_of_all_processes_together() -> None:
    load, now = full_load()
    stalls(load, *[0.5] * 20, until=now)
    admission = Admission(1000, load, always=6)
    admission.peers = (reading(2, late_share=0.9),)
    admission.check(now, 3, 0)
    with pytest.raises(Overloaded):
        admission.check(now, 4, 0)
    with pytest.raises(Overloaded):
        admission.check(now, 3, 1.5)


def test_places_are_those_of_all_processes_together() -> None:
    admission = Admission(10)
    admission.peers = (reading(4), reading(3))
    admission.check_join(0.0, 2)
    with pytest.raises(Overloaded, match="all 10 places"):
        admission.check_join(0.0, 3)


def test_waiting_calls_of_a_key_are_those_of_all_processes_together() -> None:
    admission = Admission(10, most_waiting=5)
    admission.peers = (Reading(0, 0, 0, 0, 0, {"mine": 3, "yours": 5}),)
    admission.check_waiting("mine", 1)
    admission.check_waiting("another", 4)
    with pytest.raises(TooManyWaiting, match=r"5 calls of this API key .*limits\.max_waiting"):
        admission.check_waiting("mine", 2)


def test_what_is_not_seen_yet_fades_with_the_average() -> None:
    load = Load()
    for _ in range(10):
        load.call_began(0.0)
    assert load.reading(0.0, 10, 0).unseen == pytest.approx(10)
    assert load.reading(3.0, 10, 0).unseen == pytest.approx(10 / math.e)
