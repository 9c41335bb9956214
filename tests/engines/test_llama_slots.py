"""Slots for calls, and what of a long call still fits: no model needed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.engines.llama_slots import Slots, Window
from antiphon.errors import EngineError


def prompt(count: int, characters: int = 400, system: str = "Be brief.") -> Prompt:
    """``count`` messages, the first and the last of them the user's."""
    roles = ("user", "assistant")
    return Prompt("c", system, tuple(ChatMessage(roles[n % 2], "x" * characters) for n in range(count)))


async def test_a_conversation_keeps_its_slot() -> None:
    slots = Slots(2)
    first, second = await slots.take("a"), await slots.take("b")
    assert first != second
    slots.release(first)
    slots.release(second)
    assert (await slots.take("b"), await slots.take("a")) == (second, first)


async def test_a_new_conversation_takes_the_slot_that_was_idle_longest() -> None:
    slots = Slots(2)
    a, b = await slots.take("a"), await slots.take("b")
    slots.release(b)
    slots.release(a)
    assert await slots.take("c") == a  # taken before b
    slots.release(a)
    assert await slots.take("a") == b


async def test_a_conversation_waits_for_its_own_slot_though_another_is_free() -> None:
    slots = Slots(2)
    mine = await slots.take("a")
    waiting = asyncio.ensure_future(slots.take("a"))
    await asyncio.wait([waiting], timeout=0)
    assert not waiting.done()
    slots.release(mine)
    assert await waiting == mine


async def test_who_waits_is_served_in_order() -> None:
    slots = Slots(1)
    index = await slots.take("a")
    waiting = [asyncio.ensure_future(slots.take(name)) for name in "bcd"]
    for number, task in enumerate(waiting):
        await asyncio.wait(waiting, timeout=0)
        assert [other.done() for other in waiting] == [n < number for n in range(3)]
        slots.release(index)
        assert await task == index


async def test_a_slot_is_not_lost_when_the_waiting_is_cancelled() -> None:
    slots = Slots(1)
    index = await slots.take("a")
    given_up, patient = asyncio.ensure_future(slots.take("b")), asyncio.ensure_future(slots.take("c"))
    await asyncio.wait([given_up], timeout=0)
    given_up.cancel()
    await asyncio.wait([given_up])
    slots.release(index)
    assert await patient == index


async def test_a_slot_is_not_lost_when_it_comes_at_the_moment_of_the_cancelling() -> None:
    slots = Slots(1)
    index = await slots.take("a")
    given_up = asyncio.ensure_future(slots.take("b"))
    await asyncio.wait([given_up], timeout=0)
    slots.release(index)  # the slot is on its way to b ...
    given_up.cancel()  # ... who no longer wants it
    await asyncio.wait([given_up])
    assert await asyncio.wait_for(slots.take("c"), 5) == index


def test_what_fits_is_sent_whole() -> None:
    window = Window(4096, 300)
    messages, shortened = window.fit(prompt(5))
    assert len(messages) == 5
    assert not shortened


def test_of_a_long_call_the_oldest_is_left_out_and_much_at_once() -> None:
    window = Window(1024, 100)
    counts = []
    changes = 0
    for count in range(1, 60, 2):
        messages, shortened = window.fit(prompt(count))
        assert messages[-1] is prompt(count).messages[-1] or messages[-1] == prompt(count).messages[-1]
        assert messages[0].role == "user"
        counts.append(len(messages))
        changes += shortened
    assert max(counts) <= 8
    assert 0 < changes < len(counts) // 2  # most turns begin as the one before did


def test_a_refusal_teaches_how_long_tokens_are() -> None:
    window = Window(1024, 100)
    long = prompt(7, characters=300)
    assert len(window.fit(long)[0]) == 7
    window.overflowed(long, prompt_tokens=2500)
    messages, shortened = window.fit(long)
    assert len(messages) == 1
    assert not shortened


def test_what_can_never_fit_is_an_error() -> None:
    window = Window(1024, 100)
    with pytest.raises(EngineError) as error:
        window.overflowed(prompt(1, characters=100_000), prompt_tokens=30_000)
    assert not error.value.retryable


def test_a_conversation_that_begins_anew_is_whole_again() -> None:
    window = Window(1024, 100)
    window.fit(prompt(41))
    assert len(window.fit(prompt(1))[0]) == 1
    assert len(window.fit(prompt(3))[0]) == 3


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 2000)), max_size=20),
    st.integers(0, 20_000),
)
def test_the_newest_message_is_always_sent(turns: list[tuple[int, int]], system: int) -> None:
    window = Window(2048, 300)
    texts: list[ChatMessage] = []
    for characters, tokens in turns:
        texts += [ChatMessage("user", "x" * characters), ChatMessage("assistant", "Yes.")]
        now = Prompt("c", "s" * system, tuple(texts[:-1]))
        messages, _ = window.fit(now)
        assert tuple(messages) == now.messages[len(now.messages) - len(messages) :]
        assert messages
        assert messages[0].role == "user"
        window.counted(now, tokens)


async def test_conversations_in_the_background_share_one_slot() -> None:
    slots = Slots(3)
    call = await slots.take("call")
    first = await slots.take("call/a", background=True)
    waiting = asyncio.ensure_future(slots.take("call/b", background=True))
    await asyncio.wait([waiting], timeout=0)
    assert not waiting.done()
    assert await slots.take("other") not in (call, first)
    slots.release(first)
    assert await waiting == first


async def test_the_background_takes_another_slot_once_a_call_has_taken_its_own() -> None:
    slots = Slots(1)
    slots.release(await slots.take("call/a", background=True))
    slots.release(await slots.take("call"))
    assert await slots.take("call/a", background=True) == 0


async def test_whether_there_is_room() -> None:
    slots = Slots(1)
    index = await slots.take("call")
    assert not slots.has_room("call")
    assert not slots.has_room("other")
    slots.release(index)
    assert slots.has_room("other")
