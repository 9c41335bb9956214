"""Whole sessions on virtual time: scripted engines, and a virtual client that plays in real time."""

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
from antiphon.session.parts import CallEngines
from antiphon.session.session import Session
from antiphon.wire.outgoing import WEBSOCKET_DEFAULTS
from tests.support.virtual_client import VirtualClient
from tests.support.virtual_loop import run_virtual

USER_FIRST = FirstSpeaker(False, None)
REPLY = "The first sentence of a reply is here. The second one follows it, and then there is a third one to hear."


@dataclass
class Record:
    """A chronicle in memory."""

    kept: list[KeptMessage] = field(default_factory=list)
    noted: list[CallEvent] = field(default_factory=list)

    def keep(self, message: KeptMessage) -> None:
        self.kept.append(message)

    def note(self, event: CallEvent, audio_s: float, wall_s: float) -> None:
        self.noted.append(event)

    def kinds(self) -> list[str]:
        return [event.type for event in self.noted]


@dataclass
class Scene:
    """One call. Its parts may be exchanged before ``run``."""

    settings: CallSettings = field(default_factory=lambda: CallSettings("call", 24_000, first_speaker=USER_FIRST))
    client_buffer_ms: int = 60
    client: VirtualClient = field(default_factory=VirtualClient)
    record: Record = field(default_factory=Record)
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
    """The client says good-bye once the caller is done."""
    before: Callable[[Session], None] = lambda _: None
    end: End | None = None
    session: Session = field(init=False)
    unhandled: list[dict[str, Any]] = field(default_factory=list)
    """What reached the loop's exception handler: nothing should."""

    def with_engines(self, **engines: object) -> Scene:
        self.engines = replace(self.engines, **engines)  # type: ignore[arg-type]
        return self

    @property
    def model(self) -> ScriptedLanguageModel:
        assert isinstance(self.engines.model, ScriptedLanguageModel)
        return self.engines.model

    @property
    def speaker(self) -> ScriptedSpeaker:
        assert isinstance(self.engines.speaker, ScriptedSpeaker)
        return self.engines.speaker

    def run(self, caller: Callable[[VirtualClient], Awaitable[None]]) -> Scene:
        """Serve the call, in which ``caller`` does its part. No task may be left when it is over."""
        run_virtual(self._run(caller))
        assert self.unhandled == []
        return self

    async def _run(self, caller: Callable[[VirtualClient], Awaitable[None]]) -> None:
        pacing = asyncio.create_task(self.pacer.run())
        await self.serve(caller)
        pacing.cancel()
        with suppress(asyncio.CancelledError):
            await pacing
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def serve(self, caller: Callable[[VirtualClient], Awaitable[None]]) -> None:
        """The call itself, beside others that share its pacer."""
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.unhandled.append(context))
        running = asyncio.create_task(self.start().run())
        await caller(self.client)
        if self.leaves:
            self.client.leave()
        self.end = await running

    def start(self) -> Session:
        """Make the session, and do what is to be done ``before`` it runs."""
        settings = replace(self.settings, output_rate=self.client.output_rate)
        self.session = Session(
            settings,
            self.engines,
            self.client,
            self.record,
            self.pacer,
            WEBSOCKET_DEFAULTS,
            self.client_buffer_ms,
            self.recording,
        )
        self.before(self.session)
        return self.session


def speaking(script: str) -> Callable[[VirtualClient], Awaitable[None]]:
    """A caller who speaks ``script`` (see ``VirtualClient.speak``)."""

    async def caller(client: VirtualClient) -> None:
        await client.speak(script)

    return caller
