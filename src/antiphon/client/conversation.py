"""What `antiphon call` does: one call from files or the microphone, printed while it happens."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soxr
from rich.console import Console

from antiphon.client.caller import Caller, Received, join
from antiphon.client.files import writable
from antiphon.client.live import Live, turn_table
from antiphon.client.rest import Api
from antiphon.client.sound import Loudspeaker, Microphone, devices
from antiphon.client.turns import turns
from antiphon.client.voice import Voice
from antiphon.client.wav import Samples, Wav, peak_db, read_wav, write_wav
from antiphon.errors import CallEnded, JoinRefused, NoAnswer, SetupError

ANSWER_TIMEOUT_S = 60.0
"""How long an answer may take before it is taken for none."""

REASSURE_AFTER_S = 10.0
"""Without an answer: the user is told then what is waited for."""

SILENT_DB = -60.0
"""Of full scale: a recording whose loudest sample lies below has no speech in it."""

CUT_SHORT_S = 0.1
"""A recording that lacks more than this of what its header promises is named; many writers are off by a few samples."""

_NORMAL_CLOSES = (1000, 1005)
_VANISHED = 1006
_FULL = 1013


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


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording to speak, by the name its user knows."""

    name: str
    samples: Samples
    loudest_db: float


async def hold(options: CallOptions, console: Console) -> int:
    """Hold the call, leave ``caller.wav`` and ``agent.wav`` in the out folder, and return the exit status.

    That is 0; 130 after Ctrl-C, 143 after SIGTERM and 141 where nobody reads what is printed, which hang up. The files
    hold what was said until then. They are left after an error in the middle of the call, too.

    Raises :class:`SetupError`, :class:`~antiphon.errors.RequestError` or :class:`JoinRefused` before the call, and
    :class:`CallEnded` or :class:`NoAnswer` in it.
    """
    with _signals() as signals:
        try:
            await _hold(options, console, signals)
        except asyncio.CancelledError:
            if not signals.seen:
                raise
    return 128 + signals.seen[0] if signals.seen else 0


class _Signals:
    """The signals that told this task to hang up."""

    def __init__(self) -> None:
        self.seen: list[signal.Signals] = []
        self._task = asyncio.current_task()

    def stop(self, signum: signal.Signals) -> None:
        """Cancel the task. A second signal also ends the wait for the server's good-bye."""
        self.seen.append(signum)
        if self._task is not None:
            self._task.cancel()


@contextmanager
def _signals() -> Iterator[_Signals]:
    loop, signals = asyncio.get_running_loop(), _Signals()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, signals.stop, signum)
    try:
        yield signals
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)


async def _hold(options: CallOptions, console: Console, signals: _Signals) -> None:
    wavs = [(path.name, read_wav(path)) for path in options.wavs]
    rate = options.rate or (wavs[0][1].rate if wavs else 48_000)
    clips = [_clip(name, wav, rate) for name, wav in wavs]
    for name, wav in wavs:
        if wav.missing_s > CUT_SHORT_S:
            console.print(f"[yellow]{name} is cut short: its header promises {wav.missing_s:.1f} s more[/]")
    for name in ("caller.wav", "agent.wav"):
        writable(options.out / name)
    with ExitStack() as stack:
        source: Voice | Microphone = Voice(rate)
        loudspeaker: Loudspeaker | None = None
        if not clips:
            source, loudspeaker = stack.enter_context(devices(rate, rate))
        url = options.url or await _create(options, rate, console)
        live = Live(console)

        def on_message(message: Received) -> None:
            try:
                live.show(message)
            except SystemExit:  # rich's answer to a broken pipe, after which it prints no more
                signals.stop(signal.SIGPIPE)
            if loudspeaker is not None and message.type == "playback_clear_buffer":
                loudspeaker.clear()

        on_audio = loudspeaker.play if loudspeaker is not None else None
        caller: Caller | None = None
        try:
            async with join(
                url, source, input_rate=rate, output_rate=rate, on_message=on_message, on_audio=on_audio
            ) as caller:
                await _converse(caller, clips, live)
        finally:
            live.end()
            if caller is not None and caller.received:
                _report(caller, source.said(), options.out, console)


def _clip(name: str, wav: Wav, rate: int) -> Clip:
    """The recording at the call's rate. Raises :class:`SetupError` where it is silent."""
    loudest_db = peak_db(wav.samples)
    if loudest_db < SILENT_DB:
        raise SetupError(f"{name} is silent: there is nothing in it that could be answered; give a file with speech")
    samples = wav.samples if wav.rate == rate else soxr.resample(wav.samples, wav.rate, rate)
    return Clip(name, samples, loudest_db)


async def _create(options: CallOptions, rate: int, console: Console) -> str:
    medium = {
        "serverWebSocket": {"inputSampleRate": rate, "outputSampleRate": rate, "dataMessages": {"callEvent": True}}
    }
    async with Api(options.server, options.key) as api:
        call = await api.create_call({**options.body, "medium": medium})
        url = call.get("joinUrl")
        if not url:
            raise SetupError(f"{api.url} created the call {call.get('callId')} without a joinUrl")
    console.print(f"[dim]call {call['callId']}[/]")
    return str(url)


