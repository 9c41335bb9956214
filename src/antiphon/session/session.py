"""One call being served: the medium, the engines and the pure core brought together in one task group."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from antiphon.audio.pcm import Samples
from antiphon.audio.playout import Playout
from antiphon.audio.recording import RecordingWriter
from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.call import Call
from antiphon.call.ends import EndReason
from antiphon.call.messages import CallEvent, Severity
from antiphon.call.settings import CallSettings
from antiphon.call.tools.outcomes import MAIN_THREAD, ToolOutcome
from antiphon.engines.candidates import FellBack
from antiphon.engines.fallback import for_call
from antiphon.media.protocol import Medium
from antiphon.session.data_connections import CallDataConnection
from antiphon.session.data_participant import DataParticipant
from antiphon.session.inbound import Inbound, Track
from antiphon.session.listener import Listener
from antiphon.session.pacer import Pacer
from antiphon.session.participants import Participant, Participants
from antiphon.session.parts import CallEngines, CallRecorder, CallTools, StageMaker
from antiphon.session.player import Player
from antiphon.session.recognition import Recognition
from antiphon.session.recording_track import RecordingTrack
from antiphon.session.responder import Responder
from antiphon.session.thread_generation import ThreadGeneration
from antiphon.session.tool_runner import ToolRunner
from antiphon.session.watch import VOICE, EngineWatch
from antiphon.tools.definition import CallFacts
from antiphon.wire.incoming import Incoming
from antiphon.wire.messages import chat_json, message_json
from antiphon.wire.outgoing import EnabledDataMessages

_log = structlog.get_logger(__name__)


class Session:
    """Serves one joined call from ``run`` to the end."""

    def __init__(
        self,
        settings: CallSettings,
        engines: CallEngines,
        medium: Medium,
        recorder: CallRecorder,
        pacer: Pacer,
        enabled: EnabledDataMessages,
        client_buffer_ms: int,
        recording: RecordingWriter | None = None,
        tools: CallTools | None = None,
        stages: StageMaker | None = None,
        data_connection: CallDataConnection | None = None,
    ) -> None:
        self._settings = settings
        self._engines = engines
        self._medium = medium
        self._recorder = recorder
        self._now = asyncio.get_running_loop().time
        self._watch = EngineWatch(settings.call_id, dict(engines.watched))
        self._participants = Participants(Participant(medium.send_message, enabled), recorder, self._now, self._watch)
        self._recording_track = RecordingTrack(recording, settings.call_id) if recording is not None else None
        self._data: DataParticipant | None = None
        if data_connection is not None:
            rates = medium.input_rate, medium.output_rate
            self._data = DataParticipant(data_connection, self._participants, pacer, *rates, self._now)
        self._tracks: list[Track] = [track for track in (self._recording_track, self._data) if track is not None]
        self._core = Call(settings)
        self._inbox: deque[ev.Event] = deque()
        self._busy = False
        self._alarm: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[act.End] | None = None
        self._early: list[Callable[[Inbound], None]] = []
        self._over = False
        self._player = Player(
            Playout(medium.output_rate, client_buffer_ms),
            pacer,
            medium.send_audio,
            lambda reply, position: self._feed(ev.PlayoutAdvanced(self._now(), reply, position)),
            self._record_heard if recording is not None or (self._data is not None and self._data.hears) else None,
            self._break,
            lambda: medium.backed_up,
        )
        transcriber = for_call(engines.transcriber, self._transcriber_fell_back)
        self._listener = Listener(
            medium.input_rate, engines.voice_activity, transcriber, settings.language, self._scored, self._watch
        )
        self._responder: Responder | None = None
        self._asides: ThreadGeneration | None = None
        self._recognition: Recognition | None = None
        self._tools = tools
        self._stages = stages
        self._tasks: asyncio.TaskGroup | None = None
        self._tool_runner: ToolRunner | None = None
        self._inbound: Inbound | None = None

    async def run(self) -> act.End:
        """Serve the call; returns how it ended, with the medium closed."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._participants.joined_at = loop.time()
        end = act.End(EndReason.SYSTEM_ERROR, 1011, "the server failed")
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._begin(tasks).read())
                end = await self._until_ended(self._ended)
                reader.cancel()
                raise _CallOver
        except* _CallOver:
            pass
        except* Exception as broken:
            _log.exception("session_broke", call_id=self._settings.call_id)
            self._note_fault(broken.exceptions[0])
        finally:
            self._shut_down()
        await self._medium.close(end.close_code, end.text)
        return end

    def receive(self, message: Incoming) -> None:
        """A data message that came another way than through the medium, maybe before the call has begun."""
        self._when_begun(lambda inbound: inbound.take(message, self._participants.client))

    def end(self, reason: EndReason, close_code: int, text: str, note: CallEvent | None = None) -> None:
        """End the call from outside. ``note``: what its events say then."""
        self._when_begun(lambda _: self._feed(ev.EndRequested(self._now(), reason, close_code, text, note)))

    def _begin(self, tasks: asyncio.TaskGroup) -> Inbound:
        self._tasks = tasks
        self._responder = Responder(
            self._engines.model,
            self._engines.speaker,
            self._medium.output_rate,
            self._player,
            tasks,
            self._feed,
            self._now,
            self._watch,
        )
        self._asides = ThreadGeneration(self._engines.model, tasks, self._feed, self._now, self._watch)
        self._recognition = Recognition(
            self._listener, self._engines.end_of_turn, tasks, self._feed, self._now, self._watch
        )
        if self._tools is not None:
            self._tool_runner = ToolRunner(
                self._tools, self._participants, self._responder.play_sound, self._feed, self._now
            )
        self._inbound = Inbound(
            self._medium,
            self._listener,
            self._participants,
            self._feed,
            self._now,
            self._break,
            self._settings.call_id,
            self._tool_runner,
            self._tracks,
        )
        if self._data is not None:
            self._data.begin(self._inbound)
        self._feed(ev.Joined(self._now()))
        early, self._early = self._early, []
        for work in early:
            work(self._inbound)
        return self._inbound

    def _when_begun(self, work: Callable[[Inbound], None]) -> None:
        if self._inbound is None:
            self._early.append(work)
        else:
            work(self._inbound)

    async def _until_ended(self, ended: asyncio.Future[act.End]) -> act.End:
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            # The server stops, or a task of the call broke: what the caller has heard by now is put on record.
            if self._recognition is not None:
                self._recognition.stop()
            self.end(EndReason.SYSTEM_ERROR, 1011, "the server failed")
            raise

    # Event → core → action

    def _scored(self, audio_s: float, probability: float) -> None:
        self._participants.audio_s = audio_s
        self._feed(ev.SpeechScored(self._now(), audio_s, probability, self._listener.rise_db))

    def _feed(self, event: ev.Event) -> None:
        """Give the core an event and carry out what it wants, one event after the other."""
        if not self._busy:
            self._work_off(event)
        elif isinstance(event, ev.PlayoutStopped):
            self._inbox.appendleft(event)
        else:
            self._inbox.append(event)

    def _tick(self) -> None:
        self._alarm = None
        self._work_off(None)

    def _work_off(self, first: ev.Event | None) -> None:
        """Give the core ``first`` (``None``: the time), then what comes of it.

        Whoever calls (a timer, a callback of an engine, a task), a mistake in here ends the call.
        """
        if self._over:
            return
        self._busy = True
        try:
            if first is None:
                self._core.tick(self._now())
                moved = True
            else:
                moved = self._core.receive(first)
            self._carry_out()
            while self._inbox:
                moved = self._core.receive(self._inbox.popleft()) or moved
                self._carry_out()
            if moved:  # else the deadline is later, if anything, and an early look is harmless
                self._set_alarm()
        except Exception:
            self._break()
        finally:
            self._busy = False

    def _break(self) -> None:
        """Something of ours failed: the call cannot go on. To be called while the exception is being handled."""
        _log.exception("session_broke", call_id=self._settings.call_id)
        self._note_fault(sys.exception())
        self._over = True
        self._inbox.clear()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(act.End(EndReason.SYSTEM_ERROR, 1011, "the server failed"))

    def _note_fault(self, error: BaseException | None) -> None:
        """Tell in the call's events why it ends. The error's own text stays out: it may quote a caller."""
        text = f"The server failed ({type(error).__name__}); the call cannot go on."
        with suppress(Exception):  # what failed may be this very thing
            self._participants.note(CallEvent(Severity.ERROR, "session_failed", text))

    def _carry_out(self) -> None:
        for action in self._core.actions():
            self._do(action)

    def _set_alarm(self) -> None:
        deadline = self._core.deadline
        if self._alarm is not None:
            if deadline is not None and self._alarm.when() <= deadline:
                return  # Deadlines move on with every event: an early look is cheaper than a new timer each time.
            self._alarm.cancel()
            self._alarm = None
        if deadline is not None:
            self._alarm = asyncio.get_running_loop().call_at(max(deadline, self._now() + 0.001), self._tick)

    # Action → output

    def _do(self, action: act.Action) -> None:
        responder, recognition, listener, thread_generation = (
            self._responder,
            self._recognition,
            self._listener,
            self._asides,
        )
        if responder is None or recognition is None or thread_generation is None:
            return
        match action:
            case act.Emit(message=message):
                self._participants.emit(message)
            case act.Keep(message=message):
                self._recorder.keep(message)
            case act.OpenUtterance(utterance=number):
                listener.open_utterance(number)
            case act.CloseUtterance(utterance=number):
                listener.close_utterance(number)
                recognition.close(number)
            case act.Transcribe(utterance=number, revision=revision):
                recognition.transcribe(number, revision)
            case act.JudgeTurn(utterance=number, revision=revision):
                recognition.judge(number, revision)
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
            case act.Stop(reply=reply, keep_writing=keep):
                if responder.stop(reply, keep_writing=keep):
                    self._medium.drop_audio()
            case act.GenerateForThread(generation=generation, prompt=prompt):
                thread_generation.generate(generation, prompt)
            case act.StopForThread(generation=generation):
                thread_generation.stop(generation)
            case act.Invoke(request=request, spec=spec, thread=thread):
                if self._tool_runner is not None:
                    self._tool_runner.invoke(request, spec, self._facts(thread))
            case act.PrepareStage(invocation=invocation, outcome=outcome):
                if self._tasks is not None and self._stages is not None:
                    self._tasks.create_task(self._prepare_stage(self._stages, invocation, outcome))
            case act.BeginStage(stage_id=stage_id, ordinal=ordinal):
                self._begin_stage(stage_id, ordinal)
            case act.End():
                if self._ended is not None and not self._ended.done():
                    self._ended.set_result(action)

    async def _prepare_stage(self, stages: StageMaker, invocation: str, outcome: ToolOutcome) -> None:
        prepared = await stages.prepare(outcome, self._core.call_state)
        self._feed(ev.StagePrepared(self._now(), invocation, prepared))

    def _begin_stage(self, stage_id: str, ordinal: int) -> None:
        """Another voice, language and tools from here on."""
        assert self._stages is not None
        assert self._responder is not None
        assert self._tool_runner is not None
        parts = self._stages.begin(stage_id, ordinal, self._core.messages)
        if parts.speaker is not None:
            self._responder.use(parts.speaker)
            if parts.voice is not None:
                self._watch.stages[VOICE] = parts.voice
        self._listener.language = parts.language
        self._tools = parts.tools
        self._tool_runner.use(parts.tools)
        for note in parts.notes:
            self._participants.note(note)

    # Small things

    def _transcriber_fell_back(self, what: FellBack) -> None:
        self._feed(ev.EngineFellBack(self._now(), what.stage, what.engine, what.fallback, what.reason))

    def _facts(self, thread: str) -> CallFacts:
        """What automatic parameters of tools are filled from that ``thread`` uses."""
        tools, threads, is_main = self._tools, self._core.threads, thread == MAIN_THREAD
        if is_main:
            said = [*chat_json(self._core.history.brought), *map(message_json, self._core.history.remembered)]
        else:
            said = chat_json(threads.chat_of(thread))
        return CallFacts(
            self._settings.call_id,
            tools.stage_id if tools else "",
            self._core.call_state if is_main else threads.state_of(thread),
            said,
            self._medium.output_rate,
            tools.metadata if tools else {},
            thread,
            threads.states(),
        )

    def _record_heard(self, samples: Samples) -> None:
        for track in self._tracks:
            track.agent(samples, self._now())

    def _shut_down(self) -> None:
        self._over = True
        if self._alarm is not None:
            self._alarm.cancel()
        self._player.close()
        self._listener.close()
        if self._tool_runner is not None:
            self._tool_runner.close()
        if self._recording_track is not None:
            self._recording_track.close()
        if self._data is not None:
            self._data.end()


class _CallOver(Exception):
    """Leaves the task group: cancels whatever still runs for the call."""
