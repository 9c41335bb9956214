"""What may be shown of an engine's error, and what may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.engines.reasons import QUOTED, SHOWN, reason

SAID = "My card number is 4929 1234 5678 9012 and I live in Elm Street"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"error": {"message": "model is overloaded", "type": "server_error", "code": 3}}, "model is overloaded"),
        ({"error": "out of memory"}, "out of memory"),
        ({"message": "no such voice"}, "no such voice"),
        (
            {"detail": [{"loc": ["body", "model"], "msg": "field required", "input": SAID}]},
            "body.model: field required",
        ),
        ({"detail": "Not Found"}, "Not Found"),
        ({"error": {"type": "rate_limit_exceeded"}}, "rate_limit_exceeded"),
        ({"error": {"code": 1301}}, "1301"),
        ({"title": "Bad Gateway", "status": 502}, "Bad Gateway"),
        ({"prompt": SAID, "echo": ["hello"]}, ""),
        ([1, 2], ""),
        ("the model is loading", "the model is loading"),
        ("", ""),
    ],
)
def test_of_json_only_messages_are_shown(body: Any, told: str) -> None:
    assert reason(json.dumps(body)) == told


def test_of_anything_else_the_beginning_is_shown_on_one_line() -> None:
    page = "<html><head><style>p {}</style><title>502 Bad Gateway</title></head>\n<body><h1>nginx</h1></body></html>"
    assert reason(page) == "502 Bad Gateway nginx"
    assert reason("upstream connect\n\terror") == "upstream connect error"
    long = reason("word " * 200)
    assert len(long) == SHOWN
    assert long.endswith("…")


def test_json_that_is_cut_off_is_not_shown() -> None:
    assert reason(json.dumps({"prompt": SAID, "error": "x" * 9_000})) == ""


@pytest.mark.parametrize(
    "message",
    [
        f"cannot answer: {SAID}",
        f"invalid input {json.dumps(SAID)}!",
        "bad text 'and I LIVE in, Elm' here",
        "unexpected 4929 in the request",
        "no: 12345678 is not 5678",
    ],
)
def test_nothing_that_was_sent_is_quoted(message: str) -> None:
    told = reason(json.dumps({"error": {"message": message}}), sent=("You are a bank.", SAID))
    assert QUOTED in told
    for secret in ("4929", "5678", "9012", "Elm", "card number"):
        assert secret not in told


def test_a_short_message_is_a_quotation_as_a_whole() -> None:
    assert reason("cannot understand Hello? here", sent=("Hello?",)) == f"cannot understand {QUOTED}? here"
    assert reason("this is not the way", sent=("the weather is not so nice",)) == "this is not the way"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wrong: Bearer abcdefgh", f"wrong: {QUOTED}"),
        ("Incorrect API key provided: sk-proj-12345678", f"Incorrect API key provided: {QUOTED}"),
        ("the key hunter2hunter2 is not known", f"the key {QUOTED} is not known"),
        ("see https://me:pw@host:1/path?token=1#x now", "see https://host:1/path now"),
        ("token " + "a1B2" * 20, f"token {QUOTED}"),
    ],
)
def test_no_key_is_shown(text: str, told: str) -> None:
    assert reason(text, secrets=["hunter2hunter2", "pw"]) == told
    assert reason(json.dumps({"error": {"message": text}}), secrets=["hunter2hunter2", "pw"]) == told
