"""A decoder that is reset knows nothing of the connection before. On plain source: fields of C cannot be listed."""

from __future__ import annotations

from typing import Any

import pytest

from receiver.l7.registry import PROTOCOLS
from receiver.wire.records import Endpoints
from tests.l7.harness import COMPILED, Run, Vector, load_all

pytestmark = pytest.mark.skipif(COMPILED, reason="fields of compiled objects cannot be listed; the run on plain source does")

# What whoever drives a decoder tells it, each time anew.
TOLD = {"asked", "detail", "vantage", "datagrams", "limits", "errors"}
FOLDERS = ("amqp", "dns", "http1", "http2", "kafka", "mysql", "postgresql", "redis")
VECTORS = [vector for folder in FOLDERS for vector in load_all(folder)]


def differences(one: Any, other: Any, place: str) -> list[str]:
    """The fields in which two objects differ, theirs included; what both share is the same object."""
    if one is other:
        return []
    if type(one) is not type(other):
        return [place]
    if type(one).__module__.startswith("receiver."):
        mine, its = vars(one), vars(other)
        found = [f"{place}.{name}" for name in mine.keys() ^ its.keys()]
        for name in mine.keys() & its.keys() - TOLD:
            found += differences(mine[name], its[name], f"{place}.{name}")
        return found
    return [] if one == other else [place]


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_reset_decoder_is_as_a_fresh_one(vector: Vector) -> None:
    changed = False
    for part in (1, 2, 3):
        run = Run(PROTOCOLS, datagrams="-udp" in vector.name)
        for event in vector.events[: (len(vector.events) * part + 2) // 3]:
            run.event(event)
        if part < 3:
            run.conversation.gap(1, 0, run.ts_ns)
        decoder, protocol = run.conversation.decoder, run.conversation.protocol
        if decoder is None or protocol is None:
            continue
        fresh = protocol.decoder()
        changed = changed or differences(decoder, fresh, "") != []
        decoder.reset()
        assert differences(decoder, fresh, protocol.name) == []
        endpoints = Endpoints("10.0.0.1", 40000, "10.0.0.2", 53, "udp", 0)
        decoder.begin(endpoints)
        fresh.begin(endpoints)
        assert differences(decoder, fresh, protocol.name) == []
    assert changed, "nothing was to be reset"
