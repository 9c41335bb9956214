"""Cutting a reply into clauses while it is still being written, so that speech can start with the first.

Whole sentences sound best, so they are waited for wherever there is time. There is none in two places. The
first clause is what the caller waits for: it is cut at any punctuation, or, when the model is slow, after a few
words. And where the sound made so far is about to run out, ``cut`` speaks what there is, rather than to fall
silent within a sentence. A fast model hence is spoken in sentences, a slow one in growing pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FIRST_WORDS = 4
"""Words that are enough for a first clause once ``FIRST_PATIENCE_S`` has passed (measured: docs/architecture.md)."""

FIRST_PATIENCE_S = 0.3
"""How long the first clause may wait for punctuation, from its first word on."""

FIRST_WORDS_AT_MOST = 12
"""Words after which the first clause is cut even from a fast model."""

SHORTEST_CLAUSE = 2
"""Words that a clause has at least, a sentence apart: one word alone sounds clipped."""

LONG_CLAUSE = 120
"""Characters from which on a comma is reason enough to cut, and twice that, any space."""

_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|\n+|[。！？]")
_PAUSE = re.compile(r"[,;:—–]+[\"'”’)\]]*(?=\s)|[.!?…]+[\"'”’)\]]*(?=\s)|\n+|[。！？、，]")
_SENTENCE_MARK = re.compile(r"[.!?…\n。！？]")
_MARK = re.compile(r"[,;:—–.!?…\n。！？、，]")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|etc|e\.g|i\.e|No|Jr|Sr)|\b[A-Z])\.$")
_LIST_NUMBER = re.compile(r"^\s*\d+\.$")
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
        self._began_at: float | None = None

    @property
    def text(self) -> str:
        """All text so far."""
        return self._text

    def push(self, delta: str, at: float) -> list[ClauseText]:
        """Add ``delta``, which came at ``at`` (seconds); return the clauses that became whole by it."""
        self._text += delta
        if self._began_at is None and delta.strip():
            self._began_at = at
        clauses: list[ClauseText] = []
        while (end := self._find_cut(at)) is not None:
            clauses.append(self._take(end))
        return clauses

    def cut(self) -> list[ClauseText]:
        """There is no time to wait: the whole words so far are a clause, where there are enough of them."""
        end = self._text.rfind(" ") + 1
        if len(_WORD.findall(self._text[self._cut : end])) < SHORTEST_CLAUSE:
            return []
        return [self._take(end)]

    def finish(self) -> list[ClauseText]:
        """No more text comes: the rest is the last clause."""
        return [self._take(len(self._text))] if self._text[self._cut :].strip() else []

    def _take(self, end: int) -> ClauseText:
        start, self._cut = self._cut, end
        clause = ClauseText(start, end, speakable(self._text[start:end]))
        self._count += bool(clause.spoken)
        return clause

    def _find_cut(self, at: float) -> int | None:
        rest = self._text[self._cut :]
        if self._count == 0:
            return self._first_cut(rest, at)
        for match in _matches(_SENTENCE_END, _SENTENCE_MARK, rest):
            if _ends_here(rest[: match.end()]):
                return self._cut + match.end()
        if len(rest) > LONG_CLAUSE:
            for match in _PAUSE.finditer(rest, LONG_CLAUSE // 2):
                return self._cut + match.end()
            if len(rest) > 2 * LONG_CLAUSE and (space := rest.rfind(" ")) > 0:
                return self._cut + space
        return None

    def _first_cut(self, rest: str, at: float) -> int | None:
        for match in _matches(_PAUSE, _MARK, rest):
            if not _ends_here(rest[: match.end()]):
                continue
            sentence = rest[match.start()] in ".!?…\n。！？"
            if sentence or len(_WORD.findall(rest[: match.end()])) >= SHORTEST_CLAUSE:
                return self._cut + match.end()
        waited_s = at - self._began_at if self._began_at is not None else 0.0
        enough = FIRST_WORDS if waited_s >= FIRST_PATIENCE_S else FIRST_WORDS_AT_MOST
        if len(rest.split()) > enough:
            *_, last = _WORD.finditer(rest)
            return self._cut + last.start()
        return None


def _matches(pattern: re.Pattern[str], begins_with: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """The matches of ``pattern``, found several times as fast where what each ``begins_with`` is looked for first."""
    first = begins_with.search(text)
    return iter(()) if first is None else pattern.finditer(text, first.start())


def _ends_here(text: str) -> bool:
    """Whether the punctuation at the end of ``text`` ends anything: not after "Dr." or a list's "1."."""
    return not (_ABBREVIATION.search(text) or _LIST_NUMBER.search(text))
