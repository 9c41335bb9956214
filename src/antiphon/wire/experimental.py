"""``experimentalSettings`` that this server knows: ``backchannels`` and ``endOfTurn``, on unless set to false."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.wire.call_request import CallRequest


@dataclass(frozen=True, slots=True)
class Switches:
    """``backchannels``: a reply goes on after an "mm-hmm". ``end_of_turn``: unfinished sentences are waited for."""

    backchannels: bool = True
    end_of_turn: bool = True


def switches(request: CallRequest) -> Switches:
    """What the request switches off. Anything else in ``experimentalSettings`` is kept and has no effect."""
    settings = request.experimental_settings or {}
    return Switches(settings.get("backchannels") is not False, settings.get("endOfTurn") is not False)
