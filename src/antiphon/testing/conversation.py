"""Whole calls on virtual time: a session, scripted engines, and a client in memory that plays in real time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from antiphon.audio.recording import RecordingWriter
from antiphon.call.actions import End
from antiphon.call.history import KeptMessage
from antiphon.call.messages import CallEvent
from antiphon.call.settings import CallSettings, FirstSpeaker
from antiphon.engines.scripted import (
    ScriptedEndOfTurn,
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
    ScriptedVoiceActivity,
)
from antiphon.session.pacer import Pacer
from antiphon.session.parts import CallEngines, SessionParts
from antiphon.session.session import Session
from antiphon.testing.reference_medium import ReferenceMedium
from antiphon.testing.virtual_clock import run_virtual
from antiphon.wire.outgoing import WEBSOCKET_DEFAULTS

USER_FIRST = FirstSpeaker(False, None)
REPLY = "The first sentence of a reply is here. The second one follows it, and then there is a third one to hear."


@dataclass
class MemoryRecorder:
    """Keeps in memory what a call puts on record: its finished messages and its events."""

    kept: list[KeptMessage] = field(default_factory=list)
    noted: list[CallEvent] = field(default_factory=list)

    def keep(self, message: KeptMessage) -> None:
        """Keep a finished message."""
        self.kept.append(message)

    def note(self, event: CallEvent, audio_s: float, wall_s: float) -> None:
        """Keep an event."""
        self.noted.append(event)

    def kinds(self) -> list[str]:
        """Return the types of the events, in order."""
        return [event.type for event in self.noted]


@dataclass
class Conversation:
    """One call. Its parts may be exchanged before ``run``.

    Example::

        def test_the_agent_answers() -> None:
            talk = Conversation().with_engines(model=ScriptedLanguageModel(["It is noon."])).run(speaking("#####....."))
            assert [message["text"] for message in talk.client.messages("transcript") if message["final"]]
    """

    settings: CallSettings = field(default_factory=lambda: CallSettings("call", 24_000, first_speaker=USER_FIRST))
    client: ReferenceMedium = field(default_factory=ReferenceMedium)
    record: MemoryRecorder = field(default_factory=MemoryRecorder)
    engines: CallEngines = field(
        default_factory=lambda: CallEngines(
            ScriptedVoiceActivity(),
            ScriptedEndOfTurn(),
            ScriptedTranscriber(["one", "two", "three"]),
            ScriptedLanguageModel([REPLY]),
            ScriptedSpeaker(),
        )
    )
    recording: RecordingWriter | None = None
    pacer: Pacer = field(default_factory=Pacer)
    leaves: bool = True
    """Whether the client hangs up once ``caller`` has returned."""
    before: Callable[[Session], None] = lambda _: None
    end: End | None = None
    session: Session = field(init=False)
    unhandled: list[dict[str, Any]] = field(default_factory=list)
    """What reached the loop's exception handler: nothing should."""

    def with_engines(self, **engines: object) -> Conversation:
        """Exchange engines, by the names that they have in :class:`~antiphon.session.parts.CallEngines`."""
        self.engines = replace(self.engines, **engines)  # type: ignore[arg-type]
        return self

    @property
    def model(self) -> ScriptedLanguageModel:
        """The language model, where it is a scripted one."""
        assert isinstance(self.engines.model, ScriptedLanguageModel)
        return self.engines.model

    @property
    def speaker(self) -> ScriptedSpeaker:
        """The voice, where it is a scripted one."""
        assert isinstance(self.engines.speaker, ScriptedSpeaker)
        return self.engines.speaker

    def run(self, caller: Callable[[ReferenceMedium], Awaitable[None]]) -> Conversation:
        """Serve the call on virtual time, in which ``caller`` does its part. No task may be left when it is over."""
        run_virtual(self._run(caller))
        assert self.unhandled == []
        return self

    async def _run(self, caller: Callable[[ReferenceMedium], Awaitable[None]]) -> None:
        pacing = asyncio.create_task(self.pacer.run())
        await self.serve(caller)
        pacing.cancel()
        with suppress(asyncio.CancelledError):
            await pacing
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def serve(self, caller: Callable[[ReferenceMedium], Awaitable[None]]) -> None:
        """Serve the call on the running loop, beside others that share its pacer."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.unhandled.append(context))
        running = asyncio.create_task(self.start().run())
        await caller(self.client)
        if self.leaves:
            self.client.leave()
        self.end = await running

    def parts(self) -> SessionParts:
        """What the session works with beside its engines and its client."""
        return SessionParts(self.record, WEBSOCKET_DEFAULTS, recording=self.recording)

    def start(self) -> Session:
        """Make the session, and call ``before`` with it."""
        settings = replace(self.settings, output_rate=self.client.output_rate)
        self.session = Session(
            settings,
            self.engines,
            self.client,
            self.parts(),
            self.pacer,
        )
        self.before(self.session)
        return self.session


def speaking(script: str) -> Callable[[ReferenceMedium], Awaitable[None]]:
    """Return a caller who speaks ``script``, see :meth:`ReferenceMedium.speak`."""

    async def caller(client: ReferenceMedium) -> None:
        await client.speak(script)

    return caller
