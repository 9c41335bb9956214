from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import time, timedelta, timezone

import pytest

from antiphon.call.ends import EndReason
from antiphon.call.messages import Severity
from antiphon.errors import InvalidRequest, StoreError
from antiphon.store.database import Database
from antiphon.store.records import CallChanges, CallRecord, JoinClaim, Page
from antiphon.store.repositories import CallFilter, Repositories
from tests.store.samples import T0, a_call, a_message, a_stage, an_event, at


async def test_a_call_comes_back_as_it_was_stored(store: Repositories) -> None:
    call = a_call(
        voice="Mark",
        voice_id="9b9f0b5c-8a0e-4b1e-8f3e-5f5d6c7b8a90",
        recording_enabled=True,
        current_stage_id="stage",
        agent_id="agent",
        agent={"agentId": "agent", "name": "Ada"},
        sip_details={"terminationReason": None},
    )
    await store.calls.create(call)
    assert await store.calls.get(call.call_id) == call
    assert await store.calls.get("no such id\0, nor a UUID") is None
    assert await store.calls.get(call.call_id + "0") is None


async def test_an_id_serves_one_call(store: Repositories) -> None:
    call = a_call()
    await store.calls.create(call)
    with pytest.raises(StoreError) as caught:
        await store.calls.create(call)
    assert not caught.value.retryable


async def test_times_of_any_zone_come_back_in_utc(store: Repositories) -> None:
    call = a_call(created=T0.astimezone(timezone(timedelta(hours=5, minutes=45))))
    await store.calls.create(call)
    found = await store.calls.get(call.call_id)
    assert found is not None
    assert (found.created, found.created.utcoffset()) == (T0, timedelta(0))
    with pytest.raises(StoreError, match="StatementError"):
        await store.calls.create(a_call(created=T0.replace(tzinfo=None)))


async def test_text_that_a_database_cannot_hold_is_mended(store: Repositories) -> None:
    call = a_call(summary="zero \0, half \ud83d", request={"systemPrompt": "zero \0", "temperature": float("nan")})
    await store.calls.create(call)
    found = await store.calls.get(call.call_id)
    assert found is not None
    assert found.summary == "zero \ufffd, half \ufffd"
    assert found.request == {"systemPrompt": "zero \0", "temperature": None}


async def test_a_call_is_created_with_its_first_stage_and_messages_or_not_at_all(store: Repositories) -> None:
    call = a_call()
    stage = a_stage(call)
    message = a_message(stage, 0, ordinal=None, audio_span=None, wall_span=None)
    await store.calls.create(call, [stage], [message])
    assert await store.stages.of_call(call.call_id) == (stage,)
    assert await store.messages.of_stage(call.call_id, stage.stage_id) == (message,)
    other = a_call()
    with pytest.raises(StoreError):
        await store.calls.create(other, [], [replace(message, call_id=other.call_id, stage_id="none")])
    assert await store.calls.get(other.call_id) is None


async def test_of_many_joins_at_once_one_is_served(store: Repositories) -> None:
    call = a_call()
    await store.calls.create(call)
    claims = await asyncio.gather(
        *(store.calls.claim_join(call.call_id, call.join_token_hash, at(1)) for _ in range(8))
    )
    assert sorted(claims) == sorted([JoinClaim.JOINED] + [JoinClaim.USED] * 7)
    found = await store.calls.get(call.call_id)
    assert found == replace(call, claimed=at(1))


async def test_a_refused_join_says_why(store: Repositories) -> None:
    call = a_call()
    await store.calls.create(call)
    assert await store.calls.claim_join("nobody", call.join_token_hash, at(1)) is JoinClaim.UNKNOWN
    assert await store.calls.claim_join(call.call_id, "hash of another", at(1)) is JoinClaim.WRONG_TOKEN
    assert await store.calls.claim_join(call.call_id, call.join_token_hash, at(30)) is JoinClaim.EXPIRED
    assert await store.calls.mark_ended(call.call_id, EndReason.UNJOINED, at(30))
    assert await store.calls.claim_join(call.call_id, call.join_token_hash, at(31)) is JoinClaim.EXPIRED
    over = a_call()
    await store.calls.create(over)
    await store.calls.claim_join(over.call_id, over.join_token_hash, at(1))
    await store.calls.mark_ended(over.call_id, EndReason.HANGUP, at(2))
    assert await store.calls.claim_join(over.call_id, over.join_token_hash, at(3)) is JoinClaim.ENDED
    assert await store.calls.claim_join(over.call_id, "hash of another", at(3)) is JoinClaim.WRONG_TOKEN


