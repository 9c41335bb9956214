"""A thousand conversations by dice. One that fails is shown by the command in its message."""

from __future__ import annotations

import pytest

from tests.support.random_conversation import RandomConversation

A_TEST = 100


@pytest.mark.parametrize("first", range(0, 1_000, A_TEST))
def test_nothing_is_broken_whatever_happens(first: int) -> None:
    for seed in range(first, first + A_TEST):
        RandomConversation(seed).run()


def test_a_seed_is_a_conversation() -> None:
    stories = [[(at, str(what)) for at, what in RandomConversation(7).run().story] for _ in range(2)]
    assert stories[0] == stories[1]
