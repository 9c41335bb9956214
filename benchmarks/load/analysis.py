"""From what the callers put down to figures.

The response latency added by a server is counted from the best it could do: a turn is complete with the packet that
completes the endpoint delay after the last frame that Silero takes for speech, by the server's own threshold; the
engines take as long as the stand-ins do, one after the other. Antiphon asks them before the turn is over (after
96 ms of silence), so that its best is earlier than Pipecat's; each is measured against its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from load.activity import ENDPOINT_FRAMES, FRAME, Activity
from load.callers import Caller, Heard
from load.clips import PACKET, PACKET_S
from load.players import BUFFERS_S
from load.standins import Delays
from load.timetable import sound

THRESHOLDS = {"antiphon": 0.1, "pipecat": 0.7}
QUIET, PAUSE_FRAMES = 0.35, 3
"""Antiphon's pause: so many frames in a row below this, and it asks the engines on suspicion."""
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds. ``of``: how many there could have been."""

    count: int
    of: int
    p50: float | None
    p95: float | None
    p99: float | None
    most: float | None

    @classmethod
    def over(cls, seconds: Sequence[float], of: int) -> Spread:
        """The percentiles of ``seconds``."""
        if not seconds:
            return cls(0, of, None, None, None, None)
        p50, p95, p99, most = (round(float(q) * 1000, 2) for q in np.percentile(seconds, [50, 95, 99, 100]))
        return cls(len(seconds), of, p50, p95, p99, most)


@dataclass(frozen=True, slots=True)
class Talk:
    """What all callers heard. ``early``: answers that began before the caller was done."""

    response: Spread
    added: Spread
    interruption: Spread
    early: int
    underruns: dict[str, int]
    silence_s: dict[str, float]
    frames: int
    lost: int
    doubled: int
    stale: int
    crossed: int
    torn_bytes: int
    dropped_calls: list[str]
    unsent_bytes: int


def talk(kind: str, callers: Sequence[Caller], packets: int, activity: Activity, delays: Delays, since: float) -> Talk:
    """The figures of a run. Utterances that ended before ``since`` (``monotonic``) do not count."""
    response: list[float] = []
    added: list[float] = []
    yields: list[float] = []
    asked = over = early = 0
    for first in range(0, len(callers), _BATCH):
        some = callers[first : first + _BATCH]
        heard_of = [
            [heard for heard in caller.heard if caller.due(heard.utterance.end - 1) >= since] for caller in some
        ]
        scores = _scores(some, packets, activity) if kind in THRESHOLDS else None
        for row, caller in enumerate(some):
            for heard in heard_of[row]:
                over += heard.over
                if heard.over and heard.cleared_at is not None:
                    yields.append(heard.cleared_at - heard.began_at)
                asked += 1
                if heard.answered_at is None or scores is None:
                    continue
                response.append(heard.answered_at - caller.due(heard.utterance.end - 1))
                best = best_answer(kind, caller, heard, scores[row], delays)
                if best is None or heard.answered_at < best - PACKET_S:
                    early += 1
                else:
                    added.append(heard.answered_at - best)
    accounts = [caller.account for caller in callers]
    players = [[caller.players[number] for caller in callers] for number in range(len(BUFFERS_S))]
    names = [f"{buffer_s * 1000:.0f}" for buffer_s in BUFFERS_S]
    return Talk(
        response=Spread.over(response, asked),
        added=Spread.over(added, asked),
        interruption=Spread.over(yields, over),
        early=early,
        underruns={n: sum(p.underruns for p in some) for n, some in zip(names, players, strict=True)},
        silence_s={n: round(sum(p.silence_s for p in some), 3) for n, some in zip(names, players, strict=True)},
        frames=sum(account.frames for account in accounts),
        lost=sum(account.lost for account in accounts),
        doubled=sum(account.doubled for account in accounts),
        stale=sum(account.stale for account in accounts),
        crossed=sum(account.crossed for account in accounts),
        torn_bytes=sum(caller.reader.torn_bytes for caller in callers),
        dropped_calls=[caller.broke_off for caller in callers if caller.broke_off is not None],
        unsent_bytes=sum(caller.socket.unsent_bytes for caller in callers if caller.socket is not None),
    )


def _scores(callers: Sequence[Caller], packets: int, activity: Activity) -> NDArray[np.float32]:
    sent = np.stack([sound([heard.utterance for heard in caller.heard], packets) for caller in callers])
    return activity.score(sent[:, : sent.shape[1] // FRAME * FRAME])


def best_answer(kind: str, caller: Caller, heard: Heard, scores: NDArray[np.float32], delays: Delays) -> float | None:
    """When the first sound could have come at the earliest; None where the turn was never over."""
    utterance = heard.utterance
    found = turn_over(scores, utterance.start * PACKET // FRAME, utterance.end * PACKET // FRAME, THRESHOLDS[kind])
    if found is None:
        return None
    ended, paused = found
    if kind == "antiphon":
        return max(_sent_at(caller, ended), _sent_at(caller, paused) + delays.engines_s)
    return _sent_at(caller, ended) + delays.engines_s


def turn_over(scores: NDArray[np.float32], begins: int, ends: int, threshold: float) -> tuple[int, int] | None:
    """The frames that complete the endpoint delay, and the pause before it, of speech in ``begins`` to ``ends``."""
    silent = 0
    for frame in range(begins, scores.size):
        silent = 0 if scores[frame] >= threshold else silent + 1
        if silent >= ENDPOINT_FRAMES and frame > ends:
            sure = np.flatnonzero(scores[begins : frame + 1] >= QUIET)
            paused = begins + int(sure[-1]) + PAUSE_FRAMES if sure.size else frame
            return frame, min(paused, frame)
    return None


def _sent_at(caller: Caller, frame: int) -> float:
    """When the packet was due that completes a frame."""
    return caller.due(math.ceil((frame + 1) * FRAME / PACKET) - 1)
