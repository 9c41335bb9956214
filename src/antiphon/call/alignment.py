"""Which words lie before a position of a reply's sound.

Speakers give sound without word times, so a clause's sound is shared out among its words by their length in
characters plus one for the gap, which is right to about a syllable for running speech. Positions and lengths
are samples at the output rate.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from antiphon.call.clauses import ClauseText

SECONDS_A_CHARACTER = 0.065
"""Typical English speech; used for a clause whose sound is not whole yet, until one is."""

_WORD = re.compile(r"\S+")


@dataclass(slots=True)
class Clause:
    """One clause and the sound made of it so far."""

    text: ClauseText
    samples: int = 0
    ended: bool = False


@dataclass(slots=True)
class Alignment:
    """Positions of a reply's words, clause by clause."""

    rate: int
    clauses: list[Clause] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Samples made so far."""
        return sum(clause.samples for clause in self.clauses)

    def heard_characters(self, text: str, position: int) -> int:
        """Length of the prefix of ``text`` whose words have been played to their end at ``position``."""
        heard = 0
        for clause in self.clauses:
            if clause.ended and position >= clause.samples:
                heard = clause.text.end
                position -= clause.samples
                continue
            return max(heard, self._heard_in(clause, text, position))
        return heard

    def _heard_in(self, clause: Clause, text: str, position: int) -> int:
        """The end, in ``text``, of the last word of ``clause`` that was played whole at ``position`` in the clause."""
        if position <= 0:
            return 0
        words = list(_WORD.finditer(text, clause.text.start, clause.text.end))
        if not words:
            return 0
        ends: list[int] = []
        weight = 0
        for word in words:
            weight += len(word.group()) + 1
            ends.append(weight)
        total = clause.samples if clause.ended else max(clause.samples, self._estimate(weight))
        if total == 0:
            return 0
        count = bisect_right(ends, position * weight / total)
        if not clause.ended:  # the last word is heard when the clause is, and that is not known yet
            count = min(count, len(words) - 1)
        return words[count - 1].end() if count else 0

    def _estimate(self, characters: int) -> int:
        """Samples that ``characters`` will take, by the clauses that are whole, else by what is typical."""
        whole = [clause for clause in self.clauses if clause.ended and clause.samples and clause.text.spoken]
        if whole:
            samples = sum(clause.samples for clause in whole)
            return characters * samples // sum(len(clause.text.spoken) + 1 for clause in whole)
        return int(characters * SECONDS_A_CHARACTER * self.rate)
