"""What an engine's server says about a failure, as far as it may stand in a log and in a call's events.

The rule: of JSON only the fields that are made for a message (``error``, ``message``, ``detail`` and the like), of
anything else the beginning, one line of at most :data:`SHOWN` characters. An error may quote the request, so whatever
of it was sent (the prompt, what the caller said, the text to speak) is taken out, and so are keys, and what URLs hold
beside host and path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

SHOWN = 200
"""Characters of a reason, at most."""

QUOTED = "[…]"
"""Stands for what was taken out."""

_LOOKED_AT = 4_096
_RUN = 3
"""So many words in the order of the request are a quotation."""
_DIGITS = 4
_LONGEST_WORD = 40
"""Longer ones are tokens, not words."""
_LEAST_SECRET = 6
_DEPTH = 3

_FIELDS = ("message", "msg", "error", "detail", "errors", "title", "error_description", "reason")
_CODES = ("type", "code")
_WORD = re.compile(r"\w+")
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)(?:[^\s/@]*@)?([^\s?#\"'<>]*)(?:[?#][^\s\"'<>]*)?", re.IGNORECASE)
_KEY = re.compile(r"\b(?:bearer|basic)\s+\S+|\b(?:sk|pk|key|token)[-_][\w-]{6,}", re.IGNORECASE)
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


def reason(body: str, *, secrets: Sequence[str] = (), sent: Iterable[str] = ()) -> str:
    """One line of why, or ``""``, out of the body of an answer.

    Args:
        body: what the server answered with.
        secrets: keys and the like that were sent along.
        sent: the words of the request.

    """
    text = _message(body[:_LOOKED_AT])
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET:
            text = text.replace(secret, QUOTED)
    text = _URL.sub(r"\1\2", _KEY.sub(QUOTED, text))
    text = _without_quotations(" ".join(text.split()), sent)
    text = " ".join(QUOTED if len(word) > _LONGEST_WORD and "/" not in word else word for word in text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1].rstrip() + "…"


def _message(body: str) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        # JSON that is cut off or broken is not shown: the fields that quote a request cannot be told from the others.
        return "" if body.lstrip()[:1] in ("{", "[") else _TAG.sub(" ", body)
    return "; ".join(dict.fromkeys(_messages(value, _DEPTH)))


def _messages(value: Any, depth: int) -> Iterable[str]:
    """The messages in an error's JSON, and its type or code where that is all."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth:
        for item in value[:3]:
            yield from _messages(item, depth - 1)
    elif isinstance(value, dict) and depth:
        found = [text for name in _FIELDS for text in _messages(value.get(name), depth - 1) if text.strip()]
        where = value.get("loc")  # of FastAPI's validation errors
        if found and isinstance(where, list):
            found[0] = f"{'.'.join(str(part) for part in where)}: {found[0]}"
        codes = [str(value[name]) for name in _CODES if isinstance(value.get(name), str | int)]
        yield from found or codes[:1]


def _without_quotations(text: str, sent: Iterable[str]) -> str:
    """``text`` without runs of words, long numbers, and whole short messages, that stood in what was sent."""
    words = list(_WORD.finditer(text))
    plain = [word[0].casefold() for word in words]
    taken = [False] * len(words)
    for message in sent:
        theirs = _WORD.findall(message.casefold())
        length = min(_RUN, len(theirs))
        if not length:
            continue
        runs = {tuple(theirs[start : start + length]) for start in range(len(theirs) - length + 1)}
        digits = "".join(filter(str.isdigit, message))
        for place, word in enumerate(plain):
            if tuple(plain[place : place + length]) in runs:
                taken[place : place + length] = [True] * length
            elif len(word) >= _DIGITS and word.isdigit() and word in digits:  # however they are grouped
                taken[place] = True
    kept, end = "", 0
    for place, match in enumerate(words):
        if not taken[place]:
            continue
        joined = place > 0 and taken[place - 1]
        kept += "" if joined else text[end : match.start()] + QUOTED
        end = match.end()
    return kept + text[end:]
