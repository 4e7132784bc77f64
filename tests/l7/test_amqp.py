"""AMQP 0-9-1: vectors from a real RabbitMQ and pika, then each rule of the protocol and each attack by name.

Expected values come from pika's own account in the vectors, from the AMQP 0-9-1 specification and RabbitMQ's documents on confirms;
frames are made by pika.
"""

from __future__ import annotations

import random
from typing import Any

import pika
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import frame, spec

from receiver.l7.amqp import rows
from receiver.l7.registry import PROTOCOLS
from receiver.l7.shared import Shared
from tests.l7.harness import (
    CLIENT_SIDE,
    SERVER_SIDE,
    START_NS,
    TO_CLIENT,
    TO_SERVER,
    Run,
    Seen,
    Vector,
    check_random_bytes,
    check_vector,
    load_all,
)

ALONE = rows(Shared())
VECTORS = load_all("amqp")
SECRET = "hunter2-never-shown"  # as in tests/vectors/amqp_broker.py
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE, SPAN = bytes.fromhex(PARENT[3:35]), bytes.fromhex(PARENT[36:52])
SECOND_NS = 1_000_000_000
GREETING = b"AMQP\0\0\x09\x01"
TAG = "messaging.rabbitmq.message.delivery_tag"
ROUTING_KEY = "messaging.rabbitmq.destination.routing_key"


# --- frames, as pika makes them ---


def method(one: Any, channel: int = 1) -> bytes:
    return bytes(frame.Method(channel, one).marshal())


def content(one: Any, body: bytes = b"", channel: int = 1, cut: int = 131_000, **properties: Any) -> bytes:
    wire = method(one, channel) + frame.Header(channel, len(body), pika.BasicProperties(**properties)).marshal()
    return bytes(wire + b"".join(frame.Body(channel, body[i : i + cut]).marshal() for i in range(0, len(body), cut)))


def publish(key: str = "orders", exchange: str = "", body: bytes = b"x", channel: int = 1, **properties: Any) -> bytes:
    return content(spec.Basic.Publish(exchange=exchange, routing_key=key), body, channel, **properties)


def deliver(tag: int, key: str = "orders", consumer: str = "c", body: bytes = b"x", channel: int = 1, **properties: Any) -> bytes:
    one = spec.Basic.Deliver(consumer_tag=consumer, delivery_tag=tag, exchange="", routing_key=key)
    return content(one, body, channel, **properties)


def ack(tag: int, multiple: bool = False, channel: int = 1) -> bytes:
    return method(spec.Basic.Ack(tag, multiple), channel)


def nack(tag: int, multiple: bool = False) -> bytes:
    return method(spec.Basic.Nack(tag, multiple))


OPENS = [
    (TO_SERVER, GREETING + method(spec.Channel.Open())),
    (TO_CLIENT, method(spec.Channel.OpenOk())),
]
CONFIRMS = [
    *OPENS,
    (TO_SERVER, method(spec.Confirm.Select())),
    (TO_CLIENT, method(spec.Confirm.SelectOk())),
]


def consumes(no_ack: bool = False, queue: str = "orders") -> list[tuple[int, bytes]]:
    return [
        *OPENS,
        (TO_SERVER, method(spec.Basic.Consume(queue=queue, consumer_tag="c", no_ack=no_ack))),
        (TO_CLIENT, method(spec.Basic.ConsumeOk("c"))),
    ]


def ask(*turns: tuple[int, bytes], run: Run | None = None) -> list[Seen]:
    run = run or Run(ALONE)
    for direction, payload in turns:
        run.feed(direction, payload)
    return run.end()


def said(seen: Seen) -> tuple[Any, ...]:
    return seen["operation"], seen["target"], seen["error_type"], seen.outcome


def of(operation: str, seen: list[Seen]) -> list[tuple[Any, ...]]:
    return [said(one)[1:] for one in seen if one["operation"] == operation]


# --- vectors ---


def resumes(seen: Seen) -> bool:
    """Confirms have the broker's number alone: after a hole in what the client sent nobody knows which message that is."""
    return not (seen["operation"] == "publish" and seen.outcome != "one_way")


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    check_vector(ALONE, vector, resumes)


# --- what is published ---


def test_three_messages_and_one_confirm_of_them_all_are_three_roundtrips() -> None:
    seen = ask(*CONFIRMS, (TO_SERVER, publish("a") + publish("b") + publish("c", "shop")), (TO_CLIENT, ack(3, True)))
    assert of("publish", seen) == [("a", None, "ok"), ("b", None, "ok"), ("shop:c", None, "ok")]


