"""REST beside live calls: what programs ask of the server meanwhile, on an absolute schedule; and what each kind costs.

The mix is a production program's: half of it looks at live calls and their messages, a quarter lists calls, a quarter
creates calls and, when nobody has joined them in time, deletes them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
import numpy as np

from load import measure
from load.servers import KEY, Server

Figures: TypeAlias = dict[str, Any]

MIX = ("call", "list", "messages", "create", "call", "list", "messages", "delete")
KINDS = ("call", "messages", "list", "create", "delete")
NAMES = {
    "call": "a live call",
    "messages": "its messages",
    "list": "20 calls",
    "create": "create a call",
    "delete": "delete it",
}
JOIN_TIMEOUT_S = 1.0
"""Of calls that nobody joins; they end then, and can be deleted."""
DELETED_AFTER_S = 3.0
PATIENCE_S = 20.0
ALONE_REQUESTS = 60
"""Of each kind. So many waiting calls are let in by a server with nothing to do."""
ALONE_WAITS_S = 2.5
LARGE_PROMPT = "Answer in one sentence, and never in two. " * 2_500
MANY_MESSAGES = 1_000
_WANTED = {"create": 201, "delete": 204}


@dataclass(slots=True)
class Asked:
    """What came of all requests of one kind. ``latency_s`` counts from when each was due."""

    latency_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


class Client:
    """Asks as a program would, over connections that are kept."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = aiohttp.ClientSession(
            headers={"X-API-Key": KEY}, timeout=aiohttp.ClientTimeout(PATIENCE_S), auto_decompress=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None
    ) -> None:
        await self._http.close()

    async def ask(self, kind: str, path: str, body: Any = None) -> str | None:
        """The id of a call made; None for all else. Raises :class:`Refused`, and what aiohttp does."""
        method = {"create": "POST", "delete": "DELETE"}.get(kind, "GET")
        async with self._http.request(method, self._url + path, json=body) as answer:
            content = await answer.read()
            if answer.status != _WANTED.get(kind, 200):
                raise Refused(str(answer.status))
            return str((await answer.json())["callId"]) if kind == "create" and content else None


class Refused(Exception):
    """Another status than was wanted: its number."""


