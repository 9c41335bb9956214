"""What waits for a far end that may be slow or gone."""

from __future__ import annotations

import asyncio

from antiphon.media.data_connection import outbox
from antiphon.media.data_connection.outbox import MOST_AUDIO_FRAMES, MOST_MESSAGES, Outbox


def made() -> tuple[Outbox, list[str]]:
    told: list[str] = []
    return Outbox(told.append), told


async def taken(box: Outbox) -> list[str | bytes]:
    items: list[str | bytes] = []
    while True:
        taking = asyncio.ensure_future(box.take())
        await asyncio.sleep(0)
        if not taking.done():
            taking.cancel()
            return items
        items.append(taking.result())


async def test_messages_and_audio_keep_their_order() -> None:
    box, told = made()
    box.put_message("a")
    box.put_audio(b"1")
    box.put_audio(b"2")
    box.put_message("b")
    assert await taken(box) == ["a", b"1", b"2", "b"]
    assert told == []


async def test_whoever_takes_waits_for_what_comes() -> None:
    box, _ = made()
    taking = asyncio.ensure_future(box.take())
    await asyncio.sleep(0)
    box.put_message("a")
    assert await taking == "a"


async def test_the_oldest_audio_goes_first_and_messages_stay() -> None:
    box, told = made()
    box.put_message("kept")
    for number in range(MOST_AUDIO_FRAMES + 10):
        box.put_audio(bytes([number % 256]))
    items = await taken(box)
    assert items[0] == "kept"
    assert items[1:] == [bytes([number % 256]) for number in range(10, MOST_AUDIO_FRAMES + 10)]
    assert box.dropped_frames == 10
    assert told == ["audio"], "told once"


async def test_of_too_many_messages_the_oldest_go() -> None:
    box, told = made()
    for number in range(MOST_MESSAGES + 3):
        box.put_message(str(number))
    assert (await taken(box))[0] == "3"
    assert (box.dropped_messages, told) == (3, ["messages"])


async def test_long_messages_are_bounded_too_but_the_newest_stays() -> None:
    box, _ = made()
    long = "x" * outbox.MOST_MESSAGE_CHARACTERS
    box.put_message("a")
    box.put_message(long + "1")
    box.put_message(long + "2")
    assert await taken(box) == [long + "2"]
    assert box.dropped_messages == 2
    box.put_message("b")
    box.put_message("c")
    assert await taken(box) == ["b", "c"], "what was taken counts no more"


async def test_what_is_dropped_is_told_again_for_somebody_new() -> None:
    box, told = made()
    for _ in range(2):
        for _ in range(MOST_AUDIO_FRAMES + 2):
            box.put_audio(b"")
        box.renew()
    assert told == ["audio", "audio"]


async def test_a_message_can_be_withdrawn_until_it_is_taken() -> None:
    box, _ = made()
    box.put_message("a", "one")
    box.put_message("b", "two")
    assert await box.take() == "a"
    assert not box.withdraw("one")
    assert box.withdraw("two")
    assert not box.withdraw("two")
    assert not box.withdraw("three")
    assert await taken(box) == []


async def test_emptied_waits_until_the_last_one_is_dealt_with() -> None:
    box, _ = made()
    box.put_message("a")
    waiting = asyncio.ensure_future(box.emptied())
    assert await box.take() == "a"
    await asyncio.sleep(0)
    assert not waiting.done(), "it is being sent"
    taking = asyncio.ensure_future(box.take())
    await waiting
    taking.cancel()
