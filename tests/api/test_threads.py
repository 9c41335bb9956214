"""Threads in whole calls, after the examples of the public documentation: a real server, a real client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from antiphon.client.caller import Caller, Received
from antiphon.client.rest import Api
from tests.api.test_tool_calls import eventually, joined
from tests.conftest import SCRIPTED, RealServer, running_server
from tests.support.far_end import far_end

PATIENCE_S = 20
KNOWN = ("THREAD_ID", "THREAD_STATES", "CONVERSATION_HISTORY")


def config(*replies: str) -> str:
    """A model that gives these replies in the order of its turns, in whichever thread."""
    models = f'models.scripted = {{ engine = "scripted", replies = {json.dumps(replies)} }}'
    lines = [line for line in SCRIPTED.splitlines() if not line.startswith("models.")]
    return "\n".join([*lines, models, "tools.allow_private = true"])


def tool(name: str, **implementation: Any) -> dict[str, Any]:
    automatic = [
        {"name": known.lower(), "location": "PARAMETER_LOCATION_BODY", "knownValue": f"KNOWN_PARAM_{known}"}
        for known in KNOWN
    ]
    return {
        "temporaryTool": {
            "modelToolName": name,
            "description": "Does something slow.",
            "automaticParameters": automatic,
            **(implementation or {"client": {}}),
        }
    }


async def asked(caller: Caller, count: int) -> dict[str, Any]:
    """The ``count``-th invocation of a client tool."""
    await caller.until(lambda: len(of_type(caller, "client_tool_invocation")) >= count, PATIENCE_S)
    return of_type(caller, "client_tool_invocation")[count - 1].body


def of_type(caller: Caller, *types: str) -> list[Received]:
    return [message for message in caller.received if message.type in types]


async def until(caller: Caller, kind: str, **fields: Any) -> dict[str, Any]:
    def matches(message: Received) -> bool:
        return message.type == kind and all(message.body.get(name) == value for name, value in fields.items())

    return (await caller.until_message(matches, timeout_s=PATIENCE_S)).body


async def send_to_thread(
    caller: Caller, invocation: dict[str, Any], text: str, message: dict[str, Any], reaction: str
) -> None:
    await caller.send(
        {
            "type": "client_tool_result",
            "invocationId": invocation["invocationId"],
            "result": json.dumps({"callingThreadResultText": text, "dataMessage": message}),
            "responseType": "send-to-thread",
            "agentReaction": reaction,
        }
    )


async def events(server: RealServer, call_id: str, last: str) -> list[dict[str, Any]]:
    """The thread's events as REST has them, once the ``last`` one is there."""
    async with Api(server.url, server.key) as api:
        found = await eventually(
            lambda: api.events(call_id), lambda found: any(event["type"].endswith(last) for event in found)
        )
    return [event for event in found if event["type"].split(".")[0] in ("thread", "side_generation", "thread_comms")]


async def test_moving_a_tool_to_a_background_thread(tmp_path: Path) -> None:
    replies = config("[[tool slow {}]]", "It runs in the background.", "It came to blue.")
    async with (
        running_server(tmp_path, replies) as server,
        joined(server, selectedTools=[tool("slow")]) as (caller, call_id),
    ):
        await caller.send({"type": "user_text_message", "text": "Please do the slow thing."})
        first = await asked(caller, 1)
        assert first["parameters"]["thread_id"] == "UI"
        again = {"type": "forced_agent_message", "toolCalls": [{"name": "slow", "arguments": {}}]}
        spawn = {
            "type": "spawn_thread",
            "newThreadId": "background",
            "additionalMessages": [again],
            "limits": {"generationLimit": 0},
        }
        await send_to_thread(caller, first, "Started in the background.", spawn, "speaks")
        second = await asked(caller, 2)
        assert second["parameters"]["thread_id"] == "background"
        assert second["parameters"]["thread_states"] == {"background": {"state": "CALLING_TOOL"}}
        assert await until(caller, "thread_spawned") == {"type": "thread_spawned", "threadId": "background"}
        await until(caller, "transcript", text="It runs in the background.", final=True)
        done = {"type": "user_text_message", "text": '<prior_tool_result toolName="slow">blue</prior_tool_result>'}
        await send_to_thread(caller, second, "Sent result to UI thread.", done, "listens")
        await until(caller, "transcript", text="It came to blue.", final=True)
        assert of_type(caller, "thread_terminated", "side_generation_delta") == []
        await caller.hang_up()
        found = await events(server, call_id, "thread.canceled")
        async with Api(server.url, server.key) as api:
            messages = await api.messages(call_id)
    assert [event["type"] for event in found] == ["thread.spawned", "thread.canceled"]
    assert found[1]["extras"] == {
        "thread_id": "background",
        "total_input_tokens": 0,
        "total_output_tokens": 0,
        "total_generations": 0,
    }
    assert [(message["role"], message["text"]) for message in messages] == [
        ("MESSAGE_ROLE_USER", "Please do the slow thing."),
        ("MESSAGE_ROLE_TOOL_CALL", "{}"),
        ("MESSAGE_ROLE_TOOL_RESULT", "Started in the background."),
        ("MESSAGE_ROLE_AGENT", "It runs in the background."),
        ("MESSAGE_ROLE_USER", '<prior_tool_result toolName="slow">blue</prior_tool_result>'),
        ("MESSAGE_ROLE_AGENT", "It came to blue."),
    ]


