"""AMQP 0-9-1: vectors from a real RabbitMQ and pika, then each rule of the protocol and each attack by name.

Expected values come from pika's own account in the vectors, from the AMQP 0-9-1 specification and RabbitMQ's documents on confirms;
frames are made by pika.
"""

from __future__ import annotations

import random
import struct
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
    START_NS,
    TO_CLIENT,
    TO_SERVER,
    Event,
    Run,
    Seen,
    Vector,
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
