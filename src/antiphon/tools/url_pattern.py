"""``https://host/items/{id}?kind={kind}``: where the placeholders are, and what the URL is once they are filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urlsplit

PLACEHOLDER = re.compile(r"\{([^{}/?#]+)\}")


def placeholders(pattern: str) -> tuple[str, ...]:
    """The names in braces, each once, in their order."""
    return tuple(dict.fromkeys(PLACEHOLDER.findall(pattern)))


def problem(pattern: str) -> str | None:
    """Why this cannot be the URL of a tool, or ``None``."""
    try:
        parts = urlsplit(pattern)
        parts.port  # noqa: B018  (parsed when read)
    except ValueError as error:
        return f"is not a URL: {error}"
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        return "has to be a URL that starts with http:// or https:// and names a host"
    if "@" in parts.netloc:
        return "may not hold a user name or a password; use requirements.httpSecurityOptions"
    if "{" in parts.netloc or "}" in parts.netloc:
        return "may have placeholders in the path and the query only"
    return None


def fill(pattern: str, values: Mapping[str, str], query: Sequence[tuple[str, str]]) -> str:
    """The URL with ``values`` in place of the placeholders and ``query`` added.

    Whatever a value holds it stays within its place: it is percent-encoded, and a path segment that would be
    empty, ``.`` or ``..`` is a ``ValueError``, as is a placeholder without a value (the text is fit for the model).
    """
    address, _, _fragment = pattern.partition("#")
    supervisor, _, written_query = address.partition("?")
    scheme, _, rest = supervisor.partition("://")
    host, slash, path = rest.partition("/")
    segments = [_segment(segment, values) for segment in path.split("/")]
    pairs = [PLACEHOLDER.sub(_filler(values), written_query)] if written_query else []
    pairs += [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query]
    url = f"{scheme}://{host}{slash}{'/'.join(segments)}"
    return f"{url}?{'&'.join(pairs)}" if pairs else url


def _segment(segment: str, values: Mapping[str, str]) -> str:
    filled = PLACEHOLDER.sub(_filler(values), segment)
    if filled != segment and filled in ("", ".", ".."):
        names = " and ".join(PLACEHOLDER.findall(segment))
        raise ValueError(f"{names} may not be empty or dots alone")
    return filled


def _filler(values: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def fill_one(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ValueError(f"{match[1]} is required")
        return quote(values[match[1]], safe="")

    return fill_one
