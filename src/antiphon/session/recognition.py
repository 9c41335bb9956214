"""What a call asks of the engines that listen: the words of an utterance, and whether the caller is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from antiphon.call import events as ev
from antiphon.engines.protocols import LISTENING_RATE, EndOfTurn, Samples
from antiphon.engines.written import ends_of
from antiphon.errors import EngineError
from antiphon.session.listener import Listener, Utterance
from antiphon.session.text_sanitizer import mended
from antiphon.session.watch import END_OF_TURN, TRANSCRIBER, EngineWatch

JUDGED_S = 8.0
"""The end-of-turn model hears this much of an utterance's end."""

_log = structlog.get_logger(__name__)


class Recognition:
    """Carries out ``Transcribe`` and ``JudgeTurn``; reports events by ``report``.

    What is asked about an utterance is dropped with it, so that engines that do not answer leave no tasks behind.
    """

    def __init__(
        self,
        listener: Listener,
        end_of_turn: EndOfTurn | None,
        tasks: asyncio.TaskGroup,
        report: Callable[[ev.Event], None],
        now: Callable[[], float],
        watch: EngineWatch | None = None,
    ) -> None:
        self._listener = listener
        self._end_of_turn = end_of_turn
        self._tasks = tasks
        self._report = report
        self._now = now
        self._watch = watch or EngineWatch()
        self._asked: dict[int, set[asyncio.Task[None]]] = {}
        self._stopped = False

    def stop(self) -> None:
        """Ask no more: the call's tasks are being cancelled, and nobody would cancel a new one."""
        self._stopped = True

    def transcribe(self, number: int, revision: int) -> None:
        """Ask for the words of an utterance, as it stands now."""
        utterance = self._listener.utterance(number)
        if utterance is None or utterance.transcription is None:
            self._report(ev.TranscriptionFailed(self._now(), number, revision, "the transcriber does not listen"))
        else:
            self._ask(number, self._transcribe(utterance, number, revision))

    def judge(self, number: int, revision: int) -> None:
        """Ask whether that was all."""
        utterance = self._listener.utterance(number)
        if utterance is None or self._end_of_turn is None:
            self._report(ev.TurnJudged(self._now(), number, revision, None))
        else:
            audio = utterance.audio()[-int(JUDGED_S * LISTENING_RATE) :]
            self._ask(number, self._judge(self._end_of_turn, audio, number, revision))

    def close(self, number: int) -> None:
        """The utterance is of no further use."""
        for task in self._asked.pop(number, ()):
            if task is not asyncio.current_task():
                task.cancel()

    def _ask(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        if self._stopped:
            work.close()
            return
        task = self._tasks.create_task(work)
        asked = self._asked.setdefault(number, set())
        asked.add(task)
        task.add_done_callback(asked.discard)

    async def _transcribe(self, utterance: Utterance, number: int, revision: int) -> None:
        assert utterance.transcription is not None
        self._watch.asks()
        try:
            text = await utterance.transcription.text()
        except EngineError as error:
            self._watch.failed(TRANSCRIBER, str(error))
            self._report(ev.TranscriptionFailed(self._now(), number, revision, str(error)))
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # The engine dropped it, because more is being asked about, or because it was closed.
        except Exception as error:
            reason = self._watch.broke(TRANSCRIBER, error)
            self._report(ev.TranscriptionFailed(self._now(), number, revision, reason))
        else:
            if text:  # without any, a transcriber elsewhere may not have been asked
                self._watch.worked(TRANSCRIBER)
            self._report(ev.Transcribed(self._now(), number, revision, mended(text), ends_of(text)))

    async def _judge(self, end_of_turn: EndOfTurn, audio: Samples, number: int, revision: int) -> None:
        probability: float | None = None
        self._watch.asks()
        try:
            probability = await end_of_turn.completeness(audio)
            self._watch.worked(END_OF_TURN)
        except EngineError as error:
            self._watch.failed(END_OF_TURN, str(error))
        except Exception as error:
            self._watch.broke(END_OF_TURN, error)
        self._report(ev.TurnJudged(self._now(), number, revision, probability))
