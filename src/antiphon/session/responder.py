"""The agent's side of a session: text from the model, sound from the speaker, held until it may be heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from antiphon.audio.pcm import Samples
from antiphon.audio.resampling import LiveResampler
from antiphon.call import events as ev
from antiphon.call.prompt import Prompt
from antiphon.engines.candidates import FellBack
from antiphon.engines.fallback import for_call
from antiphon.engines.protocols import Alive, LanguageModel, Primable, Speaker, TextDelta, ToolCall
from antiphon.errors import EngineError
from antiphon.session.model_stream import closing, tool_request
from antiphon.session.player import Player
from antiphon.session.text_sanitizer import TextSanitizer
from antiphon.session.watch import MODEL, VOICE, EngineWatch

HOLD_POLL_S = 0.1
"""How often a speaker that is far ahead looks whether there is room again."""

ALIVE_EVERY_S = 0.5
"""How often it is told that a model lives, at most."""

NO_REPLY = 0
SOUND_TAIL_S = 0.1
"""Longest way of the last sample to the caller's ear."""

AUDIBLE = 200
"""Of full scale 32,768: sound below it at the end of a clause is its pause."""

LOOKED_AT_FIRST = 480
"""Samples at the end of a piece, most of which end while something can be heard."""

MOST_HELD_DRAFT_S = 5.0
"""Sound made of a draft that nobody may ever hear."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Work:
    """One reply being made: its tasks, the clauses to come, and the sound held until it may be heard."""

    clauses: asyncio.Queue[tuple[int, str] | None] = field(default_factory=asyncio.Queue)
    writer: asyncio.Task[None] | None = None
    speaker: asyncio.Task[None] | None = None
    held: list[Samples] = field(default_factory=list)
    held_samples: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    playing: bool = False
    finished: bool = False
    dropped: bool = False
    """Nothing of it may be heard any more, whatever a task does before it can be cancelled."""

    def drop(self) -> None:
        """Stop all work on it."""
        self.dropped = True
        for task in (self.writer, self.speaker):
            if task is not None:
                task.cancel()


class Responder:
    """Carries out ``Generate``, ``Speak``, ``EndSpeech``, ``Play`` and ``Stop``; reports events by ``report``."""

    def __init__(
        self,
        model: LanguageModel,
        speaker: Speaker,
        output_rate: int,
        player: Player,
        tasks: asyncio.TaskGroup,
        report: Callable[[ev.Event], None],
        now: Callable[[], float],
        watch: EngineWatch | None = None,
    ) -> None:
        self._model = for_call(model, self._fell_back)
        self._speaker = for_call(speaker, self._fell_back)
        self._output_rate = output_rate
        self._player = player
        self._tasks = tasks
        self._report = report
        self._now = now
        self._watch = watch or EngineWatch()
        self._work: dict[int, _Work] = {}
        self._writing: dict[int, asyncio.Task[None]] = {}
        """What the model goes on with, though its sound was stopped."""
        self._priming: asyncio.Task[None] | None = None

    def use(self, speaker: Speaker) -> None:
        """Another voice, from the next reply on."""
        self._speaker = for_call(speaker, self._fell_back)

    def prime(self, prompt: Prompt) -> None:
        """Let the model read ahead, where it can. Only the latest prompt is of use."""
        if isinstance(self._model, Primable):
            if self._priming is not None:
                self._priming.cancel()
            self._priming = self._tasks.create_task(self._prime(self._model, prompt))

    def generate(self, reply: int, prompt: Prompt, audio: Samples | None) -> None:
        """Start writing a reply."""
        self._of(reply).writer = self._tasks.create_task(self._write(reply, prompt, audio))

    def speak(self, reply: int, clause: int, text: str) -> None:
        """Make a clause into sound, after those before it."""
        work = self._of(reply)
        work.clauses.put_nowait((clause, text))
        if work.speaker is None:
            work.speaker = self._tasks.create_task(self._speak_all(reply, work))

    def end_speech(self, reply: int) -> None:
        """No more clauses follow."""
        work = self._of(reply)
        work.clauses.put_nowait(None)
        if work.speaker is None or work.speaker.done():
            self._finish(work)

    def play(self, reply: int) -> None:
        """What is held of the reply, and what follows, may be heard."""
        work = self._of(reply)
        work.playing = True
        work.released.set()
        self._player.begin(reply)
        for samples in work.held:
            self._player.push(samples, self._now())
        work.held.clear()
        if work.finished:
            self._player.finish(self._now())

    async def play_sound(self, samples: Samples) -> None:
        """Let the caller hear sound that is no reply (tones); returns when it is heard. Nothing else may be playing."""
        self._player.begin(NO_REPLY)
        self._player.push(samples, self._now())
        self._player.finish(self._now())
        await asyncio.sleep(len(samples) / self._output_rate + SOUND_TAIL_S)

    def stop(self, reply: int, *, keep_writing: bool = False) -> bool:
        """Drop all work on the reply; if it was being played (``True``), report what was heard of it.

        With ``keep_writing`` the model goes on, until it ends or the reply is stopped once more.
        """
        if not keep_writing and (writer := self._writing.pop(reply, None)) is not None:
            writer.cancel()
        work = self._work.pop(reply, None)
        if work is None:
            return False
        if keep_writing and work.writer is not None and not work.writer.done():
            self._writing[reply], work.writer = work.writer, None
            self._writing[reply].add_done_callback(lambda _: self._writing.pop(reply, None))
        work.drop()
        if work.playing:
            cleared = self._player.stop(self._now())
            self._report(ev.PlayoutStopped(self._now(), reply, cleared.position_samples, cleared.unplayed_samples))
        return work.playing

    def _of(self, reply: int) -> _Work:
        if reply not in self._work:
            # Earlier ones were stopped, or have come to their end; the model may still be writing where the
            # speaker has failed.
            for number in [number for number in self._work if number < reply]:
                self._work.pop(number).drop()
            self._work[reply] = _Work()
        return self._work[reply]

    def _fell_back(self, what: FellBack) -> None:
        self._report(ev.EngineFellBack(self._now(), what.stage, what.engine, what.fallback, what.reason))

    async def _prime(self, model: Primable, prompt: Prompt) -> None:
        self._watch.asks()
        try:
            await model.prime(prompt)
        except EngineError as error:
            self._watch.failed(MODEL, str(error))
        except Exception as error:
            self._watch.broke(MODEL, error)

    async def _write(self, reply: int, prompt: Prompt, audio: Samples | None) -> None:
        sanitizer = TextSanitizer()
        told_at = self._now()
        self._watch.asks()
        try:
            async with closing(self._model.generate(prompt, audio)) as generated:
                async for item in generated:
                    if isinstance(item, Alive) and self._now() >= told_at + ALIVE_EVERY_S:
                        told_at = self._now()
                        self._report(ev.GenerationAlive(told_at, reply))
                    if isinstance(item, TextDelta) and (delta := sanitizer.push(item.text)):
                        self._report(ev.TextGenerated(self._now(), reply, delta))
                    elif isinstance(item, ToolCall):
                        self._report(ev.ToolRequested(self._now(), reply, tool_request(item)))
        except EngineError as error:
            self._watch.failed(MODEL, str(error))
            self._report(ev.GenerationFailed(self._now(), reply, str(error)))
        except Exception as error:
            self._report(ev.GenerationFailed(self._now(), reply, self._watch.broke(MODEL, error)))
        else:
            self._watch.worked(MODEL)
            self._report(ev.GenerationEnded(self._now(), reply))

    async def _speak_all(self, reply: int, work: _Work) -> None:
        speaker = self._speaker
        self._watch.asks()
        resampler = LiveResampler(speaker.sample_rate, self._output_rate)
        clause = 0
        try:
            while (item := await work.clauses.get()) is not None:
                clause, text = item
                await self._speak_clause(reply, work, speaker, resampler, clause, text)
        except EngineError as error:
            self._watch.failed(VOICE, str(error))
            self._fail(reply, work, clause, str(error))
        except Exception as error:
            self._fail(reply, work, clause, self._watch.broke(VOICE, error))
        self._finish(work)

    def _fail(self, reply: int, work: _Work, clause: int, reason: str) -> None:
        """Nobody will speak what is written from here on."""
        if work.writer is not None:
            work.writer.cancel()
        self._report(ev.SpeakingFailed(self._now(), reply, clause, reason))

    async def _speak_clause(
        self, reply: int, work: _Work, speaker: Speaker, resampler: LiveResampler, clause: int, text: str
    ) -> None:
        made = voiced = 0

        def took(samples: Samples, ended: bool) -> None:
            nonlocal made, voiced
            if audible := _audible_samples(samples):
                voiced = made + audible
            made += self._give(work, samples)
            self._report(ev.SpeechMade(self._now(), reply, clause, made, ended, voiced))

        async with closing(speaker.speak(text)) as sound:
            async for samples in sound:
                await self._wait_for_room(work)
                took(resampler.push(samples), False)
        took(resampler.flush(), True)
        self._watch.worked(VOICE)

    def _give(self, work: _Work, samples: Samples) -> int:
        if len(samples) and not work.dropped:
            if work.playing:
                self._player.push(samples, self._now())
            else:
                work.held.append(samples)
                work.held_samples += len(samples)
        return len(samples)

    async def _wait_for_room(self, work: _Work) -> None:
        if not work.playing and work.held_samples > MOST_HELD_DRAFT_S * self._output_rate:
            await work.released.wait()
        while True:
            if not self._player.full:
                return
            await asyncio.sleep(HOLD_POLL_S)

    def _finish(self, work: _Work) -> None:
        if not work.finished and not work.dropped:
            work.finished = True
            if work.playing:
                self._player.finish(self._now())


def _audible_samples(samples: Samples) -> int:
    """How many samples there are up to the last that can be heard; 0 where none can."""
    end = len(samples)
    for begin in (max(end - LOOKED_AT_FIRST, 0), 0):
        piece = samples[begin:end]
        (loud,) = ((piece > AUDIBLE) | (piece < -AUDIBLE)).nonzero()
        if len(loud):
            return begin + int(loud[-1]) + 1
        end = begin
    return 0
