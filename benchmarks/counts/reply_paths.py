"""Paths of a reply: its words and its sound through the core, its sound to the socket, its transcript, its record."""

from __future__ import annotations

import asyncio
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, islice
from pathlib import Path
from uuid import UUID

import numpy as np

from antiphon.call import actions as act
from antiphon.call import events as ev
from antiphon.call.call import Call
from antiphon.call.messages import Modality, Role, Severity, Transcript
from antiphon.call.settings import CallSettings
from antiphon.session.pacer import Pacer
from antiphon.session.participants import Participant, Participants
from antiphon.session.player import Player
from antiphon.store.database import Database
from antiphon.store.ledger import Ledger
from antiphon.store.records import CallRecord, EventRecord, MessageRecord, MessageRole, StageRecord
from antiphon.store.repositories import Repositories
from antiphon.store.write_ahead import WriteAhead
from antiphon.testing.reference_medium import ReferenceMedium
from antiphon.wire.outgoing import WEBSOCKET_DEFAULTS
from counts.call import CHARACTER_S, CLIENT_BUFFER_MS, OUTPUT_RATE, CountedCall, Forgetful
from counts.hot_path import HotPath, Work, expect
from counts.sound_paths import LISTENING, SPEECH, TALE, begin_playing, talking

TICKS_PER_S = 50
POSITION_S = 0.06
PIECE = OUTPUT_RATE // 10
ENTRIES_AT_ONCE = 25
TOKENS_A_SECOND = 13 / 6
"""A reply of thirteen every six seconds, as bench_load.py has them."""


@asynccontextmanager
async def playing() -> AsyncIterator[Work]:
    """The whole way: player, medium, WebSocket frame; each third time how far the caller has heard, to the core."""
    async with CountedCall(talking()) as call:
        ask, clock, sent = await begin_playing(call), call.clock, call.wire.sent

        async def ready(_: int) -> None:
            await asyncio.sleep(0)
            sent.clear()

        async def run(rounds: int) -> None:
            first = round(clock[0] * TICKS_PER_S) + 1
            for number in range(first, first + rounds):
                clock[0] = number / TICKS_PER_S
                ask(clock[0])
                await asyncio.sleep(0)  # what the transcript gained is sent in between

        def check(rounds: int) -> None:
            expect(sum(data[0] == 0x82 for data in sent), rounds, "frames sent", off_by=1)

        yield Work(run, ready, check)


@asynccontextmanager
async def ticks() -> AsyncIterator[Work]:
    """The player by itself."""
    sent: list[bytes] = []
    heard: deque[tuple[int, int]] = deque(maxlen=1)
    past = 1

    def on_position(reply: int, position: int) -> None:
        heard.append((reply, position))

    player = Player(_Line(sent), Pacer(), on_position, None, _broken)
    player.begin(1)
    player.push(np.ones(19 * OUTPUT_RATE, np.int16), 0.0)

    async def ready(_: int) -> None:
        sent.clear()

    async def run(rounds: int) -> None:
        nonlocal past
        for number in range(past, past + rounds):
            player.tick(number / TICKS_PER_S)
        past += rounds

    yield Work(run, ready, lambda rounds: expect(len(sent), rounds, "frames sent", off_by=1))


class _Line(ReferenceMedium):
    """A medium that keeps what it is given."""

    def __init__(self, sent: list[bytes]) -> None:
        super().__init__(output_rate=OUTPUT_RATE, client_buffer_ms=CLIENT_BUFFER_MS)
        self.send_audio = sent.append  # type: ignore[assignment, method-assign]


def _broken() -> None:
    raise RuntimeError("the player broke")


class Core:
    """A core by itself, and the clauses that it wants spoken."""

    def __init__(self, settings: CallSettings) -> None:
        self.call = Call(settings)
        self.now = 0.0
        self.reply = 0
        self.clauses: list[act.Speak] = []
        self.do(ev.Joined(self.now))

    def do(self, event: ev.Event) -> None:
        """Take it in, and remember what is asked for."""
        self.call.receive(event)
        for action in self.call.actions():
            match action:
                case act.Generate(reply=reply):
                    self.reply = reply
                case act.Speak(reply=reply):
                    self.reply = reply
                    self.clauses.append(action)

    def speak(self) -> None:
        """All that was asked for has its sound, and is playing."""
        for clause in self.clauses:
            samples = int(len(clause.text) * CHARACTER_S * OUTPUT_RATE)
            self.do(ev.SpeechMade(self.now, clause.reply, clause.clause, samples, True, samples))
        self.clauses.clear()


@asynccontextmanager
async def positions(step: int) -> AsyncIterator[Work]:
    """The caller has heard ``step`` samples more."""
    core = Core(talking())
    core.speak()
    call, reply, position = core.call, core.reply, 0

    async def run(rounds: int) -> None:
        nonlocal position
        for _ in range(rounds):
            core.now += POSITION_S
            position += step
            call.receive(ev.PlayoutAdvanced(core.now, reply, position))
            call.actions()

    yield Work(run)