async def test_hang_up_from_a_side_thread(tmp_path: Path) -> None:
    async with (
        running_server(tmp_path, config("[[tool judge {}]]", "Enough of that.")) as server,
        joined(server, selectedTools=[tool("judge")]) as (caller, call_id),
    ):
        words = {"type": "user_text_message", "text": "Is this call worth going on with?"}
        await caller.send({"type": "spawn_thread", "newThreadId": "judge", "additionalMessages": [words]})
        invocation = await asked(caller, 1)
        hang_up = {
            "type": "forced_agent_message",
            "urgency": "immediate",
            "toolCalls": [{"id": "myId", "name": "hangUp", "arguments": {}}],
            "knownToolResults": [
                {
                    "invocationId": "myId",
                    "result": {"strict": True, "message": "Goodbye."},
                    "responseType": "hang-up",
                }
            ],
        }
        await send_to_thread(caller, invocation, "Sent result to UI thread.", hang_up, "listens")
        assert (await caller.until_closed(PATIENCE_S))[0] == 1000
        assert [m.body["text"] for m in of_type(caller, "transcript") if m.body["final"]] == ["Goodbye."]
        terminated = of_type(caller, "thread_terminated")
        assert [message.body["threadId"] for message in terminated] == ["judge"]
        async with Api(server.url, server.key) as api:
            call = await eventually(lambda: api.get_call(call_id), lambda call: call["ended"] is not None)
    assert call["endReason"] == "agent_hangup"


async def test_a_side_thread_cannot_hang_up_itself(tmp_path: Path) -> None:
    async with (
        running_server(tmp_path, config("[[tool hangUp]]", "I cannot do that.")) as server,
        joined(server, selectedTools=[{"toolName": "hangUp"}]) as (caller, call_id),
    ):
        words = {"type": "user_text_message", "text": "End this."}
        await caller.send({"type": "spawn_thread", "newThreadId": "side", "additionalMessages": [words]})
        completed = await until(caller, "side_generation_completed")
        assert [call["name"] for call in completed["toolCalls"]] == ["hangUp"]
        assert sorted(completed) == ["text", "threadId", "toolCalls", "type"]
        await until(caller, "side_generation_completed", text="I cannot do that.")
        deltas = "".join(message.body["delta"] for message in of_type(caller, "side_generation_delta"))
        assert deltas == "I cannot do that."
        assert caller.closed is None
        found = await events(server, call_id, "unsupported_call_change")
    assert found[-1]["extras"]["thread_id"] == "side"


async def test_a_thread_re_syncs_with_the_conversation_after_each_report(tmp_path: Path) -> None:
    report = {"type": "user_text_message", "text": "Analyze the conversation, then report."}
    spawn = {
        "type": "spawn_thread",
        "parentThreadId": "UI",
        "newThreadId": "monitor",
        "ifExists": "replace",
        "additionalMessages": [report],
    }
    async with (
        running_server(tmp_path, config("Hello there.", "[[tool report {}]]", "Anything else?")) as server,
        joined(server, selectedTools=[tool("report")]) as (caller, call_id),
    ):
        await caller.send({"type": "user_text_message", "text": "Good morning."})
        await until(caller, "transcript", text="Hello there.", final=True)
        await caller.send(spawn)
        for count in (1, 2, 3):
            invocation = await asked(caller, count)
            assert invocation["parameters"]["thread_id"] == "monitor"
            history = [message["text"] for message in invocation["parameters"]["conversation_history"]]
            assert history == ["Good morning.", "Hello there.", report["text"]]
            await send_to_thread(caller, invocation, "OK", spawn, "listens")
        await asked(caller, 4)
        kinds = [message.type for message in of_type(caller, "thread_spawned", "thread_terminated")]
        assert kinds == ["thread_spawned", *["thread_terminated", "thread_spawned"] * 3]
        found = await events(server, call_id, "thread.canceled")
    assert {event["extras"].get("total_generations", 1) for event in found if event["type"] == "thread.canceled"} == {1}


