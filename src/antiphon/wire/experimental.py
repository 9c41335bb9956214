"""``experimentalSettings`` that this server knows: ``backchannels`` and ``endOfTurn``, on unless set to false."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.errors import FieldError
from antiphon.wire import json_text
from antiphon.wire.call_request import CallRequest

KNOWN = ("backchannels", "endOfTurn")


@dataclass(frozen=True, slots=True)
class Switches:
    """``backchannels``: a reply goes on after an "mm-hmm". ``end_of_turn``: unfinished sentences are waited for."""

    backchannels: bool = True
    end_of_turn: bool = True


def switches(request: CallRequest) -> Switches:
    """Return what the request switches off. Settings that are not known, of a stored request, have no effect."""
    settings = request.experimental_settings or {}
    return Switches(settings.get("backchannels") is not False, settings.get("endOfTurn") is not False)


def wrong_settings(settings: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield each setting that this server does not know, or that is not true, false or null."""
    for name, value in settings.items():
        path = f"experimentalSettings.{name[:64]}"
        if name not in KNOWN:
            yield FieldError(path, f"is not a setting of this server; there are: {', '.join(KNOWN)}")
        elif value is not None and not isinstance(value, bool):
            yield FieldError(path, f"expected true or false, got {json_text.kind(value)}")
