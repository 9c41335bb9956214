"""Stages, messages, events and keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from antiphon.call.messages import Modality, Severity
from antiphon.errors import InvalidRequest, StoreError
from antiphon.store.records import ApiKeyRecord, MessageRole, StageChanges
from antiphon.store.repositories import MessageMode, Repositories
from tests.store.samples import T0, a_call, a_message, a_stage, an_event, at


async def test_stages_come_in_order(store: Repositories) -> None:
    call, other = a_call(), a_call()
    stages = [a_stage(call, index=i) for i in range(3)]
    await store.calls.create(call, [stages[0]])
    await store.calls.create(other)
    await store.stages.create(stages[2])
    await store.stages.create(stages[1])
    assert await store.stages.of_call(call.call_id) == tuple(stages)
    first = await store.stages.page(call.call_id, page_size=2)
    assert (first.results, first.total) == (tuple(stages[:2]), 3)
    second = await store.stages.page(call.call_id, page_size=2, cursor=first.next)
    assert (second.results, second.next) == ((stages[2],), None)
    assert await store.stages.get(call.call_id, stages[1].stage_id) == stages[1]
    assert await store.stages.get(other.call_id, stages[1].stage_id) is None


async def test_a_stage_counts_tokens_and_errors(store: Repositories) -> None:
    call = a_call()
    stage = a_stage(call)
    await store.calls.create(call, [stage])
    changes = StageChanges(initial_token_count=12, latest_token_count=40, error_count=1)
    assert await store.stages.update(call.call_id, stage.stage_id, changes)
    assert not await store.stages.update("nobody", stage.stage_id, changes)
    expected = replace(stage, initial_token_count=12, latest_token_count=40, error_count=1)
    assert await store.stages.get(call.call_id, stage.stage_id) == expected


async def test_a_message_keeps_all_it_has(store: Repositories) -> None:
    call = a_call()
    stage = a_stage(call)
    message = a_message(
        stage,
        0,
        role=MessageRole.TOOL_RESULT,
        modality=Modality.TEXT,
        invocation_id="i1",
        tool_name="lookUp",
        error_details="HTTP 500",
        call_state={"seen": [1, 2.5, None, "é"]},
        metadata={"k": "v"},
    )
    await store.calls.create(call, [stage], [message])
    assert await store.messages.get(call.call_id, stage.stage_id, 0) == message
    assert await store.messages.get(call.call_id, stage.stage_id, 1) is None
    await store.messages.append([replace(message, text="what was heard of it")])
    assert await store.messages.of_call(call.call_id) == (replace(message, text="what was heard of it"),)


async def test_messages_of_the_last_stage_or_of_the_whole_call(store: Repositories) -> None:
    call = a_call()
    stages = [a_stage(call, index=i) for i in range(2)]
    await store.calls.create(call, stages)
    initial = [a_message(stage, 0, ordinal=None, audio_span=None, wall_span=None) for stage in stages]
    said = [a_message(stages[number // 2], 1 + number % 2, ordinal=number) for number in range(4)]
    # A transcript may come later than the answer to it.
    await store.messages.append([*said[::-1], *initial[::-1]])
    in_call, last_stage = MessageMode.IN_CALL, MessageMode.LAST_STAGE
    assert await store.messages.of_call(call.call_id, in_call) == tuple(said)
    assert await store.messages.of_call(call.call_id, last_stage) == (initial[1], said[2], said[3])
    assert await store.messages.of_stage(call.call_id, stages[0].stage_id) == (initial[0], said[0], said[1])
    assert await store.messages.of_stage("nobody", stages[0].stage_id) == ()
    first = await store.messages.page(call.call_id, in_call, page_size=3)
    assert (first.results, first.total) == (tuple(said[:3]), 4)
    second = await store.messages.page(call.call_id, in_call, page_size=3, cursor=first.next)
    assert (second.results, second.next) == ((said[3],), None)
    back = await store.messages.page(call.call_id, in_call, page_size=3, cursor=second.previous)
    assert (back.results, back.previous) == (first.results, None)
    assert (await store.messages.page(call.call_id)).results == (initial[1], said[2], said[3])
    page = await store.messages.page_of_stage(call.call_id, stages[0].stage_id, page_size=1)
    assert (page.results, page.total) == ((initial[0],), 3)
    calls_cursor = (await store.calls.page()).next
    assert calls_cursor is None
    with pytest.raises(InvalidRequest):
        await store.messages.page(call.call_id, cursor="WyJuIiwidGV4dCIsMV0")
    with pytest.raises(InvalidRequest):
        await store.messages.page(call.call_id, cursor="WyJuIiw5OTk5OTk5OTk5OTk5OTk5OTk5OTksMV0")


async def test_events_by_severity_and_type(store: Repositories) -> None:
    call = a_call()
    stage = a_stage(call)
    await store.calls.create(call, [stage])
    events = [
        an_event(stage, severity=severity, type=kind)
        for kind in ("first", "second")
        for severity in (Severity.DEBUG, Severity.INFO, Severity.WARNING, Severity.ERROR)
    ]
    events.append(an_event(stage, stage_id=None, wall_s=None, extras={"cause": {"deep": True}}))
    await store.events.append(events)
    await store.events.append(events[:2])  # again, as after a lost answer
    assert await store.events.of_call(call.call_id) == tuple(events)
    page = await store.events.page(call.call_id)
    assert page.results == tuple(event for event in events if event.severity is not Severity.DEBUG)
    page = await store.events.page(call.call_id, minimum_severity=Severity.WARNING, type="second")
    assert page.results == (events[6], events[7])
    assert page.total == 2
    first = await store.events.page(call.call_id, minimum_severity=Severity.DEBUG, page_size=5)
    second = await store.events.page(call.call_id, minimum_severity=Severity.DEBUG, page_size=5, cursor=first.next)
    assert (*first.results, *second.results) == tuple(events)
    assert (await store.events.page("nobody")).results == ()


async def test_keys(store: Repositories) -> None:
    keys = [ApiKeyRecord(prefix=f"p{i}", key_hash=f"hash {i}", name="", created=at(i)) for i in range(3)]
    keys[1] = replace(keys[1], name="Ada's", creator="ada", expiry=at(99))
    for key in keys:
        await store.keys.create(key)
    assert await store.keys.all() == (keys[2], keys[1], keys[0])
    first = await store.keys.page(page_size=2)
    assert (first.results, first.total) == ((keys[2], keys[1]), 3)
    assert (await store.keys.page(page_size=2, cursor=first.next)).results == (keys[0],)
    assert await store.keys.find("p1") == keys[1]
    assert await store.keys.find_by_hash("hash 1") == keys[1]
    assert await store.keys.find_by_hash("hash 1 ") is None
    assert await store.keys.revoke("p1")
    assert await store.keys.find_by_hash("hash 1") == replace(keys[1], revoked=True)
    assert not await store.keys.revoke("nobody")
    with pytest.raises(StoreError):
        await store.keys.create(ApiKeyRecord(prefix="p9", key_hash="hash 0", name="", created=T0))
    assert await store.keys.delete("p0")
    assert not await store.keys.delete("p0")
