"""Whether the demo worked: every turn understood, every answer heard and its sound true to its transcript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from antiphon.client.wav import Samples
from antiphon.demo.scene import OUTPUT_RATE, SCENE, Played
from antiphon.engines.protocols import ACTIVITY_FRAME, LISTENING_RATE, Transcriber
from antiphon.engines.words import normalise_words, word_errors

MOST_WORD_ERRORS = 0.25
"""Of the agent's words in the whole call: what may be understood otherwise when its sound is transcribed back."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was understood of the agent's sound, reply by reply, how far off that is, and all that went wrong."""

    understood: tuple[str, ...]
    word_error_rate: float
    complaints: tuple[str, ...]


async def judge(played: Played, transcriber: Transcriber) -> Judgement:
    """Transcribe the agent's sound back and hold it against its transcript."""
    understood = [await _understand(transcriber, reply) for reply in played.replies]
    said = [played.greeting, *(turn.agent_text for turn in played.turns)]
    errors = sum(
        word_errors(normalise_words(reply), normalise_words(heard))
        for reply, heard in zip(said, understood, strict=True)
    )
    rate = errors / max(1, sum(len(normalise_words(reply)) for reply in said))
    complaints = _missing(played)
    if rate > MOST_WORD_ERRORS:
        complaints.append(f"the agent's sound and its transcript differ in {rate:.0%} of the words")
    return Judgement(tuple(understood), rate, tuple(complaints))


def _missing(played: Played) -> list[str]:
    complaints = []
    for number, (turn, following) in enumerate(zip(played.turns, [*SCENE[1:], None], strict=True), 1):
        if not turn.user_text:
            complaints.append(f"turn {number}: the caller's words were not transcribed")
        if turn.audio_s is None or not turn.agent_text:
            complaints.append(f"turn {number}: the agent did not answer")
        elif following is not None and following.interrupting and not turn.interrupted:
            complaints.append(f"turn {number}: the agent was not interrupted")
    return complaints


async def _understand(transcriber: Transcriber, sound: Samples) -> str:
    loud = np.flatnonzero(sound)
    if not len(loud):
        return ""
    spoken: Sequence[int] = soxr.resample(sound[loud[0] : loud[-1] + 1], OUTPUT_RATE, LISTENING_RATE)
    samples = np.pad(np.asarray(spoken, np.int16), (ACTIVITY_FRAME * 8, ACTIVITY_FRAME * 8))
    transcription = transcriber.open("en")
    try:
        for start in range(0, len(samples) - ACTIVITY_FRAME + 1, ACTIVITY_FRAME):
            frame = samples[start : start + ACTIVITY_FRAME]
            transcription.feed(frame, 1.0 if np.any(frame) else 0.0)
        return await transcription.text()
    finally:
        transcription.close()
