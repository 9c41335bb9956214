"""One call being served: the medium, the engines and the pure core brought together in one task group."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from antiphon import metrics
from antiphon.audio.pcm import Samples
from antiphon.audio.playout import Playout
from antiphon.audio.recording import RecordingWriter
from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.call import Call
from antiphon.call.ends import EndReason
from antiphon.call.messages import CallEvent, Message, Severity
from antiphon.call.settings import CallSettings
from antiphon.engines.protocols import LISTENING_RATE
from antiphon.errors import EngineError, MessageError
from antiphon.media.protocol import AudioIn, Closed, Medium, TextIn
from antiphon.session.listener import Listener, Utterance
from antiphon.session.pacer import Pacer
from antiphon.session.parts import CallEngines, Chronicle
from antiphon.session.player import Player
from antiphon.session.responder import Responder
from antiphon.wire.events import event_of
from antiphon.wire.incoming import Incoming, parse
from antiphon.wire.outgoing import EnabledDataMessages, to_json

JUDGED_S = 8.0
"""The end-of-turn model hears this much of an utterance's end."""

MOST_REJECTED_LOGGED = 20
"""Bad messages of one client that are noted as call events; the rest are only counted."""

HEARD_AT_ONCE_BYTES = 9_600
"""Of one binary frame: 0.1 s at 48 kHz. A frame of a minute must not make other calls wait."""

PARSED_AT_ONCE = 8_192
"""Characters of a text frame that is parsed here; a longer one is parsed in a thread."""

RECORDING_JITTER_S = 0.03
"""Sound that was heard within this of where the last ended is put on record without a gap."""

_log = structlog.get_logger(__name__)