def test_confirms_in_any_order_and_many_at_once() -> None:
    sent = b"".join(publish(f"k{i}x") for i in range(1, 8))
    seen = ask(*CONFIRMS, (TO_SERVER, sent), (TO_CLIENT, ack(3) + nack(2) + ack(5, True) + nack(0, True)))
    assert of("publish", seen) == [
        ("k3x", None, "ok"),
        ("k2x", "nack", "error"),
        ("k1x", None, "ok"),
        ("k4x", None, "ok"),
        ("k5x", None, "ok"),
        ("k6x", "nack", "error"),
        ("k7x", "nack", "error"),
    ]


def test_what_comes_back_went_nowhere_though_it_is_confirmed() -> None:
    lost = content(spec.Basic.Publish(exchange="shop", routing_key="b", mandatory=True), b"x")
    back = content(spec.Basic.Return(312, "NO_ROUTE", "shop", "b"), b"x")
    seen = ask(*CONFIRMS, (TO_SERVER, publish("a", "shop") + lost + publish("c", "shop")), (TO_CLIENT, back + ack(3, True)))
    assert of("publish", seen) == [("shop:a", None, "ok"), ("shop:b", "no-route", "error"), ("shop:c", None, "ok")]


def test_without_confirms_nobody_answers() -> None:
    seen = ask(*OPENS, (TO_SERVER, publish("a", body=b"x" * 300_000)), (TO_SERVER, publish("b", body=b"")))
    assert of("publish", seen) == [("a", None, "one_way"), ("b", None, "one_way")]
    assert next(one for one in seen if one["target"] == "a").sizes[0] == len(publish("a", body=b"x" * 300_000))


def test_frames_of_two_channels_stand_between_one_another() -> None:
    opens = (TO_SERVER, method(spec.Channel.Open(), 2))
    first, second = publish("a", body=b"x" * 900), publish("b", body=b"y" * 700, channel=2)
    cut = len(method(spec.Basic.Publish(exchange="", routing_key="a")))
    head = len(first) - 900 - 8
    mixed = first[:cut] + second[:cut] + first[cut:head] + second[cut:] + first[head:]
    seen = ask(*OPENS, opens, (TO_CLIENT, method(spec.Channel.OpenOk(), 2)), (TO_SERVER, mixed))
    assert sorted(of("publish", seen)) == [("a", None, "one_way"), ("b", None, "one_way")]
    assert sum(one.sizes[0] for one in seen if one["operation"] == "publish") == len(mixed)


def test_properties() -> None:
    properties = {"message_id": "m-1", "correlation_id": "c-1", "content_type": "text/plain", "priority": 3, "timestamp": 7}
    headers = {"secret": SECRET, "deep": {"a": [1, {"b": None}], "c": b"\xff"}, "n": 1 << 40, "traceparent": PARENT}
    told = ask(*OPENS, (TO_SERVER, publish(headers=headers, reply_to="r", **properties)))
    (seen,) = [one for one in told if one["operation"] == "publish"]
    assert (seen["messaging.message.id"], seen["messaging.message.conversation_id"], seen[ROUTING_KEY]) == ("m-1", "c-1", "orders")
    assert (seen.request.trace_id, seen.request.parent_id) == (TRACE, SPAN)
    assert SECRET not in repr(seen)


# --- what is delivered ---


def test_delivered_and_acknowledged_one_by_one_and_many_at_once() -> None:
    came = b"".join(deliver(tag) for tag in range(1, 7))
    settles = ack(2) + ack(4, True) + method(spec.Basic.Reject(5, False)) + nack(0, True)
    seen = ask(*consumes(), (TO_CLIENT, came), (TO_SERVER, settles))
    assert of("consume", seen) == [
        ("orders", None, "ok"),
        ("orders", None, "ok"),
        ("orders", None, "ok"),
        ("orders", None, "ok"),
        ("orders", "reject", "error"),
        ("orders", "nack", "error"),
    ]
    assert [one[TAG] for one in seen if one["operation"] == "consume"] == [2, 1, 3, 4, 5, 6]
    assert {one.protocol for one in seen if one["operation"] == "consume"} == {"amqp_delivery"}


def test_work_may_take_its_time() -> None:
    run = Run(ALONE)
    for direction, payload in [*consumes(), (TO_CLIENT, deliver(1))]:
        run.feed(direction, payload)
    run.conversation.expire(START_NS + 3600 * SECOND_NS)
    assert of("consume", ask((TO_SERVER, ack(1)), run=run)) == [("orders", None, "ok")]


