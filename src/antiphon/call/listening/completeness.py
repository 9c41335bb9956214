"""Whether the caller's words so far end a sentence: the second opinion beside the end-of-turn model's.

That model listens to the melody and takes some whole sentences for unfinished ones, most of all of voices it does not
know, and "My name is" for a finished one. Words know better in both cases; where they do not, the melody decides.
The thresholds were chosen on other sentences than those of ``benchmarks/turn_set.py``.
"""

from __future__ import annotations

import re
from enum import Enum

SURE = 0.6
"""From this probability on a transcriber's full stop is believed: below it, it stands as often after half a
sentence."""

NEVER = 2.0
"""No opinion reaches it."""

_MARKS = (".", "?", "!", "。", "？", "！", "؟", "।")
_GOES_ON = ("...", "…", "-", "–", "—", ",", ";", ":", "、", "，")
_QUOTES = "\"'”’»)] "

_LEADS_ON = frozenset(
    {"a", "an", "the", "my", "your", "his", "its", "our", "their", "every", "very", "um", "uh", "er", "erm"}
    | {"and", "or", "but", "nor", "because", "if", "when", "while", "although", "unless", "whose", "which"}
    | {"i'm", "i've", "i'll", "i'd", "it's", "that's", "there's", "we're", "they're", "you're", "he's", "she's"}
    | {"we've", "they've", "you've", "we'll", "they'll", "you'll", "he'll", "she'll", "who's", "what's", "where's"}
)
"""English words after which something is still to come, whatever stop a transcriber puts there."""

_MAY_LEAD_ON = frozenset(
    {"of", "to", "from", "with", "for", "at", "into", "than", "as", "like", "between", "during", "any", "so"}
    | {"i", "we", "they", "he", "she", "is", "are", "was", "were", "am", "be", "will", "would", "could", "should"}
    | {"can", "may", "might", "must", "shall", "who", "until", "through"}
)
"""The same, but a question or a short answer may end with them: "Where are you from?" and "Yes, I am." do."""

_SHORT = 3
"""Words of a short answer."""

_CLAUSE = re.compile(
    r"(?:(?:and|but|so|well|yes|no),? )?"
    r"(?:if|when|while|because|although|though|since|unless|whenever|as soon as|after|before|until)\b[^,?]*",
    re.IGNORECASE,
)
"""A clause that a main clause must follow: "When I press the red button"."""

_SENTENCE = re.compile(r"(?<=[.?!])\s+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Ending(Enum):
    """How words end."""

    NONE = "none"
    """there are no words"""
    ENDED = "ended"
    """surely with a sentence"""
    LIKELY = "likely"
    """with a sentence, by a transcriber that cannot say how sure it is"""
    DOUBTFUL = "doubtful"
    """with a stop that the transcriber doubts, or in figures, of which more may come"""
    BARE = "bare"
    """without a stop, by a transcriber that knows of stops"""
    UNMARKED = "unmarked"
    """without a stop, by a transcriber that may not know any"""
    OPEN = "open"
    """in the middle of a sentence"""


_NEEDED = {
    Ending.ENDED: 0.0,
    Ending.LIKELY: 0.1,
    Ending.DOUBTFUL: 0.6,
    Ending.BARE: 0.9,
    Ending.OPEN: NEVER,
}


def ending(text: str, certainty: float | None, *, english: bool) -> Ending:
    """How ``text`` ends. ``certainty``: the transcriber's, 0 to 1, that a sentence does; ``None``: it cannot tell.

    What is known of English words is used only where they are ``english``.
    """
    text = text.strip().rstrip(_QUOTES)
    if not text:
        return Ending.NONE
    if text.endswith(_GOES_ON):
        return Ending.OPEN
    marked = text.endswith(_MARKS)
    if english:
        sentence = _SENTENCE.split(text)[-1]
        words = _WORD.findall(sentence.lower().replace("’", "'"))
        last = words[-1] if words and not _in_figures(text) else ""
        if last in _LEADS_ON or (last in _MAY_LEAD_ON and not marked):
            return Ending.OPEN
        if not sentence.endswith("?"):
            if _CLAUSE.fullmatch(sentence.rstrip("".join(_MARKS))):
                return Ending.OPEN
            if last in _MAY_LEAD_ON and len(words) > _SHORT:
                return Ending.DOUBTFUL
    if not marked:
        return Ending.UNMARKED if certainty is None else Ending.BARE
    if _in_figures(text) or (certainty is not None and certainty < SURE):
        return Ending.DOUBTFUL
    return Ending.LIKELY if certainty is None else Ending.ENDED


def _in_figures(text: str) -> bool:
    """Ends with a number; it may be part of a longer one, dictated in groups."""
    return text.rstrip("".join(_MARKS))[-1:].isdigit()


def needed_completeness(words: Ending, threshold: float) -> float:
    """What the end-of-turn model's probability must reach for the turn to be over, where the words end like that.

    ``threshold`` is for words that say nothing about it.
    """
    return _NEEDED.get(words, threshold)
