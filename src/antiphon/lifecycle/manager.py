"""Where calls are made, joined and ended: the live sessions of this process, and their records."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from antiphon import metrics
from antiphon.audio.recording import RecordingWriter
from antiphon.call.ends import EndReason
from antiphon.call.settings import ThreadSettings, TurnSettings
from antiphon.engines.registry import Engines
from antiphon.errors import NotFound, StoreError, WrongState
from antiphon.lifecycle.admission import Admission
from antiphon.lifecycle.assembly import data_messages, engines_of, settings_of
from antiphon.lifecycle.call_log import log_abandoned, log_created, log_ended
from antiphon.lifecycle.endings import Endings, told
from antiphon.lifecycle.join_tokens import NO_KEY, JoinTokens, hash_token, read_secret
from antiphon.lifecycle.joins import Joins, JoinTicket
from antiphon.lifecycle.prompt_room import check_room
from antiphon.lifecycle.recorder import LedgerRecorder, event_records, initial_messages
from antiphon.lifecycle.serving import Serving, stop
from antiphon.lifecycle.stages import StageMaker
from antiphon.lifecycle.tool_resolution import ToolResolver, tool_records
from antiphon.lifecycle.voice_selection import VoiceChoice, Voices
from antiphon.media.catalogue import built_in
from antiphon.media.protocol import Medium
from antiphon.media.registry import MediaRegistry
from antiphon.media.websocket.batch_reader import BatchReader
from antiphon.session.data_connections import DataConnections
from antiphon.session.pacer import Pacer
from antiphon.session.parts import SessionParts
from antiphon.session.session import Session
from antiphon.store.ledger import Ledger
from antiphon.store.records import CallRecord, StageRecord, new_id
from antiphon.store.repositories import Repositories
from antiphon.store.write_ahead import WriteAhead
from antiphon.tools.http import HttpCaller
from antiphon.wire.call_json import with_voice
from antiphon.wire.call_request import CallRequest
from antiphon.wire.call_settings import first_speaker
from antiphon.wire.experimental import switches
from antiphon.wire.incoming import Incoming
from antiphon.wire.offered import check_offered

SETTLE_PATIENCE_S = 1.0

_log = structlog.get_logger(__name__)


class CallManager:
    """Makes, joins and ends calls. One a process; ``worker`` is its number where several share a server's work."""

    def __init__(
        self,
        engines: Engines,
        repositories: Repositories,
        ledger: Ledger,
        recordings: Path,
        turns: TurnSettings,
        admission: Admission,
        http: HttpCaller | None = None,
        data_connections: DataConnections | None = None,
        threads: ThreadSettings | None = None,
        worker: int | None = None,
        media: MediaRegistry | None = None,
    ) -> None:
        self._engines = engines
        self.media = media or built_in()
        """What may carry calls here."""
        self._repositories = repositories
        self._ledger = ledger
        self._recordings = recordings
        self._turns = turns
        self._threads = threads or ThreadSettings()
        self._admission = admission
        self._live = recordings.parent / "live"
        self._write_ahead = WriteAhead(self._live if worker is None else _of_worker(self._live, worker))
        self._pacer = Pacer()
        self._pacer.on_late = admission.load.sound_was_late
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._http = http or HttpCaller()
        self._data_connections = data_connections or DataConnections()
        self._tool_resolver = ToolResolver(repositories, self._http, self._spawn)
        self._voices = Voices(engines, self._http)
        self.join_tokens = JoinTokens(repositories.calls, read_secret(recordings.parent), self._spawn)
        self.join_tokens.on_gone = self._tool_resolver.forget
        self._endings = Endings(repositories.calls, ledger, self._write_ahead)
        self._joins = Joins(repositories, self.join_tokens, self._tool_resolver, self._endings, self.media)
        self._closing = False
        self._serving = Serving(self._joins)

    @property
    def http(self) -> HttpCaller:
        """What carries out HTTP tools here."""
        return self._http

    @property
    def batch_reader(self) -> BatchReader:
        """The sockets of live calls, which are read at the beat of the clock."""
        return self._pacer.batch_reader

    # Life of the process

    async def start(self, *, first: bool = True) -> None:
        """Begin to pace. The ``first`` process of a server ends what a former one left behind."""
        if first:
            for folder in (self._live, *self._live.glob("w*/")):
                await WriteAhead(folder).recover(self._ledger)
            for call in await self._repositories.calls.end_abandoned(_now()):
                log_abandoned(call)
        self._spawn(self._pacer.run())

    async def bury(self, worker: int) -> None:
        """A worker is gone: end its calls on record, and take over those that wait for their join."""
        await WriteAhead(_of_worker(self._live, worker)).recover(self._ledger)
        for call in await self._repositories.calls.end_calls_of(worker, _now()):
            log_abandoned(call)
        for call in await self._repositories.calls.adopt(worker, _now()):
            self.join_tokens.expect(call)

    def refuse(self) -> None:
        """Take no new calls and no joins from now on; live calls go on."""
        self._admission.closed = True

    async def drained(self) -> None:
        """Return when no call is joined or served any more, and the ends of all are on record."""
        await self._serving.over()

    async def end_waiting(self) -> None:
        """End on record the calls of this process that wait for their join."""
        for call in await self._repositories.calls.end_waiting(_now()):
            self.join_tokens.forget(call.call_id)
            reason = call.end_reason or EndReason.SYSTEM_ERROR
            metrics.CALLS_ENDED.labels(reason.value).inc()
            log_ended(call.call_id, reason, None, _now())

    async def stop(self) -> None:
        """End all live calls and wait for their records to be whole."""
        self._closing = self._admission.closed = True
        for session in list(self._sessions.values()):
            stop(session)
        self.join_tokens.close()
        await self._serving.end()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.batch_reader.close()
        await self._http.aclose()
        await self._data_connections.aclose()

    # Making calls

    async def create(self, request: CallRequest, *, greeting_prompt: bool = True, key: str = NO_KEY) -> CallRecord:
        """Make a call; :meth:`join_url` tells where it is joined.

        Without ``greeting_prompt`` a generated greeting is made from the system prompt and the initial messages
        alone; with it the model is nudged to greet where nothing there asks for an answer. ``key`` names the API key
        among whose waiting calls it counts.

        Raises:
            InvalidRequest: the model or the voice is unknown, the prompt is too long for the model, or the request
                asks for what this server does not do.
            Overloaded: there is no room for another call.
            TooManyWaiting: too many calls of the key wait for their join.

        """
        check_offered(request, self.media.kinds)
        self._admission.check(asyncio.get_running_loop().time(), self.taken, self.join_tokens.expected())
        self._admission.check_waiting(key, self.join_tokens.by_key[key])
        call_id = new_id()
        self.join_tokens.reserve(call_id, key)
        try:
            call = await self._created(call_id, request, greeting_prompt)
        except BaseException:
            self.join_tokens.forget(call_id)
            raise
        self.join_tokens.expect(call)
        metrics.CALLS_CREATED.inc()
        log_created(call)
        return call

    async def _created(self, call_id: str, request: CallRequest, greeting_prompt: bool) -> CallRecord:
        """Put the call on record."""
        name = request.model or self._engines.default_model
        model = self._engines.model(name)
        voice = self._voices.choose(VoiceChoice.of(request))
        durable_tools = await self._tool_resolver.durable(request)
        tools = await self._tool_resolver.select(request, durable_tools)
        await check_room(model, name, request, [tool.spec for tool in tools], first_speaker(request).greeting)
        now, sent = _now(), request.to_json()
        stage_id = new_id()
        call = CallRecord(
            call_id=call_id,
            created=now,
            request=sent,
            model=name,
            join_token_hash=hash_token(self.join_tokens.token(call_id)),
            join_deadline=now + timedelta(seconds=request.join_timeout),
            voice=voice.name,
            voice_id=voice.voice_id,
            recording_enabled=request.recording_enabled,
            current_stage_id=stage_id,
            greeting_prompt=greeting_prompt,
            durable_tools=durable_tools or None,
        )
        stage = StageRecord(stage_id, call_id, 0, now, call.model, with_voice(sent, voice.name))
        await asyncio.sleep(0)  # of two thousand initial messages, each of these steps takes milliseconds
        first = initial_messages(request, call_id, stage_id)
        await asyncio.sleep(0)
        await self._repositories.calls.create(call, [stage], first, tool_records(call_id, stage_id, tools))
        await self._repositories.events.append(event_records(call_id, stage_id, voice.notes))
        self._tool_resolver.keep(call_id, tools)
        return call

    def join_url(self, call: CallRecord, base: str) -> str | None:
        """The call's join URL, for as long as it serves. ``base``: ``ws(s)://host[:port]`` as the client reaches us."""
        return self.join_tokens.join_url(call, base)

    # Joining

    async def join(self, call_id: str, token: str, client_version: str | None) -> JoinTicket:
        """Use a join URL. From here on the call takes messages; ``serve`` the ticket, and ``release`` it in the end.

        Raises:
            JoinRefused: with a close code and a reason, which the call's events hold, too.

        """
        return await self._joins.join(call_id, token, client_version, self._check_join)

    def _check_join(self) -> None:
        self._admission.check_join(asyncio.get_running_loop().time(), self.taken)

    async def release(self, ticket: JoinTicket) -> None:
        """Give a ticket back. The call ends here if it was never served: its client was gone too soon."""
        await self._joins.release(ticket)

    def open_medium(self, ticket: JoinTicket, connection: object) -> AbstractAsyncContextManager[Medium]:
        """Open the medium of a call that was joined by ``connection``, for :meth:`serve`."""
        wanted = data_messages(ticket.request, ticket.asked)
        return self.media.open(replace(ticket.medium, tells_clear=wanted.playback_clear_buffer), connection)

    async def serve(self, ticket: JoinTicket, medium: Medium) -> None:
        """Serve a joined call to its end, and put its end on record."""
        with self._serving.call():
            await self._serve(ticket, medium)

    async def _serve(self, ticket: JoinTicket, medium: Medium) -> None:
        call = ticket.call
        early = self._joins.hand_over(ticket)
        metrics.LIVE_CALLS.inc()
        self._admission.load.call_began(asyncio.get_running_loop().time())
        reason = EndReason.SYSTEM_ERROR
        try:
            session = self._session(ticket, medium)
            self._sessions[call.call_id] = session
            for message in early:
                session.receive(message)
            if self._closing:
                stop(session)
            reason = (await session.run()).reason
        except Exception as error:
            self._endings.note_failure(call, "call_failed", f"The server could not serve the call: {told(error)}.")
            raise
        finally:
            metrics.LIVE_CALLS.dec()
            self._admission.load.call_ended(asyncio.get_running_loop().time())
            self._sessions.pop(call.call_id, None)
            await self._voices.release(call.call_id)
            await self._endings.end(call.call_id, reason, call.joined)

    def _session(self, ticket: JoinTicket, medium: Medium) -> Session:
        call, request = ticket.call, ticket.request
        choice = VoiceChoice.of(request)
        speaker = self._voices.speaker(call.call_id, choice)
        engines = engines_of(self._engines, call, speaker, self._voices.watched(choice))
        tools = self._tool_resolver.take(call, request.metadata)
        settings = settings_of(call, request, engines, self._turns, medium.output_rate, prompted=call.greeting_prompt)
        switched = switches(request)
        settings = replace(
            settings,
            threads=self._threads,
            tools=tuple(tool.spec for tool in tools.tools),
            backchannels=switched.backchannels,
            judges_turns=settings.judges_turns and switched.end_of_turn,
        )
        stage_id = call.current_stage_id or ""
        initial = initial_messages(request, call.call_id, stage_id)
        recorder = LedgerRecorder(self._ledger, self._write_ahead, call.call_id, stage_id, initial)
        recording = (
            RecordingWriter(self.recording_folder(call.call_id), medium.input_rate, medium.output_rate)
            if call.recording_enabled
            else None
        )
        parts = SessionParts(
            recorder,
            data_messages(request, ticket.asked),
            tools,
            StageMaker(call, engines.model, self._voices, self._tool_resolver, tools, recorder),
            recording=recording,
            data_connection=self._data_connections.of(request, call.call_id),
        )
        return Session(settings, engines, medium, parts, self._pacer)

    # Live calls

    @property
    def live_count(self) -> int:
        """Calls being served now."""
        return len(self._sessions)

    def is_live(self, call_id: str) -> bool:
        """Joined, or being joined, and not ended."""
        return call_id in self._sessions or call_id in self._joins.early

    def send(self, call_id: str, message: Incoming) -> None:
        """Give a live call a data message. Raises :class:`WrongState` where it is not live."""
        if (session := self._sessions.get(call_id)) is not None:
            session.receive(message)
        elif (early := self._joins.early.get(call_id)) is not None:
            early.append(message)
        else:
            raise WrongState("the call is not live")

    async def settle(self, call_id: str) -> None:
        """Return when what has happened in the call is on record; where that takes too long, without."""
        with contextlib.suppress(TimeoutError, StoreError):
            await asyncio.wait_for(self._ledger.flush(call_id), SETTLE_PATIENCE_S)

    async def delete(self, call_id: str) -> None:
        """Remove a call that has ended, with its recording, or that waits for its join, which is refused from then on.

        Raises:
            NotFound: there is no such call.
            WrongState: it is live.

        """
        call = await self._repositories.calls.get(call_id)
        if call is not None and call.ended is None:
            if await self._repositories.calls.delete_unclaimed(call_id):
                self.join_tokens.deleted(call_id)
                return
            call = await self._repositories.calls.get(call_id)  # joined, ended or deleted meanwhile, if not before
        if call is None:
            raise NotFound("there is no such call")
        if call.ended is None:
            raise WrongState("the call is live; only calls that have ended, or wait for their join, can be deleted")
        await self._repositories.calls.delete(call_id)
        await asyncio.to_thread(_remove_folder, self.recording_folder(call_id))

    def recording_folder(self, call_id: str) -> Path:
        """Where the call's recording lies, if it has one."""
        return self._recordings / call_id

    # Small things

    @property
    def taken(self) -> int:
        """Calls being served or joined now."""
        return len(self._sessions) + len(self._joins.under_way)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background_work_failed", exc_info=(type(error), error, error.__traceback__))


def _now() -> datetime:
    return datetime.now(UTC)


def _of_worker(folder: Path, worker: int) -> Path:
    return folder / f"w{worker}"


def _remove_folder(folder: Path) -> None:
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        folder.rmdir()