async def _converse(caller: Caller, clips: list[Clip], live: Live) -> None:
    """Say the clips, or talk until one side hangs up."""
    spoken = 0
    try:
        if not clips:
            await caller.until_closed()
        elif not await _patiently(caller, 0.0, live):
            raise NoAnswer(f"the agent does not listen {ANSWER_TIMEOUT_S:.0f} s after the join: state {caller.state}")
        for clip in clips:
            utterance = await caller.say(clip.samples)
            if not await _patiently(caller, utterance.ended_s, live):
                raise NoAnswer(_no_answer(caller, clip, utterance.started_s))
            spoken += 1
    except CallEnded as ended:
        _judge(ended, caller)
        if spoken < len(clips) and not _heard_agent(caller):
            raise NoAnswer(f"the call ended before the agent answered {clips[spoken].name}") from None
        live.note(caller.now, "(the call ended)")


def _judge(ended: CallEnded, caller: Caller) -> None:
    """Raise what a close means that is none of a call's normal ends."""
    code = ended.close_code
    if code in _NORMAL_CLOSES:
        return
    if not caller.received:
        way_out = "try again later" if code == _FULL else "a joinUrl serves one join, in time: create another call"
        raise JoinRefused(f"the server refused the join ({code}): {ended}; {way_out}", code)
    if code == _VANISHED:
        raise CallEnded(code, "the connection to the server broke off in the middle of the call")
    raise CallEnded(code, f"the server ended the call ({code}): {ended}")


def _heard_agent(caller: Caller) -> bool:
    return any(m.type == "transcript" and m.body.get("role") == "agent" for m in caller.received)


def _no_answer(caller: Caller, clip: Clip, since_s: float) -> str:
    words = [m for m in caller.received if m.at >= since_s and m.type == "transcript" and m.body.get("role") == "user"]
    if words:
        return f"the agent did not answer {clip.name} within {ANSWER_TIMEOUT_S:.0f} s"
    return (
        f"the server heard no speech in {clip.name}: no answer in {ANSWER_TIMEOUT_S:.0f} s; "
        f"its loudest sample is at {clip.loudest_db:.0f} dB of full scale. Is it a recording of speech, loud enough?"
    )


async def _patiently(caller: Caller, since_s: float, live: Live) -> bool:
    """Wait as :func:`answered` does, and let the user know where it takes long."""

    def reassure() -> None:
        live.note(caller.now, f"(no answer for {REASSURE_AFTER_S:.0f} s; waiting on)")

    return await answered(caller, since_s, reassure)


async def answered(caller: Caller, since_s: float, on_wait: Callable[[], None] | None = None) -> bool:
    """Wait until the agent has answered what was said until ``since_s`` and listens again.

    Return False after ``ANSWER_TIMEOUT_S`` without that. ``on_wait`` is called once, after ``REASSURE_AFTER_S`` in
    which no answer began.
    """

    def answering(message: Received) -> bool:
        return message.type == "state" and message.body.get("state") in ("thinking", "speaking")

    def listening(message: Received) -> bool:
        return message.type == "state" and message.body.get("state") == "listening"

    first = listening if since_s <= 0 else answering
    reassurance = None
    if on_wait is not None:
        reassurance = asyncio.get_running_loop().call_later(REASSURE_AFTER_S, on_wait)
    try:
        found = await caller.until_message(first, after_s=since_s, timeout_s=ANSWER_TIMEOUT_S)
        if reassurance is not None:
            reassurance.cancel()
        if since_s > 0:
            await _until_quiet(caller, found, listening)
    except TimeoutError:
        return False
    finally:
        if reassurance is not None:
            reassurance.cancel()
    return True


async def _until_quiet(caller: Caller, since: Received, listening: Callable[[Received], bool]) -> None:
    """Wait for the end of an answer, however long it is. Raises :class:`TimeoutError` where no more of it comes."""
    while True:
        try:
            await caller.until_message(listening, after_s=since.at, timeout_s=ANSWER_TIMEOUT_S)
        except TimeoutError:
            last = max(caller.received[-1].at, caller.chunks[-1].at if caller.chunks else 0.0)
            if caller.now - last > ANSWER_TIMEOUT_S:
                raise
        else:
            return


def _report(caller: Caller, said: Samples, out: Path, console: Console) -> None:
    write_wav(out / "caller.wav", Wav(said, caller.input_rate))
    write_wav(out / "agent.wav", Wav(caller.playback.heard(), caller.playback.rate))
    if caller.utterances:
        console.print()
        console.print(turn_table(turns(caller.utterances, caller.received, caller.chunks)))
    console.print(f"[dim]Both sides of the call are in {out}: caller.wav, agent.wav[/]", soft_wrap=True)
