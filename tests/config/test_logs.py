from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from antiphon.config import logs
from antiphon.config.config import Log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_exception_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="json"))
    for log in (structlog.get_logger("ours").exception, logging.getLogger("theirs").exception):
        try:
            raise ValueError("what the caller said")
        except ValueError:
            log("it broke")
    lines = written(capsys)
    assert [line["event"] for line in lines] == ["it broke", "it broke"]
    assert all(line["error"] == "ValueError" and "test_logs.py" in str(line["where"]) for line in lines)
    assert "caller" not in str(lines)


def test_libraries_stay_quiet_and_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="json", level="info"))
    logging.getLogger("uvicorn.error").info("WebSocket /join?token=secret")
    structlog.get_logger().debug("little")
    structlog.get_logger().info("much", call_id="1")
    (line,) = written(capsys)
    assert (line["event"], line["level"], line["call_id"]) == ("much", "info", "1")


def test_for_people_it_is_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format="console"))
    structlog.get_logger().warning("careful", late_ms=5)
    assert "careful" in capsys.readouterr().err
