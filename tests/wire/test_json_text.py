from __future__ import annotations

import pytest

from antiphon.wire.json_text import BadJson, check, decode


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"a": NaN}', "NaN"),
        ("[Infinity]", "Infinity"),
        ("[1e999]", "out of range"),
        ("[" + "9" * 5000 + "]", "out of range"),
        ("[" + "9" * 400 + "]", "out of range"),
        ("[" * 500_000 + "]" * 500_000, "nested"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested"),
        (r'"\ud800"', "surrogate"),
        (r'{"\udc00": 1}', "surrogate"),
        (r'"a\u0000b"', "NUL"),
        (r'"ä\u0000"', "NUL"),
        (b"\xff\xfe\xfd", "not JSON"),
    ],
)
def test_what_would_hurt_later_is_refused_with_a_reason(text: str | bytes, reason: str) -> None:
    with pytest.raises(BadJson, match=reason):
        decode(text)


def test_ordinary_json_is_taken() -> None:
    assert decode(r'{"a": [1, 2.5, null, true, "\ud83d\ude00"]}') == {"a": [1, 2.5, None, True, "😀"]}


def test_keys_of_ready_made_objects_are_checked_too() -> None:
    with pytest.raises(BadJson, match="keys"):
        check({1: 2})
