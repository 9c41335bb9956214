"""Join URLs that are used twice, late, changed, or by many at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from tests.hostile.house import CALL, House, running, take_turn, talking
from tests.hostile.raw import RawClient
from tests.hostile.sound import tone


async def refusal(url: str) -> tuple[int, str]:
    async with asyncio.timeout(10):
        return await (await RawClient.join(url)).until_closed()


async def test_a_url_used_twice(house: House) -> None:
    call = await house.create()
    async with talking(call) as caller:
        code, reason = await refusal(call["joinUrl"])
        assert code == 4409
        assert "used already" in reason
        await take_turn(caller, tone(0.3))  # nothing of it is noticed by who joined first
    assert (await house.ended(call))["endReason"] == "hangup"
    code, reason = await refusal(call["joinUrl"])
    assert code in (4409, 4410)
    assert "ended" in reason or "used already" in reason
    assert (await house.get(call))["endReason"] == "hangup"


async def test_a_url_used_late(house: House) -> None:
    call = await house.create(joinTimeout="0.2s")
    ended = await house.ended(call)
    assert ended["endReason"] == "unjoined"
    assert ended["joined"] is None
    code, reason = await refusal(call["joinUrl"])
    assert code == 4408
    assert "joinTimeout" in reason


async def test_a_changed_token(house: House) -> None:
    call = await house.create()
    url = call["joinUrl"]
    start, token = url.split("token=")
    for changed in ("", token[:-1], token + "A", token.swapcase(), "%00", "%ff%fe", "A" * 6000):
        code, reason = await refusal(f"{start}token={changed}")
        assert (code, "not valid" in reason) == (4401, True), changed[:80]
    other = await house.create()
    assert (await refusal(url.replace(call["callId"], other["callId"])))[0] == 4401
    assert (await refusal(url.replace(call["callId"], "x" * 2000)))[0] == 4404
    async with talking(call) as caller:  # a wrong token does not use the URL up
        await take_turn(caller, tone(0.3))


async def test_ten_at_once_of_whom_one_gets_in(house: House) -> None:
    call = await house.create(firstSpeakerSettings={"agent": {"text": "Hello."}})
    clients = await asyncio.gather(*(RawClient.join(call["joinUrl"]) for _ in range(10)))
    closed = [asyncio.create_task(client.until_closed()) for client in clients]
    async with asyncio.timeout(10):
        while sum(task.done() for task in closed) < 9:
            await asyncio.wait([task for task in closed if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    assert Counter(task.result()[0] for task in closed if task.done()) == {4409: 9}
    assert (await house.get(call))["ended"] is None
    (winner,) = [client for client, task in zip(clients, closed, strict=True) if not task.done()]
    next(task for task in closed if not task.done()).cancel()
    winner.vanish()
    assert (await house.ended(call))["endReason"] == "connection_error"


async def test_when_all_places_are_taken(tmp_path: Path) -> None:
    with running(tmp_path, "max_calls = 2") as small:
        calls = [await small.create() for _ in range(10)]
        clients = await asyncio.gather(*(RawClient.join(call["joinUrl"]) for call in calls))
        closed = [asyncio.create_task(client.until_closed()) for client in clients]
        async with asyncio.timeout(10):
            while sum(task.done() for task in closed) < 8:
                await asyncio.wait([task for task in closed if not task.done()], return_when=asyncio.FIRST_COMPLETED)
        assert Counter(task.result()[0] for task in closed if task.done()) == {1013: 8}
        assert await small.metric("antiphon_live_calls") == 2
        async with small.client() as client:
            full = await client.post("/api/calls", json=CALL)
        assert full.status_code == 503
        assert int(full.headers["Retry-After"]) > 0
        assert "places" in full.json()["detail"]
        for client_in, task in zip(clients, closed, strict=True):
            task.cancel()
            client_in.vanish()
        refused = [call for call, task in zip(calls, closed, strict=True) if task.done() and not task.cancelled()]
        for call, task in zip(calls, closed, strict=True):
            if call not in refused:
                assert (await small.ended(call))["endReason"] == "connection_error"
            del task
        async with talking(refused[0]) as caller:  # who was told to come later comes later
            await take_turn(caller, tone(0.3))
