"""Words compared: how far a transcript is from what was said.

Numbers are compared digit by digit, however they are written or said: "4729", "four seven two nine" and "forty-seven
twenty-nine" are the same four words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

_BELOW_20 = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_SMALL = {word: number for number, word in enumerate(_BELOW_20)}
_TENS = {
    word: 10 * number
    for number, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2)
}
_SCALES = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_IRREGULAR_ORDINALS = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"},
    "twelve": "twelfth",
}
_SAME = {
    **{"mr": "mister", "mrs": "missus", "dr": "doctor", "ok": "okay", "cannot": "can not"},
    **{"won't": "will not", "can't": "can not", "shan't": "shall not", "let's": "let us"},
}
_ENDINGS = (("n't", " not"), ("'m", " am"), ("'re", " are"), ("'ll", " will"), ("'ve", " have"))
_CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros"}
_SYMBOLS = {"%": " percent ", "&": " and ", "+": " plus ", "@": " at ", "=": " equals "}
_MONEY = re.compile(r"([$£€])\s?(\d[\d,]*)(?:\.(\d\d))?\b")
_TIME = re.compile(r"\b(\d{1,2}):(\d\d)\b")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")
_ORDINAL = re.compile(r"\b(\d\d?)(?:st|nd|rd|th)\b")
_GROUPING = re.compile(r"(?<=\d),(?=\d{3}\b)")
_WORD = re.compile(r"\d|[^\W\d_]+(?:'[^\W\d_]+)*")


def normalise_words(text: str) -> list[str]:
    """``text`` as lower-case words: no punctuation, numbers as single digits, contractions undone."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    text = _MONEY.sub(lambda money: f"{money[2]} {_CURRENCIES[money[1]]} {_cents(money[3])}", text)
    text = _TIME.sub(lambda time: f"{time[1]} {_cents(time[2])}", text)
    text = _ORDINAL.sub(lambda ordinal: _spell_ordinal(int(ordinal[1])), text)
    text = _DECIMAL.sub(" point ", _GROUPING.sub("", text))
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = re.sub(r"\b([a-z])\.(?=[a-z]\b)", r"\1", text)  # a.m. is am
    words = [word for said in _WORD.findall(text) for word in _undo_contraction(said).split()]
    return list(_as_digits(words))


def word_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Substitutions, deletions and insertions between two lists of words (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for count, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], count
        for index, other in enumerate(heard, start=1):
            diagonal, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, diagonal + (word != other))
    return row[-1]


def word_error_rate(reference: str, heard: str) -> float:
    """Word errors per word of ``reference``; where that has no words, 0 if nothing was heard, else 1."""
    said = normalise_words(reference)
    words = normalise_words(heard)
    if not said:
        return float(bool(words))
    return word_errors(said, words) / len(said)


def _undo_contraction(word: str) -> str:
    if word in _SAME:
        return _SAME[word]
    for ending, full in _ENDINGS:
        if word.endswith(ending):
            return word.removesuffix(ending) + full
    return word.replace("'", "")


def _cents(digits: str | None) -> str:
    return "" if digits is None or digits == "00" else digits


def _spell_ordinal(number: int) -> str:
    """``number``, below 100, as an ordinal word."""
    if number >= 20:
        tens = list(_TENS)[number // 10 - 2]
        return f"{tens} {_spell_ordinal(number % 10)}" if number % 10 else f"{tens[:-1]}ieth"
    word = _BELOW_20[number]
    return _IRREGULAR_ORDINALS.get(word, f"{word}th")


def _as_digits(words: Iterable[str]) -> Iterator[str]:
    """``words`` with every spelled number as its digits. ``whole`` counts the thousands of it, ``part`` the rest."""
    whole, part = 0, -1
    joining = False
    for word in words:
        if word == "and" and part > 0 and part % 100 == 0:
            joining = True  # "two hundred and five"
            continue
        number = _SMALL.get(word, _TENS.get(word))
        if number is not None and number > 0 and _continues(whole, part, number):
            part += number
        elif word == "hundred" and 0 < part < 100:
            part *= 100
        elif word in _SCALES and part > 0:
            whole, part = whole + part * _SCALES[word], 0
        else:
            yield from _digits(whole, part)
            if joining:
                yield "and"
            whole, part = 0, -1
            if number is not None:
                part = number
            else:
                yield word
        joining = False
    yield from _digits(whole, part)
    if joining:
        yield "and"


def _continues(whole: int, part: int, number: int) -> bool:
    """Whether ``number`` said after ``whole + part`` is the rest of it, not a number of its own."""
    if part % 100 == 0 and (part > 0 or (part == 0 and whole > 0)):
        return True
    return number < 10 and part % 100 >= 20 and part % 10 == 0


def _digits(whole: int, part: int) -> str:
    return str(whole + part) if part >= 0 else ""
