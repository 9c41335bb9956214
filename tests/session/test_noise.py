"""A room full of people far away, as the real voice detector hears it, and a call in it."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.call.listening.endpointing import FRAME_S
from antiphon.call.messages import Role
from antiphon.call.settings import FirstSpeaker, Greeting
from antiphon.engines.protocols import LISTENING_RATE, Samples
from antiphon.engines.silero import SileroVoiceActivity
from tests.engines.speech import fetched, scored, spoken
from tests.support.stage import Stage, settings

SECONDS = 20
WELCOME = "Welcome to the house of many calls. It has a great many rooms, and in each of them somebody is talking."
SAID = (
    "We walked along the river until it was too dark to see the path, and then we came home again.",
    "The library closes early on Fridays because of a meeting that nobody wants to go to.",
    "She forgot her umbrella on the bus and had to walk home in the rain that did not stop.",
)


async def babble(voices: int, amplitude: float) -> Samples:
    """``voices`` at once, backwards, so that nothing in it is a word."""
    length = SECONDS * LISTENING_RATE
    mixed = np.zeros(length)
    clips = [(await spoken(text))[::-1].astype(np.float64) for text in SAID]
    for number in range(voices):
        clip = clips[number % len(clips)]
        offset = 10_301 * number
        mixed += np.resize(np.roll(clip, offset), length)
    return np.asarray(mixed / np.abs(mixed).max() * amplitude * 32_767, np.int16)


@pytest.mark.models
@pytest.mark.parametrize("voices", [4, 9])
async def test_the_noise_of_many_voices_does_not_silence_the_agent(voices: int) -> None:
    activity = SileroVoiceActivity(fetched("silero-vad"))
    scores = [probability for _, probability in await scored(activity, await babble(voices, 0.3))]
    activity.close()
    assert np.mean(np.array(scores) >= 0.1) > 0.3, "this noise is taken for speech, often enough"
    first = FirstSpeaker(True, Greeting(text=WELCOME))
    stage = Stage(settings(first_speaker=first)).join()
    for number, probability in enumerate(scores):
        stage.noise(1.0 + number * FRAME_S, 1.0 + (number + 1) * FRAME_S, probability)
    stage.run(1.0 + SECONDS)
    assert " ".join(message.text or "" for message in stage.finals(Role.AGENT)) == WELCOME
    assert stage.finals(Role.USER) == []
    assert len(stage.events("interruption")) <= 3
