"""What the callers say: real speech at 16 kHz, checked to be one turn each for every server measured.

The set is `turn_set.py`'s, synthetic voices and people, where the Debian packages it needs are installed; otherwise
the four sentences that come with Antiphon. Made once and kept in the cache folder.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.client.wav import Samples, read_wav
from load.activity import ENDPOINT_FRAMES, FRAME, Activity

RATE = 16_000
PACKET = RATE // 50
"""Samples of what is sent at a time."""
PACKET_S = 0.02
LONGEST_S, SHORTEST_S = 4.0, 0.7
LOUD = 0.02
"""Root mean square of 10 ms from which it is speech and not the room, of full scale (as in `turn_set.py`)."""
SURE = 0.7
"""What Pipecat takes for speech by default; Antiphon is content with 0.1."""
SURE_FRAMES = 4
MOST = 16
"""Clips of each kind."""
_LEAD = 2 * RATE
_TAIL = 2 * RATE


@dataclass(frozen=True, slots=True)
class Clip:
    """Speech without silence at its ends."""

    samples: Samples

    @property
    def packets(self) -> int:
        """20 ms packets that it takes."""
        return -(-self.samples.size // PACKET)

    @property
    def onset(self) -> int:
        """The sample at which its first loud 10 ms begin."""
        step = RATE // 100
        parts = np.pad(self.samples, (0, -self.samples.size % step)).reshape(-1, step) / 32_768
        return int(np.argmax(np.sqrt(np.mean(parts**2, axis=1)) >= LOUD)) * step


@dataclass(frozen=True, slots=True)
class Clips:
    """``questions`` are whole turns, ``interruptions`` what is said over the agent. ``source`` says where from."""

    questions: list[Clip]
    interruptions: list[Clip]
    source: str


def room(samples: int) -> Samples:
    """The faint noise of a room: no microphone is silent."""
    return np.random.default_rng(3).normal(0, 8, samples).astype(np.int16)


def prepared(cache: Path, activity: Activity) -> Clips:
    """The clips, made now where that was not done before."""
    path = cache / "clips-1.npz"
    if not path.exists():
        clips = _made(activity)
        path.parent.mkdir(parents=True, exist_ok=True)
        kinds = {"question": clips.questions, "interruption": clips.interruptions}
        arrays: dict[str, Any] = {
            f"{kind}-{n:02}": clip.samples for kind, some in kinds.items() for n, clip in enumerate(some)
        }
        with path.open("wb") as file:
            np.savez(file, source=np.array(clips.source), **arrays)
    with np.load(path) as kept:
        questions, interruptions = (
            [Clip(kept[name]) for name in sorted(kept.files) if name.startswith(kind)]
            for kind in ("question", "interruption")
        )
        return Clips(questions, interruptions, str(kept["source"]))


def _made(activity: Activity) -> Clips:
    try:
        import turn_set

        questions = [Clip(clip.samples) for clip in turn_set.without_pause()]
        interruptions = [Clip(clip.samples) for clip in turn_set.interruptions()]
        source = "the sentences and interruptions of turn_set.py"
    except SystemExit as missing:
        sys.stderr.write(f"only Antiphon's own four clips are used: {missing}\n")
        questions = interruptions = [Clip(samples) for samples in shipped()]
        source = "the four clips that come with Antiphon"
    return Clips(_fit(questions, activity), _fit(interruptions, activity), source)


def shipped() -> list[Samples]:
    """The sentences of `antiphon demo`."""
    import antiphon.demo

    return [read_wav(path).samples for path in sorted(Path(antiphon.demo.__file__).parent.glob("*.wav"))]


def _fit(clips: list[Clip], activity: Activity) -> list[Clip]:
    """Those that are one turn by every server's rule, spread over the set."""
    fitting = [clip for clip in clips if SHORTEST_S * RATE <= clip.samples.size <= LONGEST_S * RATE]
    fitting = [clip for clip in fitting if _one_turn(clip, activity)]
    return [fitting[round(number)] for number in np.linspace(0, len(fitting) - 1, min(MOST, len(fitting)))]


def _one_turn(clip: Clip, activity: Activity) -> bool:
    sound = np.concatenate([room(_LEAD), clip.samples, room(_TAIL)])
    scores = activity.score(sound[np.newaxis, : sound.size // FRAME * FRAME])[0]
    for threshold in (0.1, SURE):
        speech = np.flatnonzero(scores >= threshold)
        if not speech.size or np.diff(speech).max(initial=0) > ENDPOINT_FRAMES:
            return False
    runs = np.convolve(scores >= SURE, np.ones(SURE_FRAMES), mode="valid")
    within = np.flatnonzero(runs >= SURE_FRAMES)
    # From its beginning on, so that it interrupts at once and is over when it ends.
    return bool(within.size and within[0] * FRAME < _LEAD + RATE // 4)
