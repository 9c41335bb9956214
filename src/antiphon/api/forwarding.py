"""The other workers of this server: a request about a call that one of them serves is handed to it, once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.api.worker_sockets import METRICS, socket_path
from antiphon.errors import Overloaded
from antiphon.store.calls import CallRepository

PATIENCE_S = 10.0
HANDED_ON = "antiphon.handed_on"
"""In the scope of a request that another worker was asked first, and counts."""

_PASSED_HEADERS = ("x-api-key", "x-unsafe-api-key")


class Forwarded:
    """The same app, for those who connect to this worker's own socket: what they ask is not handed on again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        scope[HANDED_ON] = True
        await self._app(scope, receive, send)


class WorkerForwarding:
    """Found in ``folder``, where each worker listens on a socket with its number. ``close`` it in the end."""

    def __init__(self, folder: Path, number: int, calls: CallRepository) -> None:
        self._metrics = folder / METRICS
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._number = number
        self._calls = calls

    @property
    def own_socket(self) -> str:
        """Where this worker listens for the others."""
        return socket_path(self._folder, self._number)

    async def ask(self, request: Request, call_id: str, body: Any) -> Response | None:
        """The answer of the worker that the call belongs to; ``None`` where that is us, or nobody.

        Raises:
            Overloaded: that worker cannot be reached; it has just died, perhaps.

        """
        if request.scope.get(HANDED_ON):
            return None
        owner = await self._calls.worker_of(call_id)
        if owner is None or owner == self._number:
            return None
        transport = httpx.AsyncHTTPTransport(verify=False, trust_env=False, uds=socket_path(self._folder, owner))
        headers = {name: value for name in _PASSED_HEADERS if (value := request.headers.get(name))}
        try:
            async with httpx.AsyncClient(transport=transport, timeout=PATIENCE_S, trust_env=False) as client:
                answer = await client.request(
                    request.method,
                    f"http://worker{request.url.path}",
                    content=json.dumps(body),
                    headers={**headers, "content-type": "application/json"},
                )
        except httpx.TransportError:
            raise Overloaded("the process that serves the call does not answer", 1) from None
        kind = answer.headers.get("content-type")
        return Response(answer.content, answer.status_code, {"content-type": kind} if kind else None)

    def exposition(self) -> bytes:
        """What all workers have counted, added up, for Prometheus. Reads files."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._metrics))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def close(self) -> None:
        """Forget where they are."""
        os.close(self._folder)
