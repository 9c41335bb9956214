"""The floor: a bare uvicorn server that takes 16 kHz frames and gives 24 kHz ones back, and does nothing else.

    python -m load.echo_server --port 9000 --share 0.5

For every 20 ms that it is sent it sends 20 ms (960 bytes), or for a ``share`` of them, as an agent that speaks only
part of the time.
"""

from __future__ import annotations

import argparse

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from load.speech import FRAME_BYTES


class Echo:
    """The endpoint."""

    def __init__(self, share: float) -> None:
        self._share = share

    async def __call__(self, websocket: WebSocket) -> None:
        await websocket.accept()
        frame, owed = bytes(FRAME_BYTES), 0.0
        while (await websocket.receive())["type"] != "websocket.disconnect":
            owed += self._share
            if owed >= 1.0:
                owed -= 1.0
                await websocket.send({"type": "websocket.send", "bytes": frame})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()

    async def ready(_request: object) -> PlainTextResponse:
        return PlainTextResponse("ready")

    app = Starlette(routes=[Route("/readyz", ready), WebSocketRoute("/ws", Echo(options.share).__call__)])
    uvicorn.run(
        app, host="127.0.0.1", port=options.port, loop="uvloop", ws="websockets-sansio", http="httptools",
        ws_per_message_deflate=False, log_level="warning", access_log=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