async def test_a_call_ends_once(store: Repositories) -> None:
    call = a_call()
    await store.calls.create(call)
    assert await store.calls.mark_joined(call.call_id, at(1), "web 1.2.3")
    assert not await store.calls.mark_joined(call.call_id, at(2))
    reasons = [EndReason.HANGUP, EndReason.TIMEOUT, EndReason.SYSTEM_ERROR, EndReason.AGENT_HANGUP]
    ends = await asyncio.gather(
        *(store.calls.mark_ended(call.call_id, reason, at(10 + i)) for i, reason in enumerate(reasons))
    )
    assert sorted(ends) == [False, False, False, True]
    winner = ends.index(True)
    found = await store.calls.get(call.call_id)
    assert found == replace(
        call, joined=at(1), client_version="web 1.2.3", ended=at(10 + winner), end_reason=reasons[winner]
    )
    assert not await store.calls.mark_joined(call.call_id, at(20))
    assert not await store.calls.mark_ended("nobody", EndReason.HANGUP, at(1))


async def test_changes_leave_the_rest_as_it_was(store: Repositories) -> None:
    call = a_call()
    await store.calls.create(call)
    assert await store.calls.update(call.call_id, CallChanges(summary="They spoke.", error_count=2))
    assert await store.calls.update(call.call_id, CallChanges())
    assert await store.calls.get(call.call_id) == replace(call, summary="They spoke.", error_count=2)
    assert not await store.calls.update("nobody", CallChanges(summary="?"))
    assert not await store.calls.update("nobody", CallChanges())


async def test_a_deleted_call_leaves_nothing(database: Database, store: Repositories) -> None:
    gone, kept = a_call(request={"metadata": {"k": "v"}}), a_call(request={"metadata": {"k": "v"}})
    stages = [a_stage(gone), a_stage(kept)]
    for call, stage in zip((gone, kept), stages, strict=True):
        await store.calls.create(call, [stage], [a_message(stage, 0)])
        await store.events.append([an_event(stage)])
    assert await store.calls.delete(gone.call_id)
    assert not await store.calls.delete(gone.call_id)
    async with database.read() as connection:
        for table in ("calls", "call_labels", "stages", "messages", "events"):
            found = await connection.exec_driver_sql(f"SELECT call_id FROM {table}")
            assert found.scalars().all() == [kept.call_id], table


async def every_page(store: Repositories, size: int, **options: str) -> list[Page[CallRecord]]:
    pages = [await store.calls.page(page_size=size, **options)]  # type: ignore[arg-type]
    while (cursor := pages[-1].next) is not None:
        pages.append(await store.calls.page(page_size=size, cursor=cursor, **options))  # type: ignore[arg-type]
    return pages


