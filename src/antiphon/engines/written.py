"""Words with what their transcriber knows beside them."""

from __future__ import annotations


class Written(str):
    """Words as any others, and how sure their transcriber is that a sentence ends with them.

    ``ends``: probability, 0 to 1, that what follows the last word is a full stop, a question or an exclamation mark;
    ``None`` where nobody knows. A transcriber that cannot tell gives plain ``str``.
    """

    ends: float | None

    def __new__(cls, text: str, ends: float | None = None) -> Written:
        """``text`` with ``ends``."""
        written = super().__new__(cls, text)
        written.ends = ends
        return written


def ends_of(text: str) -> float | None:
    """How sure the transcriber of ``text`` is that a sentence ends with it; ``None`` where it cannot tell."""
    return text.ends if isinstance(text, Written) else None
