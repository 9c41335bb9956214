"""A real server, a real client, and the documentation's program at the other end of the data connection."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from antiphon.client.caller import join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from antiphon.demo.server_process import free_port
from tests.api.test_tool_calls import config, eventually, said
from tests.conftest import RealServer, running_server
from tests.support.far_end import far_end

RATE = 16_000
SECRET = "a secret of 24 characters"
PAGE = (Path(__file__).parents[3] / "docs" / "data-connections.md").read_text(encoding="utf-8")
TOOL = {
    "modelToolName": "getColor",
    "description": "The color of a thing.",
    "dynamicParameters": [
        {"name": "thing", "location": "PARAMETER_LOCATION_BODY", "schema": {"type": "string"}, "required": True}
    ],
    "dataConnection": {},
}
REPLY = '[[tool getColor {"thing": "sky"}]]'


@asynccontextmanager
async def program(folder: Path, port: int) -> AsyncIterator[asyncio.StreamReader]:
    """The documentation's program, as it stands there; gives what it prints."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (folder / "far_end.py").write_text(source, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, folder / "far_end.py", str(port)),
        env=os.environ | {"SHARED_SECRET": SECRET},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        await process.wait()


async def created(server: RealServer, **body: Any) -> dict[str, Any]:
    medium = {"serverWebSocket": {"inputSampleRate": RATE}}
    async with Api(server.url, server.key) as api:
        return await api.create_call({"medium": medium, "firstSpeakerSettings": {"user": {}}, **body})


async def events(server: RealServer, call_id: str, kind: str) -> list[dict[str, Any]]:
    async def ask() -> list[dict[str, Any]]:
        async with Api(server.url, server.key) as api:
            found: list[dict[str, Any]] = await api.events(call_id)
        return [event for event in found if event["type"] == kind]

    return await eventually(ask, lambda found: len(found) > 0)


async def test_the_documented_program_takes_part_in_a_call(tmp_path: Path) -> None:
    port = free_port()
    connection = {"websocketUrl": f"ws://127.0.0.1:{port}/", "headers": {"Authorization": "Bearer not-in-events"}}
    async with running_server(tmp_path, config(REPLY)) as server, program(tmp_path, port) as printed:
        call = await created(
            server, dataConnection=connection, sharedSecrets=[SECRET], selectedTools=[{"temporaryTool": TOOL}]
        )
        assert SECRET not in json.dumps(call)
        async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
            await caller.send({"type": "user_text_message", "text": "What color is the sky?"})
            await caller.until_message(said("Done with that."), timeout_s=20)
            async with asyncio.timeout(10):
                lines = [(await printed.readline()).decode().strip() for _ in range(2)]
            connected = await events(server, call["callId"], "data_connection_connected")
        async with Api(server.url, server.key) as api:
            messages = await eventually(lambda: api.messages(call["callId"]), lambda found: len(found) >= 4)
            shown = json.dumps(await api.get_call(call["callId"]))
    assert lines == ["user said: What color is the sky?", "agent said: Done with that."]
    assert [message["text"] for message in messages][1:3] == ['{"thing": "sky"}', "The sky is blue."]
    assert SECRET not in shown
    assert "not-in-events" not in json.dumps(connected)


async def test_the_documented_program_refuses_what_is_not_signed_with_its_secret(tmp_path: Path) -> None:
    port = free_port()
    connection = {"websocketUrl": f"ws://127.0.0.1:{port}/"}
    async with running_server(tmp_path, config(REPLY)) as server, program(tmp_path, port):
        call = await created(server, dataConnection=connection, sharedSecrets=["some other secret"])
        async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE):

            async def refusals() -> list[dict[str, Any]]:
                return await events(server, call["callId"], "data_connection_refused")

            refused = await eventually(refusals, lambda found: any("401" in event["text"] for event in found))
    assert all("some other secret" not in json.dumps(event) for event in refused)


async def test_a_data_connection_is_not_aimed_at_the_servers_own_insides(tmp_path: Path) -> None:
    async with far_end() as end, running_server(tmp_path, config(REPLY, private=False)) as server:
        call = await created(
            server, dataConnection={"websocketUrl": f"{end.url}/"}, selectedTools=[{"temporaryTool": TOOL}]
        )
        async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
            await caller.send({"type": "user_text_message", "text": "What color is the sky?"})
            await caller.until_message(said("Done with that."), timeout_s=20)
            (refused,) = await events(server, call["callId"], "data_connection_refused")
        assert "127.0.0.1 is not a public address" in refused["text"]
    assert end.requests == []
