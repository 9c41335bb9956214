"""What `antiphon call` does: one call from files or the microphone, printed while it happens."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soxr
from rich.console import Console

from antiphon.client.caller import Caller, Received, join
from antiphon.client.live import Live, turn_table
from antiphon.client.rest import Api
from antiphon.client.sound import Loudspeaker, Microphone, devices
from antiphon.client.turns import turns
from antiphon.client.voice import Voice
from antiphon.client.wav import Samples, Wav, read_wav, write_wav
from antiphon.errors import CallEnded, JoinRefused, SetupError

ANSWER_TIMEOUT_S = 60.0
"""How long an answer may take before the caller goes on without one."""
_GOOD_CLOSES = (1000, 1001, 1005)


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What the user of `antiphon call` chose.

    ``url`` is a ``joinUrl``; without one the call is created at ``server`` with ``key`` and ``body``, the
    fields of the request beside its medium. ``wavs`` are spoken one after the other, each after the answer to the
    one before; without any the microphone is used. ``rate`` is what the call carries both ways, Hz.
    """

    url: str | None
    server: str
    key: str
    body: dict[str, Any] = field(default_factory=dict)
    wavs: tuple[Path, ...] = ()
    rate: int | None = None
    out: Path = Path("out/call")


async def hold(options: CallOptions, console: Console) -> None:
    """Hold the call and leave ``caller.wav`` and ``agent.wav`` in the out folder.

    Raises :class:`SetupError`, :class:`~antiphon.errors.RequestError` or :class:`JoinRefused`.
    """
    clips = [read_wav(path) for path in options.wavs]
    rate = options.rate or (clips[0].rate if clips else 48_000)
    with ExitStack() as stack:
        source: Voice | Microphone = Voice(rate)
        loudspeaker: Loudspeaker | None = None
        if not clips:
            source, loudspeaker = stack.enter_context(devices(rate, rate))
        url = options.url or await _create(options, rate, console)
        live = Live(console)

        def on_message(message: Received) -> None:
            live.show(message)
            if loudspeaker is not None and message.type == "playback_clear_buffer":
                loudspeaker.clear()

        on_audio = loudspeaker.play if loudspeaker is not None else None
        async with join(
            url, source, input_rate=rate, output_rate=rate, on_message=on_message, on_audio=on_audio
        ) as caller:
            ended = await _converse(caller, [_at(clip, rate) for clip in clips])
    live.end()
    if ended is not None and ended.close_code not in _GOOD_CLOSES:
        raise JoinRefused(f"the server ended the call ({ended.close_code}): {ended}", ended.close_code)
    _report(caller, source.said(), options.out, console)


async def _create(options: CallOptions, rate: int, console: Console) -> str:
    medium = {
        "serverWebSocket": {"inputSampleRate": rate, "outputSampleRate": rate, "dataMessages": {"callEvent": True}}
    }
    async with Api(options.server, options.key) as api:
        call = await api.create_call({**options.body, "medium": medium})
    url = call.get("joinUrl")
    if not url:
        raise SetupError(f"{options.server} created the call {call.get('callId')} without a joinUrl")
    console.print(f"[dim]call {call['callId']}[/]")
    return str(url)


async def _converse(caller: Caller, clips: list[Samples]) -> CallEnded | None:
    """Say the clips, or talk until one side hangs up; how the server ended the call, if it did."""
    try:
        if not clips:
            await caller.until_closed()
        else:
            await answered(caller, 0.0)
        for clip in clips:
            utterance = await caller.say(clip)
            await answered(caller, utterance.ended_s)
    except CallEnded as ended:
        return ended
    except asyncio.CancelledError:  # Ctrl-C is how a person hangs up
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
    return CallEnded(*caller.closed) if caller.closed else None


async def answered(caller: Caller, since_s: float) -> None:
    """Wait until the agent has answered what was said until ``since_s`` and listens again."""

    def listening(message: Received) -> bool:
        return message.type == "state" and message.body.get("state") == "listening"

    try:
        if since_s > 0:
            thinking = await caller.until_message(
                lambda message: message.type == "state" and message.body.get("state") in ("thinking", "speaking"),
                after_s=since_s,
                timeout_s=ANSWER_TIMEOUT_S,
            )
            since_s = thinking.at
        await caller.until_message(listening, after_s=since_s, timeout_s=ANSWER_TIMEOUT_S)
    except TimeoutError:
        return


def _at(clip: Wav, rate: int) -> Samples:
    return clip.samples if clip.rate == rate else soxr.resample(clip.samples, clip.rate, rate)


def _report(caller: Caller, said: Samples, out: Path, console: Console) -> None:
    write_wav(out / "caller.wav", Wav(said, caller.input_rate))
    write_wav(out / "agent.wav", Wav(caller.playback.heard(), caller.playback.rate))
    if caller.utterances:
        console.print(turn_table(turns(caller.utterances, caller.received, caller.chunks)))
    console.print(f"[dim]{out / 'caller.wav'} and {out / 'agent.wav'} hold both sides of the call[/]")