def test_who_does_not_acknowledge_is_not_waited_for() -> None:
    assert of("consume", ask(*consumes(no_ack=True), (TO_CLIENT, deliver(1)))) == [("orders", None, "one_way")]


def test_queue_of_a_consumer_and_names_made_for_one_instance() -> None:
    seen = ask(*consumes(queue="audit"), (TO_CLIENT, deliver(1, key="paid")), (TO_SERVER, ack(1)))
    assert of("consume", seen) == [("paid:audit", None, "ok")]
    keys = ("amq.gen-JzTY20BRgKO-HjmUJj0wLg", "reply.550e8400-e29b-41d4-a716-446655440000", "user.12345678.done", "v2.orders")
    seen = ask(*OPENS, (TO_SERVER, b"".join(publish(key) for key in keys)))
    assert [one[0] for one in of("publish", seen)] == ["amq.gen-*", "reply.*", "user.*.done", "v2.orders"]


def test_message_carries_its_context_as_parent_and_link() -> None:
    seen = ask(*consumes(), (TO_CLIENT, deliver(1, headers={"traceparent": PARENT})), (TO_SERVER, ack(1)))
    (one,) = [one for one in seen if one["operation"] == "consume"]
    assert (one.request.trace_id, one.request.parent_id) == (TRACE, SPAN)


# --- what ends all that is under way ---


def declared(queue: str, messages: int, asked: str | None = None) -> list[tuple[int, bytes]]:
    return [
        (TO_SERVER, method(spec.Queue.Declare(queue=queue if asked is None else asked))),
        (TO_CLIENT, method(spec.Queue.DeclareOk(queue, messages, 1))),
    ]


def got(left: int | None) -> list[tuple[int, bytes]]:
    """One message of `orders`, and how many more there are; None: there was none."""
    one = content(spec.Basic.GetOk(1, False, "", "orders", left), b"x") if left is not None else method(spec.Basic.GetEmpty())
    return [(TO_SERVER, method(spec.Basic.Get(queue="orders", no_ack=True))), (TO_CLIENT, one)]


DELETED = [(TO_SERVER, method(spec.Queue.Delete(queue="orders"))), (TO_CLIENT, method(spec.Queue.DeleteOk(3)))]
NAMELESS = "amq.gen-JzTY20BRgKO-HjmUJj0wLg"


@pytest.mark.parametrize(
    ("turns", "waiting"),
    [
        (declared("orders", 7), {"orders": 7}),
        (declared("orders", 7) + got(4), {"orders": 4}),
        (got(None), {"orders": 0}),
        (declared("orders", 7) + declared("audit", 0) + DELETED, {"audit": 0}),
        (declared(NAMELESS, 7, ""), {}),  # of a name that many have
    ],
)
@pytest.mark.parametrize("vantage", [CLIENT_SIDE, SERVER_SIDE])
def test_messages_that_wait_in_a_queue(turns: list[tuple[int, bytes]], waiting: dict[str, int], vantage: int) -> None:
    shared = Shared()
    run = Run(rows(shared), vantage=vantage)
    ask(*OPENS, *turns, run=run)
    assert not run.reading.errors
    assert shared.levels.waiting(run.ts_ns) == (waiting if vantage == CLIENT_SIDE else {})
    assert shared.levels.waiting(run.ts_ns + 301 * SECOND_NS) == {}


def test_channel_that_the_broker_closes_fails_what_waits_on_it() -> None:
    close = method(spec.Channel.Close(406, "PRECONDITION_FAILED", 60, 80))
    late = publish("c") + method(spec.Channel.CloseOk())
    seen = ask(*CONFIRMS, (TO_SERVER, publish("a") + publish("b")), (TO_CLIENT, ack(1) + close), (TO_SERVER, late))
    failed = "precondition-failed"
    assert of("publish", seen) == [("a", None, "ok"), ("b", failed, "error"), ("c", failed, "error")]
    assert of("channel.close", seen) == [(None, failed, "error")]


def test_connection_that_the_broker_closes_fails_every_channel() -> None:
    close = method(spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0), 0)
    seen = ask(*CONFIRMS, (TO_SERVER, publish("a") + method(spec.Queue.Declare(queue="q"))), (TO_CLIENT, close))
    assert of("publish", seen) == [("a", "connection-forced", "error")]
    assert of("queue.declare", seen) == [("q", "connection-forced", "error")]


