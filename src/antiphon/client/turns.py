"""What a client can say of each turn afterwards: the words of both sides and how long the caller waited for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from antiphon.client.caller import Chunk, Received
from antiphon.client.voice import Utterance


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance of the caller and what came of it.

    ``transcript_s``, ``token_s`` and ``audio_s`` are seconds from the end of the caller's speech to the final
    transcript, to the model's first token and to the first audio of the answer; ``None`` where it did not come.
    The first token never leaves the server: its time is what the server's ``agent_turn`` event says.
    """

    utterance: Utterance
    user_text: str
    agent_text: str
    interrupted: bool
    """Whether the caller cut the answer short."""
    transcript_s: float | None = None
    token_s: float | None = None
    audio_s: float | None = None


def turns(utterances: Sequence[Utterance], received: Sequence[Received], chunks: Sequence[Chunk]) -> list[Turn]:
    """Put what came into the turns it belongs to. All times are on one clock, in seconds since the join."""
    starts = [utterance.started_s for utterance in utterances]
    ends = [utterance.ended_s for utterance in utterances]
    result = []
    for utterance, (begin, next_begin), (end, next_end) in zip(
        utterances, pairwise([*starts, float("inf")]), pairwise([*ends, float("inf")]), strict=True
    ):
        heard_user = [message for message in _finals(received, "user") if begin <= message.at < next_begin]
        following = [message for message in _finals(received, "user") if message.at >= next_begin]
        after = max((_ordinal(message) for message in heard_user), default=_last_ordinal(received, begin))
        before = min((_ordinal(message) for message in following), default=None)
        agent = [
            message
            for message in _finals(received, "agent")
            if _ordinal(message) > after and (before is None or _ordinal(message) < before)
        ]
        first_audio = _first_audio(received, chunks, end, next_end)
        result.append(
            Turn(
                utterance,
                user_text=" ".join(_text(message) for message in heard_user),
                agent_text=" ".join(_text(message) for message in agent),
                interrupted=first_audio is not None
                and any(m.type == "playback_clear_buffer" and first_audio < m.at < next_end + 1 for m in received),
                transcript_s=heard_user[-1].at - end if heard_user else None,
                token_s=_token(received, end, next_end),
                audio_s=None if first_audio is None else first_audio - end,
            )
        )
    return result


def _finals(received: Sequence[Received], role: str) -> list[Received]:
    return [m for m in received if m.type == "transcript" and m.body.get("role") == role and m.body.get("final")]


def _last_ordinal(received: Sequence[Received], before_s: float) -> int:
    return max((_ordinal(m) for m in received if m.type == "transcript" and m.at < before_s), default=-1)


def _ordinal(message: Received) -> int:
    return int(message.body.get("ordinal", -1))


def _text(message: Received) -> str:
    return str(message.body.get("text") or message.body.get("delta") or "").strip()


def _first_audio(received: Sequence[Received], chunks: Sequence[Chunk], end: float, next_end: float) -> float | None:
    """When the first frame came after the agent said that it would speak; older frames belong to an older reply."""
    speaking = (m.at for m in received if m.type == "state" and m.body.get("state") == "speaking" and m.at >= end)
    since = next(speaking, None)
    if since is None or since >= next_end:
        return None
    return next((chunk.at for chunk in chunks if chunk.at >= since and chunk.samples), None)


def _token(received: Sequence[Received], end: float, next_end: float) -> float | None:
    for message in received:
        event: dict[str, Any] = message.body.get("callEvent") or {}
        if message.type == "call_event" and event.get("type") == "agent_turn" and end <= message.at < next_end:
            value = (event.get("extras") or {}).get("firstTextMs")
            return None if value is None else value / 1000
    return None
