"""An event from which nothing follows ends early. It must be as if it had gone all the way.

Two calls get the same events: one as it is, the other looks after each event whether anything has become possible.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.call import events as ev
from antiphon.call.actions import Action
from antiphon.call.call import Call
from antiphon.call.settings import CallSettings, FirstSpeaker, Greeting
from tests.call.test_invariants import call_settings, drive, steps
from tests.support import random_conversation
from tests.support.random_conversation import RandomConversation
from tests.support.stage import settings as setup_with


class LongWay(Call):
    """Nothing ends early but frames of audio."""

    def receive(self, event: ev.Event) -> bool:
        more = super().receive(event)
        if not more and self._talk.joined_at is not None and not self.ended and not isinstance(event, ev.SpeechScored):
            self._advance(event.at)
        return more


class Twins(Call):
    """A call, and beside it one that goes the long way; they must be alike after every event."""

    ended_early: ClassVar[Counter[type]] = Counter()

    def __init__(self, setup: CallSettings) -> None:
        super().__init__(setup)
        self._other = LongWay(setup)

    def receive(self, event: ev.Event) -> bool:
        before = self.deadline
        more = super().receive(event)
        self._other.receive(event)
        if not more and self.state.value != "idle":
            self.ended_early[type(event)] += 1
            if not isinstance(event, ev.SpeechScored):
                assert before is None or (self.deadline or 0.0) >= before, f"an earlier deadline by {event}"
        self._compare()
        return more

    def tick(self, now: float) -> None:
        super().tick(now)
        self._other.tick(now)
        self._compare()

    def actions(self) -> list[Action]:
        taken = super().actions()
        assert taken == self._other.actions()
        return taken

    def _compare(self) -> None:
        assert self._out == self._other._out
        assert self.deadline == self._other.deadline
        mine, other = self._talk, self._other._talk
        assert mine.watchdog.deadline == other.watchdog.deadline
        assert (mine.last_at, mine.tools.audio_s) == (other.last_at, other.tools.audio_s)
        assert (mine.silence.deadline, mine.threads.deadline) == (other.silence.deadline, other.threads.deadline)
        assert self.state is self._other.state
        assert self.ended == self._other.ended
        assert self.messages == self._other.messages


def test_plausible_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_conversation, "Call", Twins)
    Twins.ended_early.clear()
    for seed in range(2_000, 2_100):
        RandomConversation(seed).run()
    for kind in (ev.SpeechScored, ev.PlayoutAdvanced, ev.SpeechMade, ev.TextGenerated):
        assert Twins.ended_early[kind] > 500, f"no short way for {kind}"
    assert set(Twins.ended_early) == {ev.SpeechScored, ev.PlayoutAdvanced, ev.SpeechMade, ev.TextGenerated}


@settings(max_examples=150, deadline=None)
@given(call_settings, st.lists(steps(), max_size=40))
def test_any_events_in_any_order(setup: CallSettings, script: list[tuple[float, object]]) -> None:
    drive(Twins(setup), script)


def test_a_greeting_is_due_by_the_clock_whatever_comes() -> None:
    call = Twins(setup_with(first_speaker=FirstSpeaker(False, Greeting("Anybody?", delay_s=1.0))))
    call.receive(ev.Joined(0.0))
    call.actions()
    assert call.receive(ev.TextGenerated(1.5, 7, "stale "))
    assert [type(action).__name__ for action in call.actions()].count("Speak") == 1
