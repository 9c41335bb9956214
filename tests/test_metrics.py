from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from antiphon.call.messages import CallEvent, Severity
from antiphon.metrics import observe


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_turn_tells_how_long_the_caller_waited() -> None:
    before = value("antiphon_response_seconds_sum"), value("antiphon_response_seconds_count")
    observe(CallEvent(Severity.INFO, "agent_turn", "", {"ordinal": 1, "firstAudioMs": 1300}))
    observe(CallEvent(Severity.INFO, "agent_turn", "", {"ordinal": 0}))
    after = value("antiphon_response_seconds_sum"), value("antiphon_response_seconds_count")
    assert after[0] - before[0] == pytest.approx(1.3)
    assert after[1] - before[1] == 1


@pytest.mark.parametrize(
    ("kind", "stage"),
    [("transcription_failed", "transcriber"), ("generation_failed", "model"), ("speaking_failed", "voice")],
)
def test_failures_of_engines_are_counted_by_stage(kind: str, stage: str) -> None:
    before = value("antiphon_engine_errors_total", stage=stage)
    observe(CallEvent(Severity.ERROR, kind, ""))
    observe(CallEvent(Severity.INFO, "interruption", ""))
    assert value("antiphon_engine_errors_total", stage=stage) - before == 1
