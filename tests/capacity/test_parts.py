"""How parts of a call add up to what a machine carries."""

from __future__ import annotations

import pytest

from antiphon.capacity.parts import USABLE, Capacity, Part


def test_parts_share_the_cores() -> None:
    found = Capacity([Part("a", "x", 0.1), Part("b", "y", 0.25)], cores=2)
    assert found.cost == pytest.approx(0.35)
    assert found.calls == 4
    assert found.bound.name == "b"


def test_a_part_of_one_core_is_the_narrowest_on_many() -> None:
    found = Capacity([Part("calls", "x", 0.01, one_core=True), Part("b", "y", 0.001)], cores=16)
    assert found.calls == int(USABLE / 0.01)


def test_what_costs_nothing_bounds_nothing() -> None:
    assert Part("a", "x", 0.0).calls(2) == float("inf")
