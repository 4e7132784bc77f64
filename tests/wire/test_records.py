"""The shared words: what a fresh one says, and that they are as small as their place needs."""

from __future__ import annotations

import gc

import pytest

from receiver.wire.records import OUTCOMES, Endpoints, Malformed, Message, Protocol, Roundtrip, Sink
from tests.l7.harness import COMPILED


def test_fresh_message_says_nothing() -> None:
    message = Message()
    assert (message.piece, message.key, message.trace_flags, message.expects_reply) == (3, -1, -1, True)
    names = ("operation", "target", "namespace", "summary", "version", "status", "error_type", "server_address")
    assert [getattr(message, name) for name in names] == [None] * len(names)
    assert [message.trace_id, message.parent_id, message.tracestate, message.attributes, message.next] == [None] * 5
    assert (message.direction, message.first_ns, message.last_ns, message.size, message.error_side, message.server_port) == (
        0,
    ) * 6


@pytest.mark.skipif(not COMPILED, reason="a plain object is always tracked")
def test_message_costs_the_collector_nothing() -> None:
    assert not gc.is_tracked(Message())


def test_message_used_again_is_fresh() -> None:
    """Compiled, messages come from a free list: nothing of the last one may be left."""
    for _ in range(200):
        message = Message()
        assert message.operation is None and message.attributes is None and message.next is None and message.size == 0
        message.operation, message.attributes, message.size, message.next = "GET", ["a", 1], 7, Message()


def test_malformed_names_the_rule_and_never_the_payload() -> None:
    error = Malformed("http", "no version", 3)
    assert (error.protocol, error.what, error.offset, str(error)) == ("http", "no version", 3, "http: no version at 3")


def test_outcomes_have_the_numbers_of_their_places() -> None:
    assert OUTCOMES == ("ok", "error", "one_way", "timeout", "reset", "closed", "lost", "unreachable", "unknown")


def test_rows_keep_what_they_are_given() -> None:
    protocol = Protocol("x", "family", dict, (1, 2), "stable", over_tcp=False, over_udp=True, client_only=True)
    assert (protocol.name, protocol.number, protocol.family, protocol.ports) == ("x", 0, "family", (1, 2))
    assert (protocol.stability, protocol.over_tcp, protocol.over_udp, protocol.client_only) == (
        "stable",
        False,
        True,
        True,
    )
    ends = Endpoints("192.0.2.1", 4000, "2001:db8::1", 80, "tcp", 1)
    assert (ends.client_address, ends.client_port, ends.server_address, ends.server_port) == (
        "192.0.2.1",
        4000,
        "2001:db8::1",
        80,
    )


def test_sink_is_for_others_to_fill() -> None:
    with pytest.raises(NotImplementedError):
        Sink().roundtrip(Roundtrip())