class Session:
    """Serves one joined call from ``run`` to the end."""

    def __init__(
        self,
        settings: CallSettings,
        engines: CallEngines,
        medium: Medium,
        chronicle: Chronicle,
        pacer: Pacer,
        enabled: EnabledDataMessages,
        client_buffer_ms: int,
        recording: RecordingWriter | None = None,
    ) -> None:
        self._settings = settings
        self._engines = engines
        self._medium = medium
        self._chronicle = chronicle
        self._enabled = enabled
        self._recording = recording
        self._core = Call(settings)
        self._inbox: deque[ev.Event] = deque()
        self._busy = False
        self._alarm: asyncio.TimerHandle | None = None
        self._audio_s = 0.0
        self._rejected = 0
        self._overflowed = False
        self._heard_until = 0
        self._ended: asyncio.Future[act.End] | None = None
        self._joined_at = 0.0
        self._player = Player(
            Playout(medium.output_rate, client_buffer_ms),
            pacer,
            medium.send_audio,
            lambda reply, position: self._feed(ev.PlayoutAdvanced(self._now(), reply, position)),
            self._record_heard if recording is not None else None,
            lambda: medium.backed_up,
        )
        self._listener = Listener(
            medium.input_rate, engines.voice_activity, engines.transcriber, settings.language, self._scored
        )
        self._responder: Responder | None = None
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> act.End:
        """Serve the call; returns how it ended, with the medium closed."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._joined_at = loop.time()
        end = act.End(EndReason.SYSTEM_ERROR, 1011, "the server failed")
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._responder = Responder(
                    self._engines.model,
                    self._engines.speaker,
                    self._medium.output_rate,
                    self._player,
                    tasks,
                    self._feed,
                    self._now,
                )
                reader = tasks.create_task(self._read())
                self._feed(ev.Joined(self._now()))
                end = await asyncio.shield(self._ended)
                reader.cancel()
                raise _CallOver
        except* _CallOver:
            pass
        except* Exception:
            _log.exception("session_broke", call_id=self._settings.call_id)
        finally:
            self._shut_down()
        await self._medium.close(end.close_code, end.text)
        return end

    def receive(self, message: Incoming) -> None:
        """A data message that came another way than through the medium."""
        self._take_message(message)

    def end(self, reason: EndReason, close_code: int, text: str) -> None:
        """End the call from outside."""
        self._feed(ev.EndRequested(self._now(), reason, close_code, text))

    # Input → event

    async def _read(self) -> None:
        while True:
            match await self._medium.receive():
                case AudioIn(data=data):
                    await self._hear_all(data)
                case TextIn(text=text):
                    await self._take_text(text)
                case Closed(code=code, clean=clean):
                    reason = EndReason.HANGUP if clean else EndReason.CONNECTION_ERROR
                    self.end(reason, code, "the client left" if clean else "the connection broke")
                    return
            await asyncio.sleep(0)  # other calls have their turn, however fast this client sends

    async def _hear_all(self, data: bytes) -> None:
        for start in range(0, len(data), HEARD_AT_ONCE_BYTES):
            if start:
                await asyncio.sleep(0)
            self._hear(data[start : start + HEARD_AT_ONCE_BYTES])

    def _hear(self, data: bytes) -> None:
        samples = self._listener.hear(data, self._now() - self._joined_at)
        if self._recording is not None:
            self._recording.caller(samples)
        if self._listener.samples_dropped and not self._overflowed:
            self._overflowed = True
            text = "Audio comes in faster than real time; what is more than 10 s ahead is dropped."
            self._note(CallEvent(Severity.WARNING, "audio_overflow", text))

    async def _take_text(self, text: str) -> None:
        try:
            message = parse(text) if len(text) <= PARSED_AT_ONCE else await asyncio.to_thread(parse, text)
        except MessageError as error:
            self._reject(str(error))
        else:
            self._take_message(message)

    def _take_message(self, message: Incoming) -> None:
        event = event_of(message, self._now())
        if event is None:
            self._reject(f"{type(message).__name__} is not supported by this call")
        else:
            self._feed(event)

    def _reject(self, reason: str) -> None:
        metrics.MESSAGES_REJECTED.inc()
        self._rejected += 1
        self._feed(ev.MessageRejected(self._now(), reason))
        if self._rejected <= MOST_REJECTED_LOGGED:
            self._note(CallEvent(Severity.WARNING, "message_rejected", reason))

    def _scored(self, audio_s: float, probability: float) -> None:
        self._audio_s = audio_s
        self._feed(ev.SpeechScored(self._now(), audio_s, probability))

    # Event → core → action

    def _feed(self, event: ev.Event) -> None:
        """Give the core an event and carry out what it wants, one event after the other."""
        if isinstance(event, ev.PlayoutStopped):
            self._inbox.appendleft(event)
        else:
            self._inbox.append(event)
        self._work_off()

    def _tick(self) -> None:
        self._alarm = None
        self._core.tick(self._now())
        self._work_off()

    def _work_off(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            self._carry_out()
            while self._inbox:
                self._core.receive(self._inbox.popleft())
                self._carry_out()
        finally:
            self._busy = False
        self._set_alarm()

    def _carry_out(self) -> None:
        for action in self._core.actions():
            self._do(action)

    def _set_alarm(self) -> None:
        deadline = self._core.deadline
        if self._alarm is not None:
            if deadline is not None and self._alarm.when() == deadline:
                return
            self._alarm.cancel()
            self._alarm = None
        if deadline is not None:
            self._alarm = asyncio.get_running_loop().call_at(max(deadline, self._now() + 0.001), self._tick)

    # Action → output

    def _do(self, action: act.Action) -> None:
        responder, listener = self._responder, self._listener
        if responder is None:
            return
        match action:
            case act.Emit(message=message):
                self._emit(message)
            case act.Keep(message=message):
                self._chronicle.keep(message)
            case act.OpenUtterance(utterance=number):
                listener.open_utterance(number)
            case act.CloseUtterance(utterance=number):
                listener.close_utterance(number)
            case act.Transcribe() | act.JudgeTurn():
                self._ask(action)
            case act.Prime(prompt=prompt):
                responder.prime(prompt)
            case act.Generate(reply=reply, prompt=prompt, utterance=number):
                utterance = listener.utterance(number) if number is not None else None
                responder.generate(reply, prompt, utterance.audio() if utterance else None)
            case act.Speak(reply=reply, clause=clause, text=text):
                responder.speak(reply, clause, text)
            case act.EndSpeech(reply=reply):
                responder.end_speech(reply)
            case act.Play(reply=reply):
                responder.play(reply)
            case act.Stop(reply=reply):
                if responder.stop(reply):
                    self._medium.drop_audio()
            case act.End():
                if self._ended is not None and not self._ended.done():
                    self._ended.set_result(action)

    def _emit(self, message: Message) -> None:
        if isinstance(message, CallEvent):
            self._note(message)
        elif self._enabled.allows(message):
            self._medium.send_message(to_json(message))

    def _note(self, event: CallEvent) -> None:
        metrics.observe(event)
        self._chronicle.note(event, self._audio_s, self._now() - self._joined_at)
        if self._enabled.allows(event):
            self._medium.send_message(to_json(event))

    def _ask(self, action: act.Transcribe | act.JudgeTurn) -> None:
        utterance = self._listener.utterance(action.utterance)
        if utterance is None or self._tasks is None:
            return
        ask = self._transcribe if isinstance(action, act.Transcribe) else self._judge
        self._tasks.create_task(ask(utterance, action.utterance, action.revision))

    async def _transcribe(self, utterance: Utterance, number: int, revision: int) -> None:
        try:
            text = await utterance.transcription.text()
        except EngineError as error:
            self._feed(ev.TranscriptionFailed(self._now(), number, revision, str(error)))
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        except Exception:
            _log.exception("transcriber_broke")
            self._feed(ev.TranscriptionFailed(self._now(), number, revision, "the transcriber broke"))
        else:
            self._feed(ev.Transcribed(self._now(), number, revision, text))

    async def _judge(self, utterance: Utterance, number: int, revision: int) -> None:
        probability: float | None = None
        if self._engines.end_of_turn is not None:
            try:
                audio = utterance.audio()[-int(JUDGED_S * LISTENING_RATE) :]
                probability = await self._engines.end_of_turn.completeness(audio)
            except EngineError as error:
                _log.warning("end_of_turn_failed", error=str(error))
            except Exception:
                _log.exception("end_of_turn_broke")
        self._feed(ev.TurnJudged(self._now(), number, revision, probability))

    # Small things

    def _record_heard(self, samples: Samples) -> None:
        if self._recording is not None:
            rate = self._medium.output_rate
            at = max(int((self._now() - self._joined_at) * rate) - len(samples), 0)
            if abs(at - self._heard_until) < RECORDING_JITTER_S * rate:
                at = self._heard_until
            self._recording.agent(samples, at)
            self._heard_until = at + len(samples)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _shut_down(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._player.close()
        self._listener.close()
        if self._recording is not None:
            self._recording.close()


class _CallOver(Exception):
    """Leaves the task group: cancels whatever still runs for the call."""
