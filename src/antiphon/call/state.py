"""The joint state of one call's machines, and the small verbs that all who work on it share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from antiphon.call.actions import Action, BeginStage, Emit, End, Keep, Prime
from antiphon.call.history import History, Span, SpokenMessage
from antiphon.call.listening.endpointing import CallerTurn, Phase
from antiphon.call.listening.transcripts import HeardTurn, Hearing
from antiphon.call.messages import AgentState, CallEvent, Message, Modality, Role, Severity, Transcript
from antiphon.call.prompt import Prompt
from antiphon.call.settings import CallSettings
from antiphon.call.silence import Silence
from antiphon.call.speaking.agenda import Agenda
from antiphon.call.speaking.backchannel import Resumption
from antiphon.call.speaking.floor import Floor
from antiphon.call.stages import Stage
from antiphon.call.threads.threads import Threads
from antiphon.call.tools.invocations import Toolwork
from antiphon.call.watchdog import Watchdog


class Joint:
    """What is done is appended to ``out``."""

    def __init__(self, settings: CallSettings, out: list[Action]) -> None:
        self.settings = settings
        self.out = out
        self.stage = Stage("", settings.system_prompt, settings.temperature, settings.language, settings.tools)
        self.history = History(settings.call_id, settings.system_prompt, settings.initial_messages, settings.tools)
        self.tools = Toolwork(settings.tools, self.history, out)
        self.tools.state = dict(settings.initial_state)
        self.threads = Threads(settings.threads, out, self.tools.knows)
        reads = not settings.speech_model
        self.turn = CallerTurn(settings.vad, settings.turns, judged=settings.judges_turns, read=reads)
        self.hearing = Hearing(settings.judges_turns)
        self.floor = Floor(self.history, settings.output_rate, out)
        self.floor.modality = settings.modality
        self.agenda = Agenda()
        self.silence = Silence(settings.inactivity)
        self.watchdog = Watchdog(settings.turns.longest_wait_s)
        self.joined_at: float | None = None
        self.ended = False
        self._announced = AgentState.IDLE
        self._ending: End | None = None
        self.last_words_by: float | None = None
        """When the call ends at the latest, once it is ending."""
        self._answering: HeardTurn | None = None
        self._failures = 0
        self._rounds = 0
        self.resumption = Resumption(settings.backchannels, out)
        self.after_stop: list[Callable[[], None]] = []
        """What waits for a reply to have stopped."""
        self.last_at = 0.0

    @property
    def state(self) -> AgentState:
        """What the agent is doing."""
        if self.joined_at is None or self.ended:
            return AgentState.IDLE
        if self.floor.reply is None and self.tools.busy:
            return AgentState.THINKING
        return self.floor.state

    @property
    def ending(self) -> bool:
        """Only the caller's last words are still awaited."""
        return self._ending is not None

    @property
    def closing(self) -> bool:
        """Nothing the caller says is answered any more."""
        return self.agenda.closing is not None or self.ending

    @property
    def caller_has_floor(self) -> bool:
        """The caller speaks, or has spoken and the words are still to come."""
        return self.caller_speaks or (bool(self.hearing.waiting) and not self.settings.speech_model)

    @property
    def caller_speaks(self) -> bool:
        """The caller is speaking, or pauses."""
        return self.turn.phase is not Phase.QUIET and self.turn.confirmed

    def end_turn(self, at: float, utterance: int, revision: int, *, cut: bool = False) -> None:
        """The caller's turn is over, its words are to come. ``cut``: the caller goes on, but has gone on too long."""
        joined, turn = self.joined_at or 0.0, self.turn
        audio = Span(turn.start_audio_s, turn.speech_end_audio_s)
        wall = Span(turn.start_at - joined, turn.speech_end_at - joined)
        words_by = at + self.settings.turns.transcription_patience_s
        heard = HeardTurn(utterance, revision, audio, wall, turn.start_at, turn.speech_end_at, words_by)
        heard.decided_at, heard.cut = at, cut
        self.out += self.hearing.end(heard)

    def record_user(self, modality: Modality, ordinal: int, text: str, audio: Span, wall: Span) -> None:
        """A turn of the caller's is whole: history, transcript, record."""
        self._rounds = 0
        message = SpokenMessage(Role.USER, modality, ordinal, text, audio, wall)
        self.history.add(message)
        self.emit(Transcript(Role.USER, modality, ordinal, final=True, text=text))
        self.out.append(Keep(message))

    def prompt(self, user_text: str | None = None) -> Prompt:
        """What a model is to continue now; ``user_text`` are words that are not history (yet)."""
        return self.history.prompt(self.stage.temperature, self.stage.language, user_text)

    def begin_stage(self, stage: Stage) -> None:
        """The conversation goes on with another prompt, other tools, another voice, and without its threads."""
        self.threads.cancel_all("canceled: a new stage of the call has begun")
        self.stage = stage
        self.history.begin_stage(stage)
        self.tools.specs = stage.tools
        if stage.state is not None:
            self.tools.state = dict(stage.state)
        self.floor.drop_draft()
        self.out.append(BeginStage(stage.stage_id, self.history.next_ordinal))
        self.log(Severity.INFO, "stage_begun", "A new stage of the call has begun.", stageId=stage.stage_id)

    def prime(self) -> None:
        """Let the model read what it knows of the next prompt."""
        if not self.closing and not self.tools.busy:
            self.out.append(Prime(self.prompt()))

    def log(self, severity: Severity, kind: str, text: str, **extras: Any) -> None:
        """Note an event of the call."""
        self.emit(CallEvent(severity, kind, text, extras))

    def emit(self, message: Message) -> None:
        """Say something to the client."""
        self.out.append(Emit(message))
