"""What pika did, by its own account: a line for each of its calls, in the order of their ends.

pika returns from a call when the broker has answered, raises where it refused, and hands over what is delivered: `Client` writes
that down, as what the roundtrip must say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
from amqp_broker import SECRET
from pika.adapters.blocking_connection import BlockingChannel

Expected = list[dict[str, Any]]
Settles = Callable[[BlockingChannel, int], str | None]
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ROUTING_KEY = "messaging.rabbitmq.destination.routing_key"


def line(operation: str, target: str | None = None, namespace: str | None = None, **more: Any) -> dict[str, Any]:
    return {"operation": operation, "target": target, "namespace": namespace, "error_type": None, "outcome": "ok", **more}


def destination(*parts: str) -> str:
    """As the conventions make it: what there is of exchange, routing key and queue, once each."""
    exchange, key, *queue = parts
    named = [part for part in (exchange, key, *(one for one in queue if one != key)) if part]
    return ":".join(named) or "amq.default"


class Client:
    """One connection, and what was done on it."""

    def __init__(self, port: int, host: str = "127.0.0.1", password: str = SECRET, fails: str | None = None) -> None:
        self.lines: Expected = []
        self.confirms: set[int] = set()
        credentials = pika.PlainCredentials("lab", password)
        parameters = pika.ConnectionParameters(host, port, credentials=credentials, heartbeat=0)
        try:
            self.connection = pika.BlockingConnection(parameters)
        except pika.exceptions.AMQPError:
            assert fails is not None
            self.lines += [line(of, error_type=fails, outcome="error") for of in ("connection.start", "connection.close")]
            return
        self.lines += [line("connection.start"), line("connection.open")]

    def call(self, operation: str, target: str | None, does: Callable[[], Any]) -> Any:
        answer = does()
        self.lines.append(line(operation, target))
        return answer

    def channel(self) -> BlockingChannel:
        return self.call("channel.open", None, self.connection.channel)  # type: ignore[no-any-return]

    def confirm(self, channel: BlockingChannel) -> None:
        self.call("confirm.select", None, channel.confirm_delivery)
        self.confirms.add(channel.channel_number)

    def declare(self, channel: BlockingChannel, queue: str, told: str | None = None, **more: Any) -> str:
        answer = self.call("queue.declare", told or queue, lambda: channel.queue_declare(queue, **more))
        return str(answer.method.queue)

    def publish(self, channel: BlockingChannel, exchange: str, key: str, body: bytes, mandatory: bool = False, **more: Any) -> None:
        headers = {"secret": SECRET, "depth": 3, "flags": [True, 7], **more.pop("headers", {})}
        properties = pika.BasicProperties(headers=headers, **more)
        one = line("publish", destination(exchange, key), "send", outcome="ok" if self.confirming(channel) else "one_way")
        one[ROUTING_KEY] = key or None
        if "message_id" in more:
            one["messaging.message.id"] = more["message_id"]
        if "correlation_id" in more:
            one["messaging.message.conversation_id"] = more["correlation_id"]
        try:
            channel.basic_publish(exchange, key, body, properties, mandatory)
        except pika.exceptions.UnroutableError:
            one.update(outcome="error", error_type="no-route")
        except pika.exceptions.NackError:
            one.update(outcome="error", error_type="nack")
        self.lines.append(one)

    def confirming(self, channel: BlockingChannel) -> bool:
        return channel.channel_number in self.confirms

    def get(self, channel: BlockingChannel, queue: str, auto_ack: bool = True) -> int | None:
        method, _, _ = channel.basic_get(queue, auto_ack)
        told = queue if method is None else destination(method.exchange, method.routing_key, queue)
        self.lines.append(line("get", told, "receive"))
        return None if method is None else int(method.delivery_tag)

    def consume(self, channel: BlockingChannel, queue: str, count: int, done: Settles | None, prefetch: int = 0) -> None:
        """`count` messages; `done` settles one and says what error that is, or None; without it none is settled."""
        if prefetch:
            self.call("basic.qos", None, lambda: channel.basic_qos(prefetch_count=prefetch))
        waiting: list[str] = []
        seen = [0]

        def got(_: Any, method: Any, __: Any, ___: bytes) -> None:
            seen[0] += 1
            told = destination(method.exchange, method.routing_key, queue)
            waiting.append(told)
            if done is None:
                self.lines.append(line("consume", told, "process", outcome="one_way"))
                return
            settled = done(channel, method.delivery_tag)
            if settled == "later":
                return
            for one in waiting:
                outcome = "ok" if settled is None else "error"
                self.lines.append(line("consume", one, "process", error_type=settled, outcome=outcome))
            waiting.clear()

        tag = self.call("basic.consume", queue, lambda: channel.basic_consume(queue, got, auto_ack=done is None))
        while seen[0] < count:
            self.connection.process_data_events(1)
        self.call("basic.cancel", None, lambda: channel.basic_cancel(tag))

    def close(self, *channels: BlockingChannel) -> Expected:
        for channel in channels:
            self.call("channel.close", None, channel.close)
        self.call("connection.close", None, self.connection.close)
        return self.lines