@asynccontextmanager
async def tokens() -> AsyncIterator[Work]:
    """The model's words, as they come, of a reply that nobody hears yet."""
    core = Core(CallSettings("call", OUTPUT_RATE, first_speaker=LISTENING))
    call = core.call
    words = [f"{word} " for word in TALE.split()]

    async def ready(_: int) -> None:
        core.now += 1.0
        core.do(ev.UserTextReceived(core.now, "Tell me more.", ev.Urgency.IMMEDIATE))

    async def run(rounds: int) -> None:
        reply = core.reply
        for number in range(rounds):
            core.now += 0.015
            call.receive(ev.TextGenerated(core.now, reply, words[number % len(words)]))
            call.actions()

    yield Work(run, ready)


@asynccontextmanager
async def pieces() -> AsyncIterator[Work]:
    """Sound of a clause, as the speaker makes it, of a reply that plays."""
    core = Core(talking())
    first = core.clauses[0]
    core.do(ev.SpeechMade(core.now, first.reply, first.clause, PIECE, False, PIECE))
    call, samples = core.call, PIECE

    async def run(rounds: int) -> None:
        nonlocal samples
        for _ in range(rounds):
            core.now += 0.02
            samples += PIECE
            call.receive(ev.SpeechMade(core.now, first.reply, first.clause, samples, False, samples))
            call.actions()

    yield Work(run)


@asynccontextmanager
async def messages() -> AsyncIterator[Work]:
    """What is new of a transcript, as JSON in a WebSocket frame; each wakes the task that sends."""
    async with CountedCall(CallSettings("call", OUTPUT_RATE, first_speaker=LISTENING)) as call:
        client = Participant(call.medium.send_message, WEBSOCKET_DEFAULTS)
        participants = Participants(client, Forgetful(), asyncio.get_running_loop().time)
        message = Transcript(Role.AGENT, Modality.VOICE, 4, False, delta=" from the third")
        sent = call.wire.sent

        async def ready(_: int) -> None:
            await asyncio.sleep(0)
            sent.clear()

        async def run(rounds: int) -> None:
            for _ in range(rounds):
                participants.emit(message)
                await asyncio.sleep(0)

        yield Work(run, ready, lambda rounds: expect(len(sent), rounds, "messages sent"))


@asynccontextmanager
async def spool_lines() -> AsyncIterator[Work]:
    """A message into the file of its call."""
    with tempfile.TemporaryDirectory() as folder:
        write_ahead = WriteAhead(Path(folder))
        message = MessageRecord("call", "stage", 4, MessageRole.AGENT, TALE, Modality.VOICE, 4)

        async def run(rounds: int) -> None:
            for _ in range(rounds):
                write_ahead.add(message)

        yield Work(run)


@asynccontextmanager
async def ledger_entries() -> AsyncIterator[Work]:
    """Events put into the ledger and committed together, SQLite and its thread included."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = await Database.open(f"sqlite:///{folder / 'antiphon.db'}")
        stack.push_async_callback(database.close)
        ledger = await stack.enter_async_context(Ledger(database))
        began = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
        call = CallRecord(_id(1), began, {}, "model", join_token_hash="-", join_deadline=began + timedelta(seconds=30))
        stage = StageRecord(_id(2), call.call_id, 0, began, "model")
        await Repositories.of(database).calls.create(call, [stage], [])
        numbers = count(3)
        events: list[EventRecord] = []

        async def ready(rounds: int) -> None:
            events[:] = [
                EventRecord(call.call_id, stage.stage_id, Severity.INFO, "turn_ended", TALE, event_id=_id(number))
                for number in islice(numbers, rounds * ENTRIES_AT_ONCE)
            ]

        async def run(_: int) -> None:
            for start in range(0, len(events), ENTRIES_AT_ONCE):
                for event in events[start : start + ENTRIES_AT_ONCE]:
                    ledger.append_event(event)
                await ledger.flush()

        yield Work(run, ready, lambda _: expect(ledger.counts.refused + ledger.waiting, 0, "entries not written"))


def _id(number: int) -> str:
    return str(UUID(int=number))


def reply_paths() -> list[HotPath]:
    """In the order in which a reply comes about."""
    return [
        HotPath("token", "a token of a reply, in the core", "token", tokens, 60, a_second=TOKENS_A_SECOND),
        HotPath("piece", "0.1 s of its sound made, in the core", "piece", pieces, 150, a_second=SPEECH / 0.1),
        HotPath("playing", "20 ms played, player to WebSocket frame", "tick", playing, 210,
                a_second=SPEECH * TICKS_PER_S),
        HotPath("tick", "20 ms played, in the player", "tick", ticks, 210),
        HotPath("heard", "60 ms heard, in the core", "report", partial(positions, 1_440), 60),
        HotPath("heard-nothing", "60 ms heard without a new word, in the core", "report", partial(positions, 1), 150),
        HotPath("message", "a transcript's delta, to WebSocket frame", "message", messages, 150),
        HotPath("spool", "a message's line in its call's file", "line", spool_lines, 100),
        HotPath("ledger", f"an event on record, {ENTRIES_AT_ONCE} a transaction", "event", ledger_entries, 4,
                ENTRIES_AT_ONCE),
    ]  # fmt: skip
