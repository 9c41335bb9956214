"""Words compared: how far a transcript is from what was said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
_ORDINALS = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"},
    "twelve": "twelfth",
}
_SAME = {
    **{"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "ok": "okay", "cannot": "can not"},
    **{"won't": "will not", "can't": "can not", "shan't": "shall not", "let's": "let us"},
}
_ENDINGS = (("n't", " not"), ("'m", " am"), ("'re", " are"), ("'ll", " will"), ("'ve", " have"))
_CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros"}
_SYMBOLS = {"%": " percent ", "&": " and ", "+": " plus ", "@": " at ", "=": " equals "}
_MONEY = re.compile(r"([$£€])\s?(\d[\d,]*)(?:\.(\d\d))?\b")
_TIME = re.compile(r"\b(\d{1,2}):(\d\d)\b")
_NUMBER = re.compile(r"(\d[\d,]*)(\.\d+)?(st|nd|rd|th)?(?![\w])|(\d+)")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def normalise_words(text: str) -> list[str]:
    """``text`` as lower-case words, written as they are said: no punctuation, numbers spelled, contractions undone."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    text = _MONEY.sub(_spell_money, text)
    text = _TIME.sub(lambda time: f"{_spell(int(time[1]))} {_spell_minutes(time[2])}", text)
    text = _NUMBER.sub(lambda number: f" {_spell_number(number)} ", text)
    for symbol, word in _SYMBOLS.items():
        text = text.replace(symbol, word)
    text = re.sub(r"\b([a-z])\.(?=[a-z]\b)", r"\1", text)  # a.m. is am
    return [word for said in _WORD.findall(text) for word in _undo_contraction(said).split()]


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


def _spell(number: int) -> str:
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")
    for size, name in _SCALES:
        if number >= size:
            rest = number % size
            return f"{_spell(number // size)} {name}" + (f" {_spell(rest)}" if rest else "")
    raise AssertionError


def _spell_digits(digits: str) -> str:
    return " ".join(_ONES[int(digit)] for digit in digits)


def _spell_minutes(minutes: str) -> str:
    if minutes == "00":
        return "o'clock"
    return f"oh {_ONES[int(minutes)]}" if minutes.startswith("0") else _spell(int(minutes))


def _spell_money(money: re.Match[str]) -> str:
    whole = f"{_spell(int(money[2].replace(',', '')))} {_CURRENCIES[money[1]]}"
    return f"{whole} {_spell(int(money[3]))}" if money[3] and money[3] != "00" else whole


def _spell_number(number: re.Match[str]) -> str:
    """Numbers as people say them: years in pairs, five or more bare digits (or a leading 0) digit by digit."""
    written = number[1] or number[4]
    digits = written.replace(",", "")
    if (len(digits) > 1 and digits.startswith("0")) or (len(digits) > 4 and "," not in written):
        said = _spell_digits(digits)
    elif len(digits) == 4 and "," not in written and digits[:2] not in ("10", "20") and digits[2:] != "00":
        low = f"oh {_ONES[int(digits[3])]}" if digits[2] == "0" else _spell(int(digits[2:]))
        said = f"{_spell(int(digits[:2]))} {low}"
    else:
        said = _spell(int(digits))
    if number[2]:
        said = f"{said} point {_spell_digits(number[2][1:])}"
    return _ordinal(said) if number[3] else said


def _ordinal(said: str) -> str:
    *before, last = said.split()
    if last in _ORDINALS:
        ordinal = _ORDINALS[last]
    else:
        ordinal = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*before, ordinal])
