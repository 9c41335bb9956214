from __future__ import annotations

import numpy as np
import pytest

from antiphon.call.prompt import Reaction
from antiphon.call.tools.outcomes import ResponseType, ToolOutcome
from antiphon.tools.built_in import carry_out
from antiphon.tools.tones import dial
from tests.tools.samples import FACTS, chosen


def test_hang_up_is_strict_unless_it_is_told_otherwise() -> None:
    done = carry_out(chosen({"toolName": "hangUp"})[0], {"reason": "done"}, FACTS)
    assert done.outcome == ToolOutcome("[Hanging up...]", response_type=ResponseType.HANG_UP, strict=True)
    soft = chosen({"toolName": "hangUp", "parameterOverrides": {"strict": False, "message": "Bye."}})[0]
    outcome = carry_out(soft, {}, FACTS).outcome
    assert (outcome.strict, outcome.closing_message) == (False, "Bye.")


def test_a_voicemail_is_said_before_the_call_ends() -> None:
    tool = chosen({"toolName": "leaveVoicemail"})[0]
    outcome = carry_out(tool, {"message": "Call me."}, FACTS).outcome
    assert outcome == ToolOutcome(
        "[Leaving voicemail...]", response_type=ResponseType.HANG_UP, closing_message="Call me.", strict=True
    )
    assert "message is required" in carry_out(tool, {}, FACTS).outcome.text


def test_tones_are_at_the_rate_of_the_call() -> None:
    overrides = {"toneDuration": "0.5s", "spaceDuration": "0.25s"}
    tool = chosen({"toolName": "playDtmfSounds", "parameterOverrides": overrides})[0]
    done = carry_out(tool, {"digits": "12#"}, FACTS)
    assert done.sound is not None
    assert np.array_equal(done.sound, dial("12#", 24_000, 0.5, 0.25))
    assert not done.outcome.failed
    assert tool.spec.reaction is Reaction.LISTENS


@pytest.mark.parametrize("digits", ["12x", "", 5])
def test_bad_digits_are_said(digits: object) -> None:
    done = carry_out(chosen({"toolName": "playDtmfSounds"})[0], {"digits": digits}, FACTS)
    assert done.sound is None
    assert done.outcome.failed
    assert 'The tool "playDtmfSounds" was not used' in done.outcome.text
