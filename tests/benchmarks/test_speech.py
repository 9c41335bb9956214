from __future__ import annotations

import re

import pytest
from load.speech import FRAME_BYTES, FRAMES_A_REPLY, FRAMES_A_WORD, WORDS, Account, Reader, frame, spoken, tokens

CALLER = 17
REPLY = 170_003
WHOLE = spoken("".join(tokens(REPLY)))


def heard(data: bytes, *, chunk: int = 960) -> tuple[Reader, Account]:
    reader, account = Reader(), Account(CALLER)
    for at in range(0, len(data), chunk):
        for reply, position in reader.feed(data[at : at + chunk]):
            account.take(reply, position)
    account.finish(still_coming=False)
    return reader, account


def wrong(account: Account) -> tuple[int, int, int, int]:
    return account.lost, account.doubled, account.stale, account.crossed


def cut_out(first: int, last: int) -> bytes:
    """The reply without its frames from ``first`` to ``last``."""
    return WHOLE[: first * FRAME_BYTES] + WHOLE[last * FRAME_BYTES :]


@pytest.mark.parametrize("chunk", [960, 1920, 640, 961, 7, 100_000])
def test_a_whole_reply_is_read_however_it_is_cut(chunk: int) -> None:
    reader, account = heard(WHOLE, chunk=chunk)
    assert account.frames == FRAMES_A_REPLY == len(WHOLE) // FRAME_BYTES
    assert wrong(account) == (0, 0, 0, 0)
    assert reader.torn_bytes == 0


def test_a_reply_may_be_spoken_in_any_clauses() -> None:
    text = "".join(tokens(REPLY))
    words = text.split(" ")
    assert len(words) == WORDS
    for cut in range(1, WORDS):
        assert spoken(" ".join(words[:cut])) + spoken(" ".join(words[cut:])) == WHOLE
    assert re.fullmatch(r"(\S+ ?)+\.", text)


def test_lost_frames_are_counted() -> None:
    _, account = heard(cut_out(20, 23))
    assert wrong(account) == (3, 0, 0, 0)


def test_a_lost_end_is_counted() -> None:
    _, account = heard(WHOLE[: -FRAMES_A_WORD * FRAME_BYTES])
    assert account.lost == FRAMES_A_WORD


def test_the_end_is_not_missed_of_a_reply_that_the_caller_spoke_over_or_that_is_still_coming() -> None:
    for cut in ("excuse", "coming"):
        account = Account(CALLER)
        account.take(REPLY, 0)
        if cut == "excuse":
            account.excuse()
        account.finish(still_coming=cut == "coming")
        assert account.lost == 0


def test_doubled_frames_are_counted() -> None:
    _, account = heard(WHOLE[: 30 * FRAME_BYTES] + WHOLE[28 * FRAME_BYTES :])
    assert wrong(account) == (0, 2, 0, 0)


def test_audio_after_a_clear_is_stale() -> None:
    account = Account(CALLER)
    for position in range(5):
        account.take(REPLY, position)
    account.cut()
    account.take(REPLY, 5)
    account.take(REPLY + 1, 0)
    assert account.stale == 1
    account.take(REPLY, 6)
    assert account.stale == 2
    account.finish(still_coming=True)
    assert account.lost == 0


def test_audio_of_an_older_reply_is_stale_without_a_clear_too() -> None:
    account = Account(CALLER)
    account.excuse()
    account.take(REPLY + 1, 0)
    account.take(REPLY, 7)
    assert account.stale == 1


def test_audio_of_another_call_is_seen() -> None:
    _, account = heard(frame(REPLY, 0) + frame(180_001, 1) + frame(REPLY, 1))
    assert account.crossed == 1


@pytest.mark.parametrize("missing", [1, 2, 480, 959])
def test_torn_frames_are_seen_and_the_next_is_found(missing: int) -> None:
    at = 10 * FRAME_BYTES + 100 - missing // 2
    reader, account = heard(WHOLE[:at] + WHOLE[at + missing :])
    assert reader.torn_bytes > 0
    assert account.lost in (1, 2)
    assert account.next_position == FRAMES_A_REPLY


def test_silence_between_replies_is_nothing() -> None:
    reader, account = heard(bytes(3000) + WHOLE + bytes(5000))
    assert reader.torn_bytes == 0
    assert wrong(account) == (0, 0, 0, 0)


def test_what_is_held_of_a_frame_is_forgotten_at_a_clear() -> None:
    reader = Reader()
    reader.feed(WHOLE[:1500])
    reader.forget()
    assert reader.feed(WHOLE[:960]) == [(REPLY, 0)]
    assert reader.torn_bytes == 0