def test_what_is_not_settled_when_the_client_closes_is_unknown() -> None:
    closes = (TO_SERVER, method(spec.Channel.Close(200, "", 0, 0))), (TO_CLIENT, method(spec.Channel.CloseOk()))
    assert of("consume", ask(*consumes(), (TO_CLIENT, deliver(1)), *closes)) == [("orders", None, "unknown")]


# --- joined late, and holes ---


def late(*turns: tuple[int, bytes, float]) -> list[Seen]:
    """A connection that was open before; `seconds` since then."""
    run = Run(ALONE, from_start=False)
    for direction, payload, seconds in turns:
        run.feed(direction, payload, START_NS + int(seconds * SECOND_NS))
    return run.end()


def test_joined_late_a_confirm_is_no_message_s_until_one_is_confirmed_alone_after_a_rest() -> None:
    seen = late(
        (TO_SERVER, publish("a"), 0),
        (TO_CLIENT, ack(4711), 0.1),
        (TO_SERVER, publish("b"), 2),
        (TO_CLIENT, ack(4712), 2.1),
        (TO_SERVER, publish("c") + publish("d"), 2.2),
        (TO_CLIENT, ack(4714) + nack(4713), 2.3),
    )
    assert of("publish", seen) == [("b", None, "ok"), ("d", None, "ok"), ("c", "nack", "error"), ("a", None, "lost")]


def test_joined_late_without_a_confirm_for_long_nobody_confirms() -> None:
    turns = [(TO_SERVER, publish(f"k{i}x"), i * 0.4) for i in range(40)]
    outcomes = [one[2] for one in of("publish", late(*turns))]
    assert outcomes == ["one_way"] * 40


def test_joined_late_what_is_delivered_is_known_by_its_acknowledgement() -> None:
    seen = late((TO_CLIENT, deliver(7) + deliver(8), 0), (TO_SERVER, ack(8), 1), (TO_CLIENT, deliver(9), 2), (TO_SERVER, ack(9), 3))
    assert of("consume", seen) == [("orders", None, "ok"), ("orders", None, "ok"), ("orders", None, "lost")]


def test_hole_among_confirms_does_not_move_them() -> None:
    run = Run(ALONE)
    for direction, payload in [*CONFIRMS, (TO_SERVER, publish("a") + publish("b") + publish("c"))]:
        run.feed(direction, payload)
    run.conversation.gap(TO_CLIENT, 21, run.ts_ns)
    seen = ask((TO_CLIENT, ack(2) + ack(3)), run=run)
    assert of("publish", seen) == [("b", None, "ok"), ("c", None, "ok"), ("a", None, "lost")]


# --- what is none ---


def test_random_bytes_are_hardly_ever_amqp() -> None:
    check_random_bytes(ALONE)


def test_version_that_the_broker_does_not_speak() -> None:
    assert ask((TO_SERVER, GREETING), (TO_CLIENT, b"AMQP\0\0\x09\x01")) == []


@pytest.mark.parametrize("kind", [0, 2, 3])
def test_version_1_is_recognised_and_passed_over(kind: int) -> None:
    run = Run(PROTOCOLS)
    for direction in (TO_SERVER, TO_CLIENT):
        run.feed(direction, b"AMQP" + bytes((kind, 1, 0, 0)) + b"\0\0\0\x18\x02\0\0\0" * 40)
    assert run.end() == []
    assert run.reading.detected == {"amqp1": 1}


@given(st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_any_frames_in_any_order_are_read_to_the_end(rng: random.Random) -> None:
    pieces = [(TO_SERVER, publish(f"k{i}")) for i in range(3)] + [(TO_CLIENT, deliver(i)) for i in (1, 2, 1 << 43, 1 << 60)]
    pieces += [(direction, made) for direction in (0, 1) for made in (ack(1), ack(0, True), nack(2, True), ack(1 << 40, True))]
    pieces += [*consumes(), *CONFIRMS]
    pieces += [(TO_CLIENT, method(spec.Channel.Close(404, SECRET, 0, 0))), (TO_SERVER, method(spec.Channel.CloseOk()))]
    run = Run(ALONE)
    run.feed(*OPENS[0])
    for _ in range(30):
        direction, payload = rng.choice(pieces)
        if rng.random() < 0.1:
            run.conversation.gap(direction, rng.choice((0, 1, 21)), run.ts_ns)
        run.feed(direction, payload)
    run.end()
    pairing = run.pairing
    assert pairing.requests == pairing.paired + pairing.one_way + pairing.unanswered
    assert not [what for (protocol, what) in run.reading.errors if what == "internal"]
