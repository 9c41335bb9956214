"""What the demo accepts as a conversation that worked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from antiphon.client import Turn, Utterance
from antiphon.demo.judgement import judge
from antiphon.demo.scene import OUTPUT_RATE, SCENE, Played
from antiphon.engines.protocols import Samples

ANSWERS = ("The capital is Paris.", "Once upon a time a ship", "Fresh snow is white.", "A week has 7 days.")


class Parrot:
    """A transcriber that has the words ready, whatever the sound."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)
        self._fed = 0

    def open(self, language: str | None) -> Parrot:
        return self

    def feed(self, frame: Samples, probability: float) -> None:
        self._fed += len(frame)

    async def text(self) -> str:
        return self._texts.pop(0)

    def close(self) -> None:
        return


def conversation() -> Played:
    turns = [
        Turn(Utterance(number, number + 1), "words", answer, SCENE[number].clip == "story", 0.1, 0.2, 0.3)
        for number, answer in enumerate(ANSWERS)
    ]
    sound = np.full(OUTPUT_RATE, 1000, np.int16)
    return Played(tuple(turns), "Hello.", sound, sound, (sound,) * 5)


async def test_a_good_conversation_passes() -> None:
    judgement = await judge(conversation(), Parrot("hello", *ANSWERS[:3], "a week has seven days"))
    assert judgement.complaints == ()
    assert judgement.word_error_rate == 0


async def test_sound_that_says_something_else_is_noticed() -> None:
    judgement = await judge(conversation(), Parrot("hello", *["mumble mumble mumble"] * 4))
    assert judgement.word_error_rate > 0.25
    assert len(judgement.complaints) == 1


async def test_silence_is_no_answer() -> None:
    played = conversation()
    quiet = replace(played, replies=(np.zeros(OUTPUT_RATE, np.int16),) * 5)
    judgement = await judge(quiet, Parrot())
    assert judgement.word_error_rate == 1


async def test_each_turn_that_failed_is_named() -> None:
    played = conversation()
    first, second, third, fourth = played.turns
    broken = (replace(first, user_text=""), replace(second, interrupted=False), replace(third, audio_s=None), fourth)
    judgement = await judge(replace(played, turns=broken), Parrot("hello", *ANSWERS))
    assert [complaint.split(":")[0] for complaint in judgement.complaints] == ["turn 1", "turn 2", "turn 3"]
