"""The fewest and shortest inputs that go everywhere: what is kept of a corpus.

An edge is a line and the one before it in the same call, in modules of `l7` and `wire`. An input is kept if it goes over one that
no shorter one does: a greedy cover.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from tests.fuzz.plain import ROOT

WATCHED = (str(ROOT / "receiver" / "l7"), str(ROOT / "receiver" / "wire"))

Edge = tuple[object, int, int]


def edges(check: Callable[[bytes], object], text: bytes) -> frozenset[Edge]:
    """Where the plain source goes with an input."""
    taken: set[Edge] = set()

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(WATCHED):
            return None
        before = 0

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            if event == "line":
                taken.add((code, before, frame.f_lineno))
                before = frame.f_lineno
            return line

        return line

    sys.settrace(call)
    try:
        check(text)
    finally:
        sys.settrace(None)
    return frozenset(taken)


def smallest(check: Callable[[bytes], object], corpus: Iterable[bytes]) -> list[bytes]:
    kept: dict[bytes, frozenset[Edge]] = {}
    seen: set[Edge] = set()
    for text in sorted(set(corpus), key=lambda text: (len(text), text)):
        found = edges(check, text)
        if found - seen:
            kept[text] = found
            seen |= found
    # Some go only where others, that came later, go as well: the longest of them first.
    times = Counter(edge for found in kept.values() for edge in found)
    for text in sorted(kept, key=len, reverse=True):
        if all(times[edge] > 1 for edge in kept[text]):
            times.subtract(kept.pop(text))
    return list(kept)
