"""Calls with a data connection: real WebSockets on 127.0.0.1, in real time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antiphon.audio.recording import RecordingWriter
from antiphon.call.history import ToolRole
from antiphon.call.settings import CallSettings
from antiphon.engines.scripted import (
    ScriptedEndOfTurn,
    ScriptedLanguageModel,
    ScriptedSpeaker,
    ScriptedTranscriber,
    ScriptedVoiceActivity,
)
from antiphon.session.data_connections import CallDataConnection, DataConnections
from antiphon.session.pacer import Pacer
from antiphon.session.parts import CallEngines, CallTools, SessionParts
from antiphon.session.session import Session
from antiphon.testing.conversation import USER_FIRST, MemoryRecorder
from antiphon.testing.reference_medium import ReferenceMedium
from antiphon.tools.http import HttpCaller
from antiphon.tools.selection import select
from antiphon.tools.ssrf_guard import SsrfGuard
from antiphon.wire.call_request import parse_call_request
from antiphon.wire.outgoing import WEBSOCKET_DEFAULTS
from antiphon.wire.tool_definitions import to_selected
from tests.support.far_end import far_end

RATE = 16_000
EVERYTHING = dict.fromkeys(
    ("debug", "callEvent", "toolUsed", "userStartedSpeaking", "userStoppedSpeaking", "invokingTool"), True
)
TURN = "." * 5 + "#" * 10 + "." * 25


def tool(kind: str = "dataConnection", **more: Any) -> dict[str, Any]:
    color = {"name": "thing", "location": "PARAMETER_LOCATION_BODY", "schema": {"type": "string"}, "required": True}
    named = {"modelToolName": "getColor", "description": "The color of a thing.", "dynamicParameters": [color]}
    return {"temporaryTool": {**named, kind: {}, **more}}


WANTS = ('[[tool getColor {"thing": "sky"}]]', "It is done.")


@dataclass
class Live:
    """A call that runs, from both its ends."""

    client: ReferenceMedium
    record: MemoryRecorder
    session: Session

    async def until(self, ready: Callable[[], object], timeout_s: float = 10) -> None:
        """Wait until that is so; looked at every 10 ms of the call's own time."""
        async with asyncio.timeout(timeout_s):
            while True:
                if ready():
                    return
                await asyncio.sleep(0.01)

    def ask(self) -> None:
        """The caller's turn, in writing."""
        self.client.say('{"type": "user_text_message", "text": "What is it?"}')

    def texts(self, role: str) -> list[str]:
        return [m["text"] for m in self.client.messages("transcript") if m["role"] == role and m["final"]]


def wanted(url: str, connections: DataConnections, **more: Any) -> CallDataConnection:
    request = parse_call_request(
        {
            "medium": {"serverWebSocket": {"inputSampleRate": RATE}},
            "dataConnection": {"websocketUrl": url, **more},
            "sharedSecrets": ["a secret of 24 characters"],
        }
    )
    found = connections.of(request, "call")
    assert found is not None
    return found


@asynccontextmanager
async def call(
    url: str | None,
    *,
    ssrf_guard: SsrfGuard | None = None,
    replies: tuple[str, ...] = ("A reply that lasts a while.",),
    tools: tuple[dict[str, Any], ...] = (),
    recording: Path | None = None,
    delay: Callable[[int], float] = lambda _: 0.05,
    client_messages: dict[str, bool] | None = None,
    connection: dict[str, Any] | None = None,
) -> AsyncIterator[Live]:
    """Serve a call whose client leaves at the end of the block; nothing may be left then."""
    client, record, pacer = ReferenceMedium(), MemoryRecorder(), Pacer()
    http, connections = HttpCaller(), DataConnections(ssrf_guard or SsrfGuard(allow_private=True), delay=delay)
    selected = parse_call_request({"selectedTools": list(tools)}).selected_tools
    chosen = select([to_selected(item) for item in selected], lambda *_: None)
    engines = CallEngines(
        ScriptedVoiceActivity(),
        ScriptedEndOfTurn(),
        ScriptedTranscriber(["one", "two", "three"]),
        ScriptedLanguageModel(list(replies)),
        ScriptedSpeaker(character_ms=40),
    )
    session = Session(
        CallSettings("call", client.output_rate, first_speaker=USER_FIRST, tools=tuple(one.spec for one in chosen)),
        engines,
        client,
        SessionParts(
            record,
            WEBSOCKET_DEFAULTS.with_changes(client_messages or {}),
            CallTools(chosen, http, asyncio.ensure_future),
            recording=(
                RecordingWriter(recording, client.input_rate, client.output_rate) if recording is not None else None
            ),
            data_connection=None if url is None else wanted(url, connections, **(connection or {})),
        ),
        pacer,
    )
    pacing = asyncio.create_task(pacer.run())
    running = asyncio.create_task(session.run())
    try:
        yield Live(client, record, session)
        client.leave()
        async with asyncio.timeout(10):
            await running
            await connections.aclose()
    finally:
        for task in (pacing, running):
            task.cancel()
        await asyncio.gather(pacing, running, return_exceptions=True)
        await connections.aclose()
        await http.aclose()


