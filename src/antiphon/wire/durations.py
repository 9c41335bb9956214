"""Durations on the wire: ``"30s"``, ``"0.384s"``, ``"180.000000s"`` ↔ seconds.

The form is protobuf's ``Duration`` in JSON; the pattern is the one the OpenAPI file gives for every such field.
"""

from __future__ import annotations

import re
from decimal import Decimal

_PATTERN = re.compile(r"-?(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,9})?s")


def parse_duration(text: object) -> float:
    """Seconds, at least 0. Raises ``ValueError`` with what was expected."""
    if not isinstance(text, str) or _PATTERN.fullmatch(text) is None:
        raise ValueError('expected a duration in seconds such as "30s" or "0.384s"')
    seconds = float(text[:-1])
    if seconds < 0:
        raise ValueError("a duration may not be negative")
    return abs(seconds)  # "-0s" is 0


def format_duration(seconds: float) -> str:
    """The shortest form, to the nanosecond: 30.0 → ``"30s"``, 0.384 → ``"0.384s"``."""
    text = f"{Decimal(repr(float(seconds))):.9f}"
    text = text.rstrip("0").rstrip(".")
    return ("0" if text in ("-0", "") else text) + "s"
