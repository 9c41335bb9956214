"""Durable tools, and the tools of calls."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from antiphon.errors import Conflict, InvalidRequest
from antiphon.store.database import Database
from antiphon.store.ledger import Ledger
from antiphon.store.records import MessageRole, ToolRecord, ToolUse
from antiphon.store.repositories import Repositories
from antiphon.store.tools import Ownership, ToolSort
from tests.store.samples import a_call, a_call_tool, a_message, a_stage, a_tool, at

PUBLIC = tuple(a_tool(name, public=True, created=at(-60 - i)) for i, name in enumerate(("hangUp", "playDtmfSounds")))


async def test_a_tool_is_kept_changed_and_removed(store: Repositories) -> None:
    tool = a_tool("lookUp")
    await store.tools.create(tool)
    assert await store.tools.get(tool.tool_id) == tool
    assert await store.tools.by_name("lookUp") == tool
    assert await store.tools.by_name("lookup") is None
    changed = replace(tool, name="look", definition={"modelToolName": "look", "client": {}}, created=at(5))
    assert await store.tools.update(changed)
    assert await store.tools.get(tool.tool_id) == replace(changed, created=tool.created)
    assert not await store.tools.update(a_tool("other"))
    assert await store.tools.delete(tool.tool_id)
    assert not await store.tools.delete(tool.tool_id)
    assert await store.tools.get(tool.tool_id) is None


async def test_a_name_is_given_once(store: Repositories) -> None:
    first, second = a_tool("first"), a_tool("second")
    await store.tools.create(first)
    await store.tools.create(second)
    with pytest.raises(Conflict, match="first"):
        await store.tools.create(a_tool("first"))
    with pytest.raises(Conflict, match="first"):
        await store.tools.update(replace(second, name="first"))
    assert await store.tools.update(replace(second, definition={"modelToolName": "x", "client": {}}))
    assert (await store.tools.get(second.tool_id)) == replace(second, definition={"modelToolName": "x", "client": {}})


async def test_of_many_who_want_a_name_at_once_one_gets_it(store: Repositories) -> None:
    outcomes = await asyncio.gather(*(store.tools.create(a_tool("wanted")) for _ in range(6)), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 5 + ["NoneType"]


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        (ToolSort.DEFAULT, ["beta", "gamma", "alpha", "hangUp", "playDtmfSounds"]),
        (ToolSort.DISPLAY, ["hangUp", "playDtmfSounds", "beta", "gamma", "alpha"]),
        (ToolSort.ALPHABETIC, ["alpha", "beta", "gamma", "hangUp", "playDtmfSounds"]),
        (ToolSort.REVERSE_ALPHABETIC, ["playDtmfSounds", "hangUp", "gamma", "beta", "alpha"]),
        (ToolSort.CHRONOLOGIC, ["playDtmfSounds", "hangUp", "alpha", "gamma", "beta"]),
        (ToolSort.REVERSE_CHRONOLOGIC, ["beta", "gamma", "alpha", "hangUp", "playDtmfSounds"]),
    ],
)
async def test_public_and_own_tools_are_listed_together(store: Repositories, sort: ToolSort, names: list[str]) -> None:
    own = [a_tool(name, created=at(second)) for second, name in enumerate(("alpha", "gamma", "beta"))]
    for tool in own:
        await store.tools.create(tool)
    listed: list[ToolRecord] = []
    cursor: str | None = None
    pages = 0
    while cursor is not None or pages == 0:
        page = await store.tools.page(PUBLIC, sort=sort, cursor=cursor, page_size=2)
        listed, cursor, pages = listed + list(page.results), page.next, pages + 1
        assert page.total == 5
    assert [tool.name for tool in listed] == names
    assert {tool.tool_id: tool for tool in listed} == {tool.tool_id: tool for tool in (*own, *PUBLIC)}
    back = await store.tools.page(PUBLIC, sort=sort, cursor=page.previous, page_size=2)
    assert [tool.name for tool in back.results] == names[2:4]


async def test_tools_can_be_selected(store: Repositories) -> None:
    tool = a_tool("lookUp", definition={"modelToolName": "l", "description": "Finds 100% of RÉSUMÉS.", "client": {}})
    await store.tools.create(tool)
    assert (await store.tools.page(PUBLIC, ownership=Ownership.PRIVATE)).results == (tool,)
    assert (await store.tools.page(PUBLIC, ownership=Ownership.PUBLIC)).results == PUBLIC
    assert (await store.tools.page(ownership=Ownership.PUBLIC)).results == ()
    for search, found in (("HANG", 1), ("does", 2), ("0% of résumés", 1), ("_", 0), ("lookup", 1)):
        assert (await store.tools.page(PUBLIC, search=search)).total == found, search
    with pytest.raises(InvalidRequest):
        await store.tools.page(cursor="nonsense")


async def test_stages_have_tools(database: Database, store: Repositories) -> None:
    call, other = a_call(), a_call()
    stages = [a_stage(call, index=i) for i in range(2)]
    tools = [a_call_tool(stages[0], name, index=i, tool_id=None if i else "t") for i, name in enumerate("zab")]
    await store.calls.create(call, stages[:1], [], tools[::-1])
    await store.calls.create(other)
    assert await store.call_tools.of_call(call.call_id) == tuple(tools)
    assert await store.call_tools.of_stage(call.call_id, stages[0].stage_id) == tuple(tools)
    assert await store.call_tools.of_stage(other.call_id, stages[0].stage_id) == ()
    assert await store.call_tools.of_call(other.call_id) == ()
    later = a_call_tool(stages[1], "later")
    again = a_call_tool(stages[1], "a", index=1)
    async with Ledger(database) as ledger:
        ledger.append_stage(stages[1])
        ledger.append_call_tool(later)
        ledger.append_call_tool(later)  # again, as after a lost answer
        ledger.append_call_tool(again)
        await ledger.flush(call.call_id)
    assert ledger.counts.refused == 0
    assert await store.call_tools.of_call(call.call_id) == (*tools, later), "each once, the first stage's first"
    assert await store.call_tools.of_stage(call.call_id, stages[1].stage_id) == (later, again)
    assert await store.call_tools.of_stage(call.call_id, stages[0].stage_id) == tuple(tools)
    await store.calls.delete(call.call_id)
    assert await store.call_tools.of_stage(call.call_id, stages[0].stage_id) == ()


async def test_a_tool_knows_the_calls_that_had_it(store: Repositories) -> None:
    tool = a_tool("lookUp")
    calls = [a_call(created=at(second)) for second in range(3)]
    for number, call in enumerate(calls):
        stages = [a_stage(call, index=i) for i in range(2)]
        own = [a_call_tool(stage, f"look{stage.index}", tool_id=tool.tool_id) for stage in stages]
        theirs = [a_call_tool(stages[0], "other", tool_id="another")]
        await store.calls.create(call, stages, [], (own if number else []) + theirs)
        await store.messages.append(
            [
                a_message(
                    stages[0], 0, ordinal=None, role=MessageRole.TOOL_RESULT, tool_name="look0", error_details="x"
                ),
                a_message(stages[0], 1, role=MessageRole.TOOL_RESULT, tool_name="look0", error_details="HTTP 500"),
                a_message(stages[0], 2, role=MessageRole.TOOL_RESULT, tool_name="look0"),
                a_message(stages[0], 3, role=MessageRole.TOOL_RESULT, tool_name="other", error_details="HTTP 500"),
                a_message(stages[1], 0, ordinal=4, role=MessageRole.TOOL_RESULT, tool_name="look1", error_details="y"),
            ]
        )
    first = await store.tools.history(tool.tool_id, page_size=1)
    assert (first.results, first.total) == ((ToolUse(calls[2], 2),), 2)
    second = await store.tools.history(tool.tool_id, page_size=1, cursor=first.next)
    assert (second.results, second.next) == ((ToolUse(calls[1], 2),), None)
    assert (await store.tools.history("nobody")).results == ()
