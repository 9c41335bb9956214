"""When the caller speaks, pauses and is done, frame by frame."""

from __future__ import annotations

from antiphon.call.listening.endpointing import (
    FRAME_S,
    Began,
    CallerTurn,
    Confirmed,
    Dropped,
    Paused,
    Phase,
    Resumed,
    TurnEnded,
    TurnFact,
)
from antiphon.call.settings import TurnSettings, VadSettings


class Frames:
    """A caller as a row of probabilities, one every 32 ms."""

    def __init__(self, *, judged: bool = False, **vad: float) -> None:
        self.turn = CallerTurn(VadSettings(**vad), TurnSettings(), judged=judged)
        self.frames = 0
        self.facts: list[tuple[int, TurnFact]] = []

    def hear(self, *probabilities: float) -> Frames:
        for probability in probabilities:
            self.frames += 1
            now = self.frames * FRAME_S
            self.facts += [(self.frames, fact) for fact in self.turn.hear(now, now, probability)]
        return self

    def kinds(self) -> list[type[TurnFact]]:
        return [type(fact) for _, fact in self.facts]

    def frame_of(self, kind: type[TurnFact]) -> int:
        return next(frame for frame, fact in self.facts if isinstance(fact, kind))


def test_an_utterance_begins_pauses_and_ends() -> None:
    said = Frames().hear(*[0.9] * 20, *[0.0] * 20)
    assert said.kinds() == [Began, Confirmed, Paused, TurnEnded]
    assert [said.frame_of(kind) for kind in (Began, Confirmed, Paused, TurnEnded)] == [1, 2, 23, 32]


def test_a_click_is_dropped() -> None:
    assert Frames().hear(0.9, *[0.0] * 20).kinds() == [Began, Dropped]


def test_less_than_the_minimum_turn_is_dropped() -> None:
    assert Frames(minimum_turn_s=0.5).hear(*[0.9] * 10, *[0.0] * 20).kinds() == [Began, Dropped]


def test_going_on_voids_the_revision() -> None:
    said = Frames().hear(*[0.9] * 20, *[0.0] * 5, 0.9, 0.9, *[0.0] * 12)
    assert said.kinds() == [Began, Confirmed, Paused, Resumed, Paused, TurnEnded]
    assert [fact.revision for _, fact in said.facts if isinstance(fact, Paused)] == [1, 2]


def test_a_click_in_the_silence_starts_it_over_and_keeps_the_revision() -> None:
    said = Frames().hear(*[0.9] * 20, *[0.0] * 8, 0.9, *[0.0] * 12)
    assert said.kinds() == [Began, Confirmed, Paused, TurnEnded]
    assert said.frame_of(TurnEnded) == 20 + 8 + 1 + 12


def test_the_work_begins_while_the_last_sound_still_fades() -> None:
    said = Frames().hear(*[0.9] * 20, 0.3, 0.2, *[0.0] * 20)
    assert said.frame_of(Paused) == 23
    assert said.frame_of(TurnEnded) == 22 + 12


def test_a_voice_that_goes_on_faintly_is_heard_again_before_the_end() -> None:
    said = Frames().hear(*[0.9] * 20, *[0.2] * 10, *[0.0] * 20)
    assert said.kinds() == [Began, Confirmed, Paused, Resumed, Paused, TurnEnded]
    assert said.frame_of(Paused) == 23
    assert said.facts[-1] == (30 + 12, TurnEnded(1, 2))


def test_a_steady_murmur_does_not_start_work_over_and_over() -> None:
    assert Frames().hear(*[0.2] * 500).kinds() == [Began, Confirmed, Paused, TurnEnded]


def test_an_unfinished_sentence_is_waited_for() -> None:
    said = Frames(judged=True).hear(*[0.9] * 20, *[0.0] * 4)
    assert said.turn.judge(1, 1, 0.1) == []
    said.hear(*[0.0] * 60)
    assert said.frame_of(TurnEnded) == 20 + 38  # 1.2 s


def test_an_opinion_that_comes_late_ends_the_turn_when_it_comes() -> None:
    said = Frames(judged=True).hear(*[0.9] * 20, *[0.0] * 14)
    assert said.turn.phase is Phase.PAUSING
    assert said.turn.judge(1, 1, 0.9) == [TurnEnded(1, 1)]


def test_an_opinion_of_an_older_revision_is_nobodys() -> None:
    said = Frames(judged=True).hear(*[0.9] * 20, *[0.0] * 5, *[0.9] * 5, *[0.0] * 14)
    assert said.turn.judge(1, 1, 0.9) == []


def test_without_audio_the_wall_clock_counts_on() -> None:
    said = Frames().hear(*[0.9] * 20)
    deadline = said.turn.deadline
    assert deadline is not None
    assert [type(fact) for fact in said.turn.tick(deadline)] == [Paused]
    deadline = said.turn.deadline
    assert deadline is not None
    assert [type(fact) for fact in said.turn.tick(deadline)] == [TurnEnded]


def test_a_client_that_sends_once_a_second_is_not_taken_for_silent() -> None:
    turn = CallerTurn(VadSettings(), TurnSettings(), judged=False)
    now, audio_s = 0.0, 0.0
    facts: list[TurnFact] = []
    for _ in range(4):
        now += 1.0
        facts += turn.tick(now - 0.01)
        for _ in range(31):
            audio_s += FRAME_S
            facts += turn.hear(now, audio_s, 0.9)
    assert [type(fact) for fact in facts] == [Began, Confirmed]
