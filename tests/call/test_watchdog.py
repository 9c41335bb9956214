"""Whatever is waited for and never comes, whoever's mistake it is, the caller is not left in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.ends import EndReason
from antiphon.call.messages import AgentState, CallEvent, Modality, Role, Severity
from antiphon.call.prompt import ToolSpec
from antiphon.call.rules.next_reply import Conversation
from antiphon.call.settings import FirstSpeaker
from antiphon.call.tools.invocations import Toolwork
from antiphon.call.watchdog import SLACK_S, STOPPED_PATIENCE_S, Wait, Watchdog
from tests.support.stage import Engines, Stage, settings

USER_FIRST = FirstSpeaker(agent=False, greeting=None)
TOOL = ToolSpec("look", "", {})


class LostStops(Stage):
    """Whoever plays does not answer ``Stop``."""

    def _do(self, action: act.Action) -> list[ev.Event]:
        answers = super()._do(action)
        return [] if isinstance(action, act.Stop) else answers


def stuck(stage: Stage) -> list[CallEvent]:
    events = stage.events("stuck")
    assert all(event.severity is Severity.ERROR for event in events)
    return events


def said(stage: Stage) -> list[str]:
    return [(message.text or "") for message in stage.finals(Role.AGENT)]


def test_a_stop_that_nobody_answers_is_apologised_for() -> None:
    stage = LostStops(settings(first_speaker=USER_FIRST)).join().speech(1.0, 2.0).speech(4.0, 5.0).run(40.0)
    assert [event.extras["waitingFor"] for event in stuck(stage)] == ["playout_stopped"]
    assert stuck(stage)[0].extras["state"] == "speaking"
    assert stuck(stage)[0].extras["seconds"] == pytest.approx(STOPPED_PATIENCE_S, abs=0.1)
    assert [text[:5] for text in said(stage)] == ["You s", "Sorry"]
    assert [message.text for message in stage.finals(Role.USER)] == ["utterance 1", "utterance 2"]
    assert stage.call.state is AgentState.LISTENING


def test_words_written_while_nobody_answers_a_stop_are_not_lost() -> None:
    stage = LostStops(settings(first_speaker=USER_FIRST)).join().speech(1.0, 2.0)
    stage.at(4.0, lambda at: ev.UserTextReceived(at, "and this", ev.Urgency.IMMEDIATE)).run(40.0)
    assert [message.text for message in stage.finals(Role.USER)] == ["utterance 1", "and this"]


def test_a_call_that_ends_while_nobody_answers_a_stop_keeps_what_was_heard() -> None:
    stage = LostStops(settings(first_speaker=USER_FIRST)).join().speech(1.0, 2.0)
    stage.at(4.0, lambda at: ev.EndRequested(at, EndReason.HANGUP, 1000, "bye")).run(10.0)
    assert stage.end is not None
    assert stage.end.reason is EndReason.HANGUP
    assert said(stage) != []
    assert [message.text for message in stage.call.messages if message.role is Role.AGENT] == said(stage)


def test_stops_that_are_never_answered_end_the_call() -> None:
    stage = LostStops(settings(first_speaker=USER_FIRST)).join()
    for start in range(1, 100, 3):
        stage.speech(start, start + 1.0)
    stage.run(120.0)
    assert stage.end is not None
    assert stage.end.reason is EndReason.SYSTEM_ERROR


def nothing_taken(broken: Conversation) -> None:
    broken._take_whole_turns = lambda: None  # type: ignore[method-assign]


def nothing_begun(broken: Conversation) -> None:
    broken._take_floor = lambda at: False  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("mistake", "waited_for", "answers"),
    [(nothing_taken, "turn", True), (nothing_begun, "turn", False)],
    ids=["a turn that is never taken", "a floor that nobody takes"],
)
def test_a_mistake_of_ours(mistake: Callable[[Conversation], None], waited_for: str, answers: bool) -> None:
    stage = Stage(settings(first_speaker=USER_FIRST))
    mistake(stage.call._talk)
    stage.join().speech(1.0, 2.0).run(300.0)
    assert stuck(stage)[0].extras["waitingFor"] == waited_for
    assert stage.finals(Role.USER)[0].text == "utterance 1"
    if answers:
        assert said(stage)[0].startswith("Sorry")
        assert stage.call.state is AgentState.LISTENING
    else:
        assert stage.end is not None
        assert stage.end.reason is EndReason.SYSTEM_ERROR


class Forgetful(Toolwork):
    """Never gives a tool up by itself."""

    @property
    def deadline(self) -> float | None:
        return None

    def give_up(self, now: float, *, at_once: bool = False) -> None:
        if at_once:
            super().give_up(now, at_once=True)


def test_a_tool_that_counts_as_running_for_ever() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST, tools=(TOOL,)), Engines(wants=["look"], tool_s=None))
    stage.call._talk.tools.__class__ = Forgetful
    stage.join().speech(1.0, 2.0).run(120.0)
    assert [event.extras["waitingFor"] for event in stuck(stage)] == ["tool"]
    assert stage.call.state is AgentState.LISTENING


def test_a_written_reply_that_trails_off_while_its_model_lives_is_given_up_before() -> None:
    stage = Stage(settings(first_speaker=USER_FIRST, modality=Modality.TEXT), Engines(stalls=True))
    stage.join().speech(1.0, 2.0).at(4.0, lambda at: ev.TextGenerated(at, 1, "So I "))
    for second in range(4, 100):
        stage.at(float(second), lambda at: ev.GenerationAlive(at, 1))
    stage.run(100.0)
    assert stuck(stage) == []
    assert [text[:5] for text in said(stage)] == ["So I", "Sorry"]
    assert stage.call.state is AgentState.LISTENING


def test_nothing_bites_while_something_moves() -> None:
    dog = Watchdog(10.0)
    for second in range(100):
        dog.watch(float(second), Wait("text", second // 5))
        assert dog.bites(float(second)) is None
    dog.watch(100.0, None)
    assert dog.deadline is None
    assert dog.bites(1e9) is None


def test_it_bites_once_and_says_since_when() -> None:
    dog = Watchdog(10.0)
    dog.watch(1.0, Wait("sound", 1))
    dog.watch(5.0, Wait("sound", 1))
    assert dog.deadline == 11.0 + SLACK_S
    assert dog.bites(11.0) is None
    assert dog.bites(11.0 + SLACK_S) == ("sound", 1.0)
    assert dog.bites(11.0 + SLACK_S) is None


def test_a_wait_may_be_long_by_right() -> None:
    dog = Watchdog(10.0)
    dog.watch(1.0, Wait("tool", 46.0, not_before=46.0))
    assert dog.deadline == 56.0 + SLACK_S
