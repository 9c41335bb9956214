"""Text from engines made fit to be sent and stored.

Some servers stream a character beyond U+FFFF as two halves, or break off between them; what cannot be encoded
would silence the whole connection. NUL is refused by PostgreSQL.
"""

from __future__ import annotations

import re

_UNFIT = re.compile("[\ud800-\udfff\0]")
_FIRST_HALF = re.compile("[\ud800-\udbff]\\Z")


def mended(text: str) -> str:
    """``text`` with halves joined, lone ones replaced by U+FFFD, and without NUL."""
    if not _UNFIT.search(text):
        return text
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class TextSanitizer:
    """The same for text that comes bit by bit: half a character waits for the other half."""

    def __init__(self) -> None:
        self._half = ""

    def push(self, delta: str) -> str:
        """What is whole with ``delta``."""
        text = self._half + delta
        if not _UNFIT.search(text):
            self._half = ""
            return text
        self._half = text[-1] if _FIRST_HALF.search(text) else ""
        return mended(text[: len(text) - len(self._half)])
