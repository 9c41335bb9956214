"""The parts of one call that is being served, and which of them carries out which action of the core."""

from __future__ import annotations

import asyncio
import contextlib

from antiphon.audio.pcm import Samples
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
from antiphon.session.core_driver import CoreDriver
from antiphon.session.data_participant import DataParticipant
from antiphon.session.inbound import Inbound, Track
from antiphon.session.listener import Listener
from antiphon.session.pacer import Pacer
from antiphon.session.participants import Participant, Participants
from antiphon.session.parts import CallEngines, SessionParts
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


class LiveCall:
    """Everything that serves one call, made whole inside the call's task group. ``begin`` lets it run."""

    def __init__(
        self,
        settings: CallSettings,
        engines: CallEngines,
        medium: Medium,
        parts: SessionParts,
        pacer: Pacer,
        tasks: asyncio.TaskGroup,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._medium = medium
        self._parts = parts
        self._tasks = tasks
        self._now = loop.time
        self.driver = CoreDriver(Call(settings), settings.call_id, self._now, self._perform, self.note_fault)
        feed = self.driver.feed
        self._watch = EngineWatch(settings.call_id, dict(engines.watched))
        client = Participant(medium.send_message, parts.data_messages)
        self._participants = Participants(client, parts.recorder, self._now, self._watch)
        self._participants.joined_at = self._now()
        self._tracks: list[Track] = []
        self._recording: RecordingTrack | None = None
        if parts.recording is not None:
            self._recording = RecordingTrack(parts.recording, settings.call_id)
            self._tracks.append(self._recording)
        self._data: DataParticipant | None = None
        if parts.data_connection is not None:
            rates = medium.input_rate, medium.output_rate
            self._data = DataParticipant(parts.data_connection, self._participants, pacer, *rates, self._now)
            self._tracks.append(self._data)
        recorded = parts.recording is not None or (self._data is not None and self._data.hears)
        self._player = Player(medium, pacer, self._position, self._heard if recorded else None, self.driver.fail)
        transcriber = for_call(engines.transcriber, self._fell_back)
        self._listener = Listener(
            medium.input_rate, engines.voice_activity, transcriber, settings.language, self._scored, self._watch
        )
        self._responder = Responder(
            engines.model, engines.speaker, medium.output_rate, self._player, tasks, feed, self._now, self._watch
        )
        self._thread_generation = ThreadGeneration(engines.model, tasks, feed, self._now, self._watch)
        self._recognition = Recognition(self._listener, engines.end_of_turn, tasks, feed, self._now, self._watch)
        self._tools = parts.tools
        self._tool_runner = ToolRunner(parts.tools, self._participants, self._responder.play_sound, feed, self._now)
        self.inbound = Inbound(
            medium,
            self._listener,
            self._participants,
            self.driver,
            self._now,
            self._tool_runner,
            self._tracks,
            parts.digits,
        )

    def begin(self) -> None:
        """Let the call begin: tell the core that the client has joined."""
        if self._data is not None:
            self._data.begin(self.inbound)
        self.driver.feed(ev.Joined(self._now()))

    def receive(self, message: Incoming) -> None:
        """Take a data message that came another way than through the medium."""
        self.inbound.take(message, self._participants.client)

    def end(self, reason: EndReason, close_code: int, text: str, note: CallEvent | None = None) -> None:
        """End the call from outside. ``note``: what its events say then."""
        self.driver.feed(ev.EndRequested(self._now(), reason, close_code, text, note))

    def ask_no_more(self) -> None:
        """Start no further work on what was heard: the call's tasks are being cancelled."""
        self._recognition.stop()

    def note_fault(self, error: BaseException | None) -> None:
        """Tell in the call's events why it ends. The error's own text stays out: it may quote a caller."""
        text = f"The server failed ({type(error).__name__}); the call cannot go on."
        with contextlib.suppress(Exception):  # what failed may be this very thing
            self._participants.note(CallEvent(Severity.ERROR, "session_failed", text))

    def close(self) -> None:
        """Give up every part."""
        self.driver.close()
        self._player.close()
        self._listener.close()
        self._tool_runner.close()
        if self._recording is not None:
            self._recording.close()
        if self._data is not None:
            self._data.end()

    # What happens below → events

    def _scored(self, audio_s: float, probability: float) -> None:
        self._participants.audio_s = audio_s
        self.driver.feed(ev.SpeechScored(self._now(), audio_s, probability, self._listener.rise_db))

    def _position(self, reply: int, position: int) -> None:
        self.driver.feed(ev.PlayoutAdvanced(self._now(), reply, position))

    def _heard(self, samples: Samples) -> None:
        for track in self._tracks:
            track.agent(samples, self._now())

    def _fell_back(self, what: FellBack) -> None:
        self.driver.feed(ev.EngineFellBack(self._now(), what.stage, what.engine, what.fallback, what.reason))

    # Actions → what is done

    def _perform(self, action: act.Action) -> None:
        responder, recognition, listener = self._responder, self._recognition, self._listener
        match action:
            case act.Emit(message=message):
                self._participants.emit(message)
            case act.Keep(message=message):
                self._parts.recorder.keep(message)
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
                responder.stop(reply, keep_writing=keep)
            case act.ReplyCut(unplayed=unplayed):
                self._medium.interrupt(unplayed)
                if unplayed != 0:
                    self._participants.reply_cut()
            case _:
                self._perform_rarer(action)

    def _perform_rarer(self, action: act.Action) -> None:
        match action:
            case act.GenerateForThread(generation=generation, prompt=prompt):
                self._thread_generation.generate(generation, prompt)
            case act.StopForThread(generation=generation):
                self._thread_generation.stop(generation)
            case act.Invoke(request=request, spec=spec, thread=thread):
                self._tool_runner.invoke(request, spec, self._facts(thread))
            case act.PrepareStage(invocation=invocation, outcome=outcome):
                self._tasks.create_task(self._prepare_stage(invocation, outcome))
            case act.BeginStage(stage_id=stage_id, ordinal=ordinal):
                self._begin_stage(stage_id, ordinal)
            case act.End():
                self.driver.finish(action)

    async def _prepare_stage(self, invocation: str, outcome: ToolOutcome) -> None:
        prepared = await self._parts.stages.prepare(outcome, self.driver.core.call_state)
        self.driver.feed(ev.StagePrepared(self._now(), invocation, prepared))

    def _begin_stage(self, stage_id: str, ordinal: int) -> None:
        """Use another voice, language and tools from here on."""
        stage = self._parts.stages.begin(stage_id, ordinal, self.driver.core.messages)
        if stage.speaker is not None:
            self._responder.use(stage.speaker)
            if stage.voice is not None:
                self._watch.stages[VOICE] = stage.voice
        self._listener.language = stage.language
        self._tools = stage.tools
        self._tool_runner.use(stage.tools)
        for note in stage.notes:
            self._participants.note(note)

    def _facts(self, thread: str) -> CallFacts:
        """Return what automatic parameters of tools are filled from that ``thread`` uses."""
        core, tools = self.driver.core, self._tools
        is_main = thread == MAIN_THREAD
        if is_main:
            said = [*chat_json(core.history.brought), *map(message_json, core.history.remembered)]
        else:
            said = chat_json(core.threads.chat_of(thread))
        return CallFacts(
            self._settings.call_id,
            tools.stage_id,
            core.call_state if is_main else core.threads.state_of(thread),
            said,
            self._medium.output_rate,
            tools.metadata,
            thread,
            core.threads.states(),
        )
