"""Names from the wire: each is one object, and there are no more of them than the cap allows."""

from __future__ import annotations

import pytest

from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned


def find(table: Interned, name: bytes) -> object:
    return table.find(Cursor(b"<" + name + b">"), 1, 1 + len(name))


def test_same_name_is_the_same_object_wherever_it_stands() -> None:
    table = Interned("t", 8)
    told = find(table, "größe".encode())
    assert told == "größe"
    assert find(table, "größe".encode()) is told and table.named("größe".encode()) is told


def test_names_in_one_place_of_the_front_are_told_apart() -> None:
    """Alike in length, first, middle and last byte, by which places are chosen."""
    table = Interned("t", 8)
    names = [b"a1bc2d", b"a3bc4d", b"a1bc4d"]
    first = [find(table, name) for name in names]
    assert first == [name.decode() for name in names]
    for name, told in zip(names * 2, first * 2, strict=True):
        assert find(table, name) is told


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"a\x00"])
def test_what_cannot_be_shown_is_other_and_takes_no_room(name: bytes) -> None:
    limits: dict[str, int] = {}
    table = Interned("t", 1, limits, "_OTHER")
    assert find(table, name) == "_OTHER" and limits == {"t": 0}
    assert find(table, b"fits") == "fits"


def test_one_more_than_the_cap_is_other_and_counted_each_time() -> None:
    limits: dict[str, int] = {}
    table = Interned("t", 2, limits, "_OTHER", {b"known": "known"})
    assert limits == {"t": 0}
    assert [find(table, name) for name in (b"known", b"a", b"b", b"c", b"c", b"a")] == ["known", "a", "b", "_OTHER", "_OTHER", "a"]
    assert limits == {"t": 2}


def test_table_that_forgets_begins_anew() -> None:
    limits: dict[str, int] = {}
    table = Interned("t", 2, limits, forgets=True)
    assert [table.named(name) for name in (b"a", b"b", b"c", b"d", b"e")] == ["a", "b", "c", "d", "e"]
    assert limits == {"t": 2} and list(table.by_name) == [b"e"]


def test_dropped_name_leaves_room() -> None:
    limits: dict[str, int] = {}
    table = Interned("t", 1, limits, "_OTHER")
    told = table.named(b"a")
    assert table.drop(b"a") is told and table.drop(b"a") is None
    assert table.add(7, "seven") == "seven" and table.by_name.get(7) == "seven" and table.by_name.get(b"a") is None
    assert table.add(8, "eight") == "_OTHER" and limits == {"t": 1}


def test_tables_that_share_a_name_share_the_count() -> None:
    limits: dict[str, int] = {}
    tables = [Interned("t", 0, limits), Interned("t", 0, limits)]
    assert [table.named(b"x") for table in tables] == [None, None]
    assert limits == {"t": 2}
