from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from antiphon import metrics
from antiphon.call.messages import CallEvent, Severity
from antiphon.metrics import observe

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_turn_tells_how_long_the_caller_waited() -> None:
    before = value("antiphon_response_seconds_sum"), value("antiphon_response_seconds_count")
    observe(CallEvent(Severity.INFO, "agent_turn", "", {"ordinal": 1, "firstAudioMs": 1300}))
    observe(CallEvent(Severity.INFO, "agent_turn", "", {"ordinal": 0}))
    after = value("antiphon_response_seconds_sum"), value("antiphon_response_seconds_count")
    assert after[0] - before[0] == pytest.approx(1.3)
    assert after[1] - before[1] == 1


def test_a_turn_tells_when_each_of_its_steps_was_done() -> None:
    extras = {"transcriptMs": 300, "committedMs": 420, "firstTextMs": None, "firstSoundMs": 900, "firstAudioMs": 950}
    steps = {"transcript": 0.3, "committed": 0.42, "first_sound": 0.9, "first_audio": 0.95}
    every = (*steps, "first_text")
    before = {step: value("antiphon_turn_step_seconds_sum", step=step) for step in every}
    observe(CallEvent(Severity.INFO, "agent_turn", "", {"ordinal": 1, **extras}))
    after = {step: value("antiphon_turn_step_seconds_sum", step=step) for step in every}
    assert {step: after[step] - before[step] for step in every} == pytest.approx({**steps, "first_text": 0.0})


def test_the_page_lists_every_metric_and_nothing_else() -> None:
    found = sorted(
        (metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)),
        key=lambda metric: next(iter(metric.describe())).name,
    )
    rows = []
    for metric in found:
        told = next(iter(metric.describe()))
        name = told.name + ("_total" if told.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)
        rows.append(f"| `{name}` | {told.type} | {labels} | {told.documentation} |")
    listed = re.findall(r"^\| `antiphon_.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == rows


def test_the_page_lists_every_step_of_a_turn() -> None:
    listed = dict(re.findall(r"^\| `([a-z_]+)` \| `([A-Za-z]+Ms)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert {extra: step for step, extra in listed.items()} == metrics._STEPS


@pytest.mark.parametrize(
    ("kind", "stage"),
    [("transcription_failed", "transcriber"), ("generation_failed", "model"), ("speaking_failed", "voice")],
)
def test_failures_of_engines_are_counted_by_stage(kind: str, stage: str) -> None:
    before = value("antiphon_engine_errors_total", stage=stage)
    observe(CallEvent(Severity.ERROR, kind, ""))
    observe(CallEvent(Severity.INFO, "interruption", ""))
    assert value("antiphon_engine_errors_total", stage=stage) - before == 1