class Rest:
    """``rate`` requests a second for as long as :meth:`run` lasts. ``calls``: the ids of live ones."""

    def __init__(self, server: Server, calls: Sequence[str], rate: float) -> None:
        self._server = server
        self._calls = calls
        self._rate = rate
        self._made: deque[tuple[float, str]] = deque()
        self._asked = {kind: Asked() for kind in KINDS}
        self._late_s: list[float] = []
        self.requests = 0

    async def run(self, started: float, seconds: float) -> None:
        """Ask from ``started`` (``monotonic``) on for ``seconds``, and wait for the last answers."""
        async with Client(self._server.url) as client, asyncio.TaskGroup() as asking:
            for number in range(int(seconds * self._rate)):
                due = started + number / self._rate
                await asyncio.sleep(due - monotonic())
                self._late_s.append(max(0.0, monotonic() - due))
                asking.create_task(self._ask(client, number, due))

    async def _ask(self, client: Client, number: int, due: float) -> None:
        kind = MIX[number % len(MIX)]
        call, body = self._calls[number // len(MIX) % len(self._calls)], None
        match kind:
            case "call":
                path = f"/api/calls/{call}"
            case "messages":
                path = f"/api/calls/{call}/messages"
            case "list":
                path = "/api/calls?pageSize=20"
            case "create":
                path, body = "/api/calls", unjoined(JOIN_TIMEOUT_S)
            case _:
                if not self._made or self._made[0][0] > due - DELETED_AFTER_S:
                    return
                path = f"/api/calls/{self._made.popleft()[1]}"
        self.requests += 1
        asked = self._asked[kind]
        try:
            made = await client.ask(kind, path, body)
        except (Refused, aiohttp.ClientError, TimeoutError) as error:
            asked.errors[str(error) or type(error).__name__] += 1
            return
        asked.latency_s.append(monotonic() - due)
        if made is not None:
            self._made.append((monotonic(), made))

    def figures(self) -> Figures:
        """Latency, ms, and errors by kind; how late the asking itself was."""
        return {
            "rate": self._rate,
            "requests": self.requests,
            "late_p99_ms": round(float(np.percentile(self._late_s, 99)) * 1000, 2) if self._late_s else 0.0,
            "kinds": {
                kind: {"count": len(asked.latency_s), "errors": dict(asked.errors), **_spread_ms(asked.latency_s)}
                for kind, asked in self._asked.items()
            },
        }


def _spread_ms(seconds: Sequence[float]) -> dict[str, float | None]:
    if not seconds:
        return {"p50": None, "p95": None, "p99": None}
    found = np.percentile(seconds, [50, 95, 99]) * 1000
    return {name: round(float(value), 1) for name, value in zip(("p50", "p95", "p99"), found, strict=True)}


def unjoined(join_timeout_s: float, **more: Any) -> dict[str, Any]:
    """The body of a call that nobody will join."""
    return {
        "systemPrompt": "You are nobody's agent. Answer briefly.",
        "medium": {"serverWebSocket": {"inputSampleRate": 16_000, "outputSampleRate": 24_000}},
        "firstSpeakerSettings": {"user": {}},
        "joinTimeout": f"{join_timeout_s:g}s",
        "metadata": {"customer": "17", "campaign": "spring"},
        **more,
    }


async def alone(server: Server) -> dict[str, Figures]:
    """What a request of each kind costs where there are no calls, ms of a processor, by kind.

    One request after the other. ``loop_late_most_ms``: the server's loop by its own clock.
    """
    costs: dict[str, Figures] = {}

    async def measured(name: str, requests: Sequence[Callable[[], Awaitable[object]]], wait_s: float = 0.0) -> None:
        before, metrics, began = measure.cpu_s(*measure.family(server.pid)), await server.metrics(), time.monotonic()
        for request in requests:
            await request()
        lasted = time.monotonic() - began
        used = measure.cpu_s(*measure.family(server.pid)) - before - idle * lasted
        buckets = [measure.loop_buckets(text) for text in (metrics, await server.metrics())]
        late = measure.loop_late_ms(buckets[0], buckets[1], 1.0)
        count = len(requests)
        costs[name] = {"requests": count, "processor_ms": round(used / count * 1000, 2), "loop_late_most_ms": late}

    async with Client(server.url) as client:

        async def create(**more: Any) -> str:
            made = await client.ask("create", "/api/calls", unjoined(60.0, **more))
            assert made is not None
            return made

        said = [{"role": _ROLES[n % 2], "text": f"Sentence {n} of what was said before."} for n in range(MANY_MESSAGES)]
        few = await create(initialMessages=said[:10])
        many = await create(initialMessages=said)
        await asyncio.sleep(1.0)
        before = measure.cpu_s(*measure.family(server.pid))
        await asyncio.sleep(2.0)
        idle = (measure.cpu_s(*measure.family(server.pid)) - before) / 2.0
        made: list[str] = []

        def get(path: str) -> Callable[[], Awaitable[object]]:
            return lambda: client.ask("get", path)

        async def short() -> None:
            id_ = await client.ask("create", "/api/calls", unjoined(JOIN_TIMEOUT_S * 2))
            assert id_ is not None
            made.append(id_)

        def delete(id_: str) -> Callable[[], Awaitable[object]]:
            return lambda: client.ask("delete", f"/api/calls/{id_}")

        await measured("create", [short] * ALONE_REQUESTS)
        await asyncio.sleep(ALONE_WAITS_S)
        await measured("call", [get(f"/api/calls/{few}")] * ALONE_REQUESTS * 5)
        await measured("messages", [get(f"/api/calls/{few}/messages")] * ALONE_REQUESTS * 5)
        await measured("list", [get("/api/calls?pageSize=20")] * ALONE_REQUESTS * 3)
        await measured("list of 100", [get("/api/calls?pageSize=100")] * ALONE_REQUESTS)
        await measured("delete", [delete(id_) for id_ in made])
        await measured("100 messages of 1,000", [get(f"/api/calls/{many}/messages")] * ALONE_REQUESTS)
        await measured("create, 100 kB", [lambda: create(systemPrompt=LARGE_PROMPT)] * (ALONE_REQUESTS // 4))
        await measured("list of 20, 100 kB each", [get("/api/calls?pageSize=20")] * (ALONE_REQUESTS // 2))
    return costs


_ROLES: Mapping[int, str] = {0: "MESSAGE_ROLE_USER", 1: "MESSAGE_ROLE_AGENT"}


def told(runs: Sequence[Figures], costs: Mapping[str, Figures] | None) -> list[str]:
    """What a request costs: beside calls, by the difference to the same calls without; and by itself, by kind."""
    texts = []
    plain = {run["calls"]: run for run in runs if run["server"] == "antiphon" and not run["rest"]}
    for run in runs:
        without = plain.get(run["calls"])
        if run["rest"] and run["rest"]["requests"] and without is not None:
            more_s = (run["cpu_of_a_core"] - without["cpu_of_a_core"]) * run["seconds"]
            texts.append(
                f"{run['calls']} calls: {more_s * 1000 / run['rest']['requests']:.1f} ms of a core per request beside "
                f"them, by the difference of two runs, as exact as they are alike; {run['rest']['requests']} requests"
            )
    if costs:
        each = ", ".join(f"{kind}: {cost['processor_ms']:.1f}" for kind, cost in costs.items())
        texts.append(f"a request by itself, no calls, ms of a core: {each}")
    return texts


def _cell(kind: str) -> Callable[[Figures], str]:
    def cell(figures: Figures) -> str:
        asked = figures["rest"]["kinds"][kind] if figures["rest"] else None
        if not asked or not asked["count"]:
            return "–"
        return f"{asked['p50']:.0f} / {asked['p95']:.0f} / {asked['p99']:.0f}"

    return cell


def _errors(figures: Figures) -> str:
    if not figures["rest"]:
        return "–"
    found = [
        f"{kind} {error}: {count}"
        for kind, asked in figures["rest"]["kinds"].items()
        for error, count in asked["errors"].items()
    ]
    return ", ".join(found) or "none"


ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    *((f"REST: {NAMES[kind]}, p50 / p95 / p99", _cell(kind)) for kind in KINDS),
    ("REST: errors", _errors),
    ("REST: asked late, p99", lambda f: f"{f['rest']['late_p99_ms']:.1f}" if f["rest"] else "–"),
)