# Messages


async def test_it_is_told_what_the_client_is_told_and_of_the_call_first() -> None:
    async with far_end() as end:
        async with call(end.url, connection={"dataMessages": EVERYTHING}) as live:
            await live.client.speak(TURN)
            await live.until(lambda: live.texts("agent"))
            await end.until(lambda _: len(end.messages("transcript")) >= len(live.client.messages("transcript")))
        messages = end.messages()
    assert messages[0] == {"type": "call_started", "callId": "call"}
    assert len([m for m in messages if m["type"] == "call_started"]) == 1
    for kind in ("state", "transcript"):
        assert end.messages(kind) == live.client.messages(kind)
    assert end.messages("user_started_speaking")
    assert "data_connection_connected" in [m["callEvent"]["type"] for m in end.messages("call_event")]
    assert not live.client.messages("call_event")
    assert end.closed == [(1000, "the call has ended")]


async def test_what_it_does_not_want_it_is_not_sent() -> None:
    off = {"callStarted": False, "state": False, "transcript": False, "pong": False}
    async with far_end() as end, call(end.url, connection={"dataMessages": off}) as live:
        await end.until(lambda _: end.connections)
        await end.send({"type": "ping", "timestamp": 1})
        live.ask()
        await live.until(lambda: live.texts("agent"))
        assert end.messages() == []


async def test_a_ping_is_answered_to_whoever_sent_it() -> None:
    async with far_end() as end, call(end.url) as live:
        await end.until_message("call_started")
        await end.send({"type": "ping", "timestamp": 12.5})
        assert await end.until_message("pong") == {"type": "pong", "timestamp": 12.5}
        live.client.say('{"type": "ping", "timestamp": 7}')
        await live.until(lambda: live.client.messages("pong"))
        assert live.client.messages("pong") == [{"type": "pong", "timestamp": 7.0}]
        assert len(end.messages("pong")) == 1


async def test_bad_messages_are_told_to_whoever_sent_them_and_noted() -> None:
    bad = [
        "no JSON",
        "[]",
        '{"type": "nonsense"}',
        '{"type": "user_text_message"}',
        '{"type": "ping"}',
        "x" * 2_000_000,
    ]
    debug = {"dataMessages": {"debug": True}}
    async with far_end() as end, call(end.url, client_messages={"debug": True}, connection=debug) as live:
        await end.until_message("call_started")
        for message in bad:
            await end.send(message)
        await end.connection.send(b"\0\1")
        await end.until_message("debug", len(bad) + 1)
        await end.send({"type": "ping", "timestamp": 1})
        await end.until_message("pong")
        assert "binary" in end.messages("debug")[-1]["message"]
        assert live.client.messages("debug") == []
        noted = [event for event in live.record.noted if event.type == "message_rejected"]
        assert len(noted) == len(bad) + 1
        assert all(event.extras == {"from": "dataConnection"} for event in noted)


async def test_it_writes_on_the_callers_behalf_and_steers_the_agent() -> None:
    async with far_end() as end, call(end.url) as live:
        await end.until_message("call_started")
        await end.send({"type": "user_text_message", "text": "What is it?"})
        await live.until(lambda: live.texts("agent"))
        assert live.texts("user") == ["What is it?"]
        await end.send({"type": "forced_agent_message", "content": "Exactly this."})
        await live.until(lambda: len(live.texts("agent")) == 2)
        assert live.texts("agent")[1] == "Exactly this."
        await end.send({"type": "set_output_medium", "medium": "text"})
        await end.send({"type": "user_text_message", "text": "And now?"})
        await live.until(lambda: len(live.texts("agent")) == 3)
        assert live.client.messages("transcript")[-1]["medium"] == "text"
        await end.send({"type": "hang_up"})
        await live.until(lambda: live.client.closed)
        assert live.client.closed == (1000, "agent_hangup")


async def test_its_old_input_text_waits_for_the_next_turn() -> None:
    async with far_end() as end, call(end.url) as live:
        await end.until_message("call_started")
        await end.send({"type": "input_text_message", "text": "The door is open."})
        await live.until(lambda: live.texts("user"))
        await live.client.speak("." * 8)
        assert "thinking" not in [message["state"] for message in live.client.messages("state")]
        live.client.say('{"type": "input_text_message", "text": "From the client."}')
        await live.until(lambda: live.texts("agent"))
        assert live.texts("user") == ["The door is open.", "From the client."]


