from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from antiphon.errors import InvalidRequest
from antiphon.store.columns import clean, dump_json
from antiphon.store.paging import Order, decode_cursor, encode_cursor
from antiphon.store.rows import label_digest
from antiphon.store.tables import CallRow, EventRow

CREATED = Order((CallRow.__table__.c.created, CallRow.__table__.c.call_id))
NUMBER = Order((EventRow.__table__.c.number,))

instants = st.datetimes(timezones=st.just(UTC))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(instants, st.text())
def test_a_cursor_holds_its_place(created: datetime, call_id: str) -> None:
    assert decode_cursor(encode_cursor("next", (created, call_id)), CREATED) == ("next", (created, call_id))
    assert decode_cursor(encode_cursor("previous", (7,)), NUMBER) == ("previous", (7,))


@given(st.text() | st.lists(json_values).map(lambda key: encode_cursor("next", key)))
def test_any_other_text_is_refused_or_understood(cursor: str) -> None:
    for order in (CREATED, NUMBER):
        try:
            direction, key = decode_cursor(cursor, order)
        except InvalidRequest:
            continue
        assert direction in ("next", "previous")
        assert len(key) == len(order.columns)


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc"])))
def test_cleaned_text_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    assert len(cleaned) == len(text)
    assert cleaned.encode().decode() == cleaned


@given(json_values)
def test_json_holds_no_number_that_json_has_not(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(dump_json(value), parse_constant=refuse)
    if not (isinstance(value, float) and not math.isfinite(value)):
        assert type(read) is type(value)


def test_pairs_that_read_the_same_together_are_told_apart() -> None:
    assert label_digest("ab", "c") != label_digest("a", "bc")
    assert label_digest("1:a", "b") != label_digest("1", ":ab")
