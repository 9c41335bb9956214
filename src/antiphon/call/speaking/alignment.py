"""Which words lie before a position of a reply's sound.

Speakers give sound without word times, so a clause's sound, up to where it falls silent, is shared out among its
words by their length in characters plus one for the gap, and some for the pause at a comma: right to about a
syllable for running speech. Positions and lengths are samples at the output rate.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field, replace

from antiphon.call.speaking.clauses import ClauseText

SECONDS_A_CHARACTER = 0.065
"""Typical English speech; used for a clause whose sound is not whole yet, until one is."""

PAUSE_CHARACTERS = 3
"""What a comma, or a sentence's end within a clause, adds to its word: about 0.2 s."""

_WORD = re.compile(r"\S+")


@dataclass(slots=True)
class Clause:
    """One clause and the sound made of it so far; ``voiced``: where that falls silent."""

    text: ClauseText
    samples: int = 0
    voiced: int = 0
    ended: bool = False
    word_ends: list[int] = field(default_factory=list)
    """Of each word, its end in the reply's text."""
    weights: list[int] = field(default_factory=list)
    """Of each word, its end in the clause's sound, in characters."""

    @classmethod
    def of(cls, text: ClauseText, reply_text: str) -> Clause:
        """A clause without sound yet; one with nothing to speak will never have any."""
        clause = cls(text, ended=not text.spoken)
        weight = 0
        for word in _WORD.finditer(reply_text, text.start, text.end):
            weight += len(word.group()) + 1
            clause.word_ends.append(word.end())
            clause.weights.append(weight)
            weight += PAUSE_CHARACTERS * (word.group()[-1] in ",;:.!?")
        return clause

    @property
    def weight(self) -> int:
        """Length of the clause's sound, in characters."""
        return self.weights[-1] if self.weights else 0


@dataclass(slots=True)
class Alignment:
    """Positions of a reply's words, clause by clause."""

    rate: int
    clauses: list[Clause] = field(default_factory=list)
    total: int = 0
    """Samples made so far."""
    unended: int = 0
    """Clauses of which more sound is to come."""
    _spoken_samples: int = 0
    """Length of all clauses that are whole, up to where each falls silent; of those with nothing to hear none."""
    _spoken_weight: int = 0
    """The same in characters."""

    def add(self, clause: Clause) -> None:
        """The next clause."""
        self.clauses.append(clause)
        self.total += clause.samples
        self.unended += not clause.ended

    def made(self, clause: int, samples: int, voiced: int | None, ended: bool) -> None:
        """``clause`` has ``samples`` of sound by now. Sound never shrinks and never grows after its end."""
        if clause >= len(self.clauses) or self.clauses[clause].ended:
            return
        part = self.clauses[clause]
        before, part.samples = part.samples, max(part.samples, samples)
        part.voiced = part.samples if voiced is None else min(voiced, part.samples)
        part.ended = ended
        self.total += part.samples - before
        if ended:
            self._count_ended()

    def end_at(self, clause: int) -> None:
        """No more sound comes: ``clause`` keeps the words that were made whole, those after it are left out."""
        del self.clauses[clause + 1 :]
        if clause == len(self.clauses) - 1 and not self.clauses[clause].ended:
            broken = self.clauses[clause]
            end = self._heard_in(broken, broken.samples) or broken.text.start
            words = bisect_right(broken.word_ends, end)
            del broken.word_ends[words:], broken.weights[words:]
            broken.text = replace(broken.text, end=end)
            broken.ended = True
        self.total = sum(kept.samples for kept in self.clauses)
        self._count_ended()

    def _count_ended(self) -> None:
        self.unended = sum(not clause.ended for clause in self.clauses)
        whole = [clause for clause in self.clauses if clause.ended and clause.voiced and clause.weight]
        self._spoken_samples = sum(clause.voiced for clause in whole)
        self._spoken_weight = sum(clause.weight for clause in whole)

    def heard_characters(self, position: int) -> int:
        """Length of the prefix of the reply's text whose words have been played to their end at ``position``."""
        heard = 0
        for clause in self.clauses:
            if not (clause.ended and position >= clause.samples):
                return max(heard, self._heard_in(clause, position))
            heard = clause.text.end
            position -= clause.samples
        return heard

    def _heard_in(self, clause: Clause, position: int) -> int:
        """The end of the last word of ``clause`` that was played whole at ``position`` in the clause."""
        length = clause.voiced if clause.ended else max(clause.voiced, self._estimate(clause.weight))
        if position <= 0 or length <= 0:
            return 0
        count = bisect_right(clause.weights, position * clause.weight / length)
        if not clause.ended:  # the last word is heard when the clause is, and that is not known yet
            count = min(count, len(clause.weights) - 1)
        return clause.word_ends[count - 1] if count else 0

    def _estimate(self, weight: int) -> int:
        """Samples that ``weight`` characters will take, by the clauses that are whole, else by what is typical."""
        if self._spoken_weight:
            return weight * self._spoken_samples // self._spoken_weight
        return int(weight * SECONDS_A_CHARACTER * self.rate)
