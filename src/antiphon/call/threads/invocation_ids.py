"""The ids of invocations that a call's side threads have had, so that no id is two invocations'."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

REMEMBERED = 1024
"""Invocations that are over and still known."""


class Claims:
    """``taken`` tells whether the main conversation has had an invocation of that id."""

    def __init__(self, taken: Callable[[str], bool]) -> None:
        self._taken = taken
        self._claimed: OrderedDict[str, bool] = OrderedDict()

    def unused(self, invocation: str) -> str:
        """An id that the call has not had: this one, or this one with a number after it."""
        unused, number = invocation, 1
        while unused in self._claimed or self._taken(unused):
            number += 1
            unused = f"{invocation}-{number}"
        return unused

    def claim(self, invocation: str) -> str:
        """The same, taken for a thread."""
        claimed = self.unused(invocation)
        self._claimed[claimed] = False
        while len(self._claimed) > REMEMBERED:
            self._claimed.popitem(last=False)
        return claimed

    def answered_beforehand(self, invocation: str) -> None:
        """Nobody wants to know what the tool itself says."""
        self._claimed[invocation] = True

    def has(self, invocation: str) -> bool:
        """It is, or was, a thread's."""
        return invocation in self._claimed

    def wanted(self, invocation: str) -> bool:
        """What comes of it is of interest."""
        return not self._claimed.get(invocation, False)
