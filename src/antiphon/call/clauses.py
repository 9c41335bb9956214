"""Cutting a reply into clauses while it is still being written, so that speech can start with the first.

The first clause is cut early (at any punctuation, or after ``FIRST_WORDS`` words) because the caller waits
for it; later ones are cut at sentence ends, or at a comma once they are long, because whole sentences sound
better and there is already sound to listen to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FIRST_WORDS = 5
"""Words after which the first clause is cut even without punctuation (measured: docs/architecture.md)."""

SHORTEST_FIRST_CLAUSE = 2
"""Words that a first clause has at least: one word alone sounds clipped before the rest is ready."""

LONG_CLAUSE = 120
"""Characters from which on a comma is reason enough to cut, and twice that, any space."""

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|\n+|[。！？]")
_PAUSE = re.compile(r"[,;:—–]+[\"'”’)\]]*(?=\s)|[.!?…]+[\"'”’)\]]*(?=\s)|\n+|[。！？、，]")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|No|Jr|Sr)|\b[A-Z])\.$")
_MARKUP = re.compile(r"\*+|`+|^#+\s*|^\s*[-•]\s+|_{2,}|~{2,}", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_SPEAKABLE = re.compile(r"\w")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class ClauseText:
    """A clause as the slice ``start`` to ``end`` of the reply's text, and what is to be spoken of it ("": nothing)."""

    start: int
    end: int
    spoken: str


def speakable(text: str) -> str:
    """``text`` without what only the eye needs: Markdown marks, link targets, doubled spaces."""
    plain = _MARKUP.sub("", _LINK.sub(r"\1", text))
    plain = " ".join(plain.split())
    return plain if _SPEAKABLE.search(plain) else ""


class ClauseSplitter:
    """Takes text as it comes, gives clauses as soon as they are whole."""

    def __init__(self) -> None:
        self._text = ""
        self._cut = 0
        self._count = 0

    @property
    def text(self) -> str:
        """All text so far."""
        return self._text

    def push(self, delta: str) -> list[ClauseText]:
        """Add ``delta``; return the clauses that became whole by it."""
        self._text += delta
        clauses: list[ClauseText] = []
        while (end := self._find_cut()) is not None:
            clauses.append(self._take(end))
        return clauses

    def finish(self) -> list[ClauseText]:
        """No more text comes: the rest is the last clause."""
        return [self._take(len(self._text))] if self._text[self._cut :].strip() else []

    def _take(self, end: int) -> ClauseText:
        start, self._cut = self._cut, end
        clause = ClauseText(start, end, speakable(self._text[start:end]))
        self._count += bool(clause.spoken)
        return clause

    def _find_cut(self) -> int | None:
        rest = self._text[self._cut :]
        if self._count == 0:
            return self._first_cut(rest)
        for match in _SENTENCE_END.finditer(rest):
            if not _ABBREVIATION.search(rest[: match.end()]):
                return self._cut + match.end()
        if len(rest) > LONG_CLAUSE:
            for match in _PAUSE.finditer(rest, LONG_CLAUSE // 2):
                return self._cut + match.end()
            if len(rest) > 2 * LONG_CLAUSE and (space := rest.rfind(" ")) > 0:
                return self._cut + space
        return None

    def _first_cut(self, rest: str) -> int | None:
        for match in _PAUSE.finditer(rest):
            words = len(_WORD.findall(rest[: match.end()]))
            whole = rest[match.start()] in ".!?…\n。！？"
            if _ABBREVIATION.search(rest[: match.end()]):
                continue
            if words >= SHORTEST_FIRST_CLAUSE or whole:
                return self._cut + match.end()
        starts = [match.start() for match in _WORD.finditer(rest)]
        if len(starts) > FIRST_WORDS:
            return self._cut + starts[FIRST_WORDS]
        return None