async def test_pages_hold_every_call_once_newest_first(store: Repositories) -> None:
    # Several share an instant: the id decides then.
    calls = [a_call(created=at(i // 3)) for i in range(11)]
    for call in calls:
        await store.calls.create(call)
    newest_first = sorted(calls, key=lambda call: (call.created, call.call_id), reverse=True)
    pages = await every_page(store, 4)
    assert [len(page.results) for page in pages] == [4, 4, 3]
    assert {page.total for page in pages} == {11}
    assert [call for page in pages for call in page.results] == newest_first
    oldest_first = await every_page(store, 11, sort="created")
    assert list(oldest_first[0].results) == newest_first[::-1]
    assert oldest_first[0].next is None

    back = await store.calls.page(page_size=4, cursor=pages[2].previous)
    assert back.results == pages[1].results
    back = await store.calls.page(page_size=4, cursor=back.previous)
    assert back.results == pages[0].results
    assert back.previous is None
    assert back.next == pages[0].next
    assert pages[0].previous is None


async def test_pages_do_not_slip_when_calls_come_and_go(store: Repositories) -> None:
    calls = [a_call(created=at(i)) for i in range(6)]
    for call in calls:
        await store.calls.create(call)
    first = await store.calls.page(page_size=2)
    await store.calls.create(a_call(created=at(100)))
    await store.calls.delete(first.results[-1].call_id)
    second = await store.calls.page(page_size=2, cursor=first.next)
    assert second.results == (calls[3], calls[2])


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "WyJuIl0", "WyJuIiwxLDJd", "bnVsbA", "A" * 5000, "WyJuIiwiMjAyNi0wMy0wMSIsImEiXQ"]
)
async def test_a_garbled_cursor_is_the_clients_fault(store: Repositories, cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor: is not a cursor of this listing"):
        await store.calls.page(cursor=cursor)


async def test_wrong_paging_is_the_clients_fault(store: Repositories) -> None:
    for page_size in (0, -1, 101):
        with pytest.raises(InvalidRequest, match="pageSize: must be 1 to 100"):
            await store.calls.page(page_size=page_size)
    with pytest.raises(InvalidRequest, match="sort: must be created or -created"):
        await store.calls.page(sort="voice")


async def found(store: Repositories, where: CallFilter) -> list[int]:
    page = await store.calls.page(where, sort="created")
    assert page.total == len(page.results)
    return [int(call.request["number"]) for call in page.results]


async def test_filters(store: Repositories) -> None:
    calls = [
        a_call(created=at(3600 * i), request={"number": i, "metadata": {"odd": str(i % 2), "a'\"%.": "x" * 5000}})
        for i in range(4)
    ]
    calls[1] = replace(calls[1], voice_id="mark", agent_id="ada")
    calls[2] = replace(calls[2], request={"number": 2}, summary="About ÉCLAIRS, 100% cream")
    stage = a_stage(calls[3])
    for call in calls[:3]:
        await store.calls.create(call)
    await store.calls.create(calls[3], [stage], [a_message(stage, 0, text="Two Éclairs, please_now")])
    await store.calls.mark_joined(calls[0].call_id, at(5))
    await store.calls.mark_ended(calls[0].call_id, EndReason.HANGUP, at(15))
    await store.calls.mark_ended(calls[1].call_id, EndReason.UNJOINED, at(3630))
    await store.calls.mark_joined(calls[3].call_id, at(3 * 3600 + 1))

    assert await found(store, CallFilter()) == [0, 1, 2, 3]
    assert await found(store, CallFilter(from_date=at(3600), to_date=at(7200))) == [1, 2]
    assert await found(store, CallFilter(time_of_day_start=time(13), time_of_day_end=time(14, 30))) == [1, 2]
    assert await found(store, CallFilter(duration_min_s=10)) == [0]
    assert await found(store, CallFilter(duration_max_s=10)) == [0, 1]
    assert await found(store, CallFilter(duration_max_s=9.9)) == [1]
    assert await found(store, CallFilter(metadata={"odd": "1"})) == [1, 3]
    assert await found(store, CallFilter(metadata={"odd": "1", "a'\"%.": "x" * 5000})) == [1, 3]
    assert await found(store, CallFilter(metadata={"odd": "2"})) == []
    assert await found(store, CallFilter(voice_ids=("other", "mark"))) == [1]
    assert await found(store, CallFilter(agent_ids=("ada", "bob"))) == [1]
    assert await found(store, CallFilter(search="éclair")) == [2, 3]
    assert await found(store, CallFilter(search="100%")) == [2]
    assert await found(store, CallFilter(search="0% c\0")) == []
    assert await found(store, CallFilter(search="e_n")) == [3]
    assert await found(store, CallFilter(live=True)) == [3]


async def test_a_restart_ends_what_was_left_behind(database: Database, store: Repositories) -> None:
    live, silent, waiting, late, over, later = (a_call(created=at(-60 * i)) for i in range(6))
    stage = a_stage(live)
    for call in (silent, late, over, later):
        await store.calls.create(call)
    await store.calls.create(live, [stage], [a_message(stage, 0), a_message(stage, 1)])
    await store.calls.create(replace(waiting, join_deadline=at(99)))
    await store.events.append([an_event(stage, wall_s=7.25)])
    await store.calls.mark_joined(live.call_id, at(1))
    await store.calls.mark_joined(silent.call_id, at(2))
    await store.calls.mark_joined(over.call_id, at(2))
    await store.calls.mark_ended(over.call_id, EndReason.HANGUP, at(3))

    ended = {call.call_id: call for call in await store.calls.end_abandoned(at(50))}

    expected = [
        (live, EndReason.SYSTEM_ERROR, at(8.25)),
        (silent, EndReason.SYSTEM_ERROR, at(2)),
        (waiting, EndReason.SYSTEM_ERROR, at(50)),
        (late, EndReason.UNJOINED, late.join_deadline),
        (later, EndReason.UNJOINED, later.join_deadline),
    ]
    assert set(ended) == {call.call_id for call, _, _ in expected}
    for call, reason, when in expected:
        now = ended[call.call_id]
        assert (now.end_reason, now.ended) == (reason, when)
        assert await store.calls.get(call.call_id) == now
        assert (await store.events.of_call(call.call_id))[-1].type == "server_stopped"
    assert (await store.events.of_call(live.call_id))[-1].wall_s == 7.25
    assert (await store.events.of_call(live.call_id))[-1].severity is Severity.ERROR
    assert await found_ids(store, CallFilter(duration_min_s=7.25)) == [live.call_id]
    assert await store.calls.end_abandoned(at(51)) == ()


async def found_ids(store: Repositories, where: CallFilter) -> list[str]:
    return [call.call_id for call in (await store.calls.page(where)).results]


async def test_a_restart_leaves_the_calls_of_other_servers_alone(postgres_url: str) -> None:
    here = await Database.open(postgres_url, server_id="here/1")
    there = await Database.open(postgres_url, server_id="there/2")
    call = a_call()
    await Repositories.of(there).calls.create(call)
    assert await Repositories.of(here).calls.end_abandoned(at(99)) == ()
    assert len(await Repositories.of(there).calls.end_abandoned(at(99))) == 1
    await here.close()
    await there.close()


async def test_several_servers_may_start_at_once(url: str) -> None:
    databases = await asyncio.gather(*(Database.open(url) for _ in range(3)))
    await Repositories.of(databases[0]).calls.create(a_call())
    assert (await Repositories.of(databases[2]).calls.page()).total == 1
    for database in databases:
        await database.close()
