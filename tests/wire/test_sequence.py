"""Sequence arithmetic on the circle of 2^32, in its plain form.

The compiled methods can be called from compiled code alone (the tests of streams do that), and say the same as long as
nothing in them leaves 64 bits; the ranges below stay far inside.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import receiver.wire

CIRCLE = 1 << 32


def plain() -> Any:
    path = Path(receiver.wire.__path__[0], "sequence.py")
    spec = importlib.util.spec_from_file_location("plain_sequence", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Sequence


SEQUENCE = plain()
number = st.one_of(st.integers(0, CIRCLE - 1), st.sampled_from((0, 1, CIRCLE // 2 - 1, CIRCLE // 2, CIRCLE - 1)))


@given(number, number)
def test_difference_is_the_shorter_way(a: int, b: int) -> None:
    difference = SEQUENCE.diff(a, b)
    assert -CIRCLE // 2 <= difference < CIRCLE // 2
    assert (b + difference - a) % CIRCLE == 0


@given(number, st.one_of(st.integers(-CIRCLE // 2, CIRCLE), st.sampled_from((0, CIRCLE, -CIRCLE // 2))))
def test_sum_stays_on_the_circle(a: int, n: int) -> None:
    assert SEQUENCE.add(a, n) == (a + n) % CIRCLE


def test_around_the_wrap() -> None:
    assert SEQUENCE.diff(5, CIRCLE - 5) == 10
    assert SEQUENCE.diff(CIRCLE - 5, 5) == -10
    assert SEQUENCE.diff(CIRCLE // 2, 0) == -CIRCLE // 2
    assert SEQUENCE.add(CIRCLE - 1, 1) == 0