# Tools


async def test_a_tool_by_data_connection() -> None:
    async with far_end() as end, call(end.url, tools=(tool(),), replies=WANTS) as live:
        live.ask()
        asked = await end.until_message("data_connection_tool_invocation")
        assert (asked["toolName"], asked["parameters"]) == ("getColor", {"thing": "sky"})
        assert not live.client.messages("data_connection_tool_invocation")
        result = {
            "type": "data_connection_tool_result",
            "invocationId": asked["invocationId"],
            "result": {"is": "blue"},
        }
        await end.send(result)
        await end.send(result)
        await live.until(lambda: "It is done." in live.texts("agent"))
        kept = [message.text for message in live.record.kept if message.role is ToolRole.RESULT]
        assert kept == ['{"is": "blue"}']


async def test_a_client_tool_may_be_carried_out_by_either() -> None:
    async with far_end() as end, call(end.url, tools=(tool("client"),), replies=WANTS) as live:
        live.ask()
        asked = await end.until_message("client_tool_invocation")
        assert live.client.messages("client_tool_invocation") == [asked]
        await end.send({"type": "client_tool_result", "invocationId": asked["invocationId"], "result": "blue"})
        await live.until(lambda: "It is done." in live.texts("agent"))


def outcomes(live: Live) -> list[tuple[str, str | None]]:
    return [
        (message.text, getattr(message, "error_details", None))
        for message in live.record.kept
        if message.role is ToolRole.RESULT
    ]


async def test_a_tool_waits_for_the_connection_to_come_back() -> None:
    async with far_end() as end:
        port = end.port
    async with call(f"ws://127.0.0.1:{port}", tools=(tool(timeout="20s"),), replies=WANTS) as live:
        live.ask()
        await live.until(lambda: "data_connection_refused" in live.record.kinds())
        async with far_end(port=port) as end:
            asked = await end.until_message("data_connection_tool_invocation")
            result = {"type": "data_connection_tool_result", "invocationId": asked["invocationId"], "result": "blue"}
            await end.send(result)
            await live.until(lambda: "It is done." in live.texts("agent"))
    assert outcomes(live) == [("blue", None)]


async def test_a_tool_asked_before_the_connection_broke_is_answered_after() -> None:
    async with far_end() as end, call(end.url, tools=(tool(timeout="20s"),), replies=WANTS) as live:
        live.ask()
        asked = await end.until_message("data_connection_tool_invocation")
        end.connection.transport.abort()
        await end.until(lambda _: len(end.connections) == 2)
        await end.send({"type": "data_connection_tool_result", "invocationId": asked["invocationId"], "result": "blue"})
        await live.until(lambda: "It is done." in live.texts("agent"))
        assert len(end.messages("data_connection_tool_invocation")) == 1, "it runs once"
    assert outcomes(live) == [("blue", None)]


async def test_a_tool_nobody_could_be_asked_for_fails_and_is_not_asked_for_later() -> None:
    async with far_end() as end:
        port = end.port
    async with call(f"ws://127.0.0.1:{port}", tools=(tool(timeout="0.5s"),), replies=WANTS) as live:
        live.ask()
        await live.until(lambda: "It is done." in live.texts("agent"))
        async with far_end(port=port) as end:
            await end.until_message("transcript")
            assert end.messages("data_connection_tool_invocation") == []
    text = 'The tool "getColor" could not be reached: the data connection is down or too slow.'
    assert outcomes(live) == [(text, f"{text} It was for 0.5 seconds.")]


async def test_a_tool_that_is_not_answered_times_out() -> None:
    async with far_end() as end, call(end.url, tools=(tool(timeout="0.3s"),), replies=WANTS) as live:
        live.ask()
        await live.until(lambda: "It is done." in live.texts("agent"))
        assert len(end.messages("data_connection_tool_invocation")) == 1
    assert "did not answer within 0.3 seconds" in outcomes(live)[0][0]


async def test_a_tool_without_a_data_connection_fails_at_once() -> None:
    async with call(None, tools=(tool(),), replies=WANTS) as live:
        live.ask()
        await live.until(lambda: "It is done." in live.texts("agent"))
    assert "the call has no data connection" in outcomes(live)[0][0]


async def test_a_tool_is_not_asked_of_who_turned_that_off() -> None:
    off = {"dataMessages": {"dataConnectionToolInvocation": False}}
    async with far_end() as end, call(end.url, tools=(tool(),), replies=WANTS, connection=off) as live:
        live.ask()
        await live.until(lambda: "It is done." in live.texts("agent"))
    assert "the data connection has turned tool invocations off" in outcomes(live)[0][0]


# What becomes of the connection