async def test_a_thread_that_cannot_be_begun_and_messages_to_nobody(tmp_path: Path) -> None:
    async with running_server(tmp_path, config("Done.")) as server, joined(server) as (caller, call_id):
        await caller.send({"type": "spawn_thread", "newThreadId": "a", "parentThreadId": "nobody"})
        rejected = await until(caller, "thread_rejected")
        assert rejected == {
            "type": "thread_rejected",
            "threadId": "a",
            "reason": "the parent thread 'nobody' does not exist",
        }
        await caller.send({"type": "user_text_message", "text": "Hello?", "threadId": "nobody"})
        async with Api(server.url, server.key) as api:
            path = f"/api/calls/{call_id}/send_data_message"
            message = {"type": "user_text_message", "text": "Hello?", "threadId": "nobody"}
            response = await api._client.post(path, json=message)
            assert response.status_code == 204
        found = await events(server, call_id, "non_existent_thread")
        await caller.send({"type": "spawn_thread"})
        assert len((await until(caller, "thread_spawned"))["threadId"]) == 36
    assert found[-1]["extras"] == {"thread_id": "nobody"}


async def test_the_data_connection_begins_threads_and_is_told_of_them(tmp_path: Path) -> None:
    off = dict.fromkeys(("state", "transcript", "pong"), False)
    async with far_end() as end, running_server(tmp_path, config("All is well.")) as server:
        connection = {"websocketUrl": f"{end.url}/", "dataMessages": off}
        async with joined(server, dataConnection=connection) as (caller, _):
            await end.until_message("call_started")
            words = {"type": "user_text_message", "text": "How is it going?"}
            await end.send({"type": "spawn_thread", "newThreadId": "side", "additionalMessages": [words]})
            completed = await end.until_message("side_generation_completed", timeout_s=PATIENCE_S)
            assert completed["text"] == "All is well."
            assert await until(caller, "side_generation_completed") == completed
            assert len(end.messages("side_generation_delta")) == 3
        ended = await end.until_message("thread_terminated", timeout_s=PATIENCE_S)
    assert ended == {"type": "thread_terminated", "threadId": "side", "reason": "canceled: the call has ended"}


class Reporter(BaseHTTPRequestHandler):
    """Sends what it is told back to the parent of the thread that asked."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body["thread_id"])  # type: ignore[attr-defined]
        message = {"type": "user_text_message", "threadId": "_PARENT", "text": "All is well."}
        answer = json.dumps({"callingThreadResultText": "Told.", "dataMessage": message}).encode()
        self.send_response(200)
        self.send_header("X-Ultravox-Response-Type", "send-to-thread")
        self.send_header("X-Ultravox-Agent-Reaction", "listens")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def reporter() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Reporter)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_an_http_tool_of_a_grandchild_writes_to_the_child(reporter: ThreadingHTTPServer, tmp_path: Path) -> None:
    http = {"baseUrlPattern": f"http://127.0.0.1:{reporter.server_port}/", "httpMethod": "POST"}
    async with (
        running_server(tmp_path, config("That is good.")) as server,
        joined(server, selectedTools=[tool("report", http=http)]) as (caller, _),
    ):
        await caller.send({"type": "spawn_thread", "newThreadId": "child"})
        forced = {"type": "forced_agent_message", "toolCalls": [{"name": "report"}]}
        await caller.send(
            {
                "type": "spawn_thread",
                "newThreadId": "grandchild",
                "parentThreadId": "child",
                "additionalMessages": [forced],
            }
        )
        completed = await until(caller, "side_generation_completed")
        assert (completed["threadId"], completed["text"]) == ("child", "That is good.")
    assert reporter.asked == ["grandchild"]  # type: ignore[attr-defined]


async def test_a_letter_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    async with (
        running_server(tmp_path, config("[[tool slow {}]]", "That went wrong.")) as server,
        joined(server, selectedTools=[tool("slow")]) as (caller, call_id),
    ):
        await caller.send({"type": "user_text_message", "text": "Please."})
        invocation = await asked(caller, 1)
        await send_to_thread(caller, invocation, "Started.", {"type": "spawn_thread", "limits": 3}, "speaks")
        await until(caller, "transcript", text="That went wrong.", final=True)
        async with Api(server.url, server.key) as api:
            result = (await eventually(lambda: api.messages(call_id), lambda found: len(found) > 2))[2]
    assert result["text"] == 'The tool "slow" gave an answer that cannot be used.'
    assert result["errorDetails"] == (
        "send-to-thread: dataMessage: spawn_thread.limits: expected an object, got a number"
    )
