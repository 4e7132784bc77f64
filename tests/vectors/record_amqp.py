"""Records the vectors of AMQP: a real RabbitMQ, pika.

    python tests/vectors/record_amqp.py [name ...]        as record.py

Needs RabbitMQ (`amqp_broker.py`) and pika. Expected is pika's own account (`amqp_account.py`); what pika's blocking connection
cannot do, many confirms at once, is its account of what it published and what its callback was told.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pika
from amqp_account import TRACE, Client, Expected, line
from amqp_broker import SECRET, broker, version
from pika.adapters.blocking_connection import BlockingChannel
from record import Relay, free_port, write

BODY = SECRET.encode()
SCENARIOS: dict[str, Callable[[int], Expected]] = {}


def scenario(name: str) -> Callable[[Callable[[int], Expected]], Callable[[int], Expected]]:
    def keep(function: Callable[[int], Expected]) -> Callable[[int], Expected]:
        SCENARIOS[name] = function
        return function

    return keep


@scenario("publish-without-confirms")
def publish_without_confirms(port: int) -> Expected:
    client = Client(port)
    channel = client.channel()
    client.declare(channel, "orders")
    client.publish(channel, "", "orders", BODY, message_id="m-1", correlation_id="c-1")
    client.publish(channel, "", "orders", b"")
    client.publish(channel, "", "orders", BODY * 400)
    client.publish(channel, "", "orders", BODY, headers={"traceparent": TRACE})
    for _ in range(4):
        client.get(channel, "orders")
    client.get(channel, "orders")
    return client.close(channel)


@scenario("publish-with-confirms")
def publish_with_confirms(port: int) -> Expected:
    client = Client(port)
    channel = client.channel()
    client.call("exchange.declare", "shop", lambda: channel.exchange_declare("shop", "topic"))
    client.declare(channel, "audit")
    client.call("queue.bind", "audit", lambda: channel.queue_bind("audit", "shop", "order.*"))
    client.confirm(channel)
    client.publish(channel, "shop", "order.paid", BODY, message_id="m-1")
    client.publish(channel, "shop", "nowhere", BODY, mandatory=True)
    client.publish(channel, "shop", "order.sent", BODY * 8000)
    client.publish(channel, "", "audit", BODY, headers={"traceparent": TRACE})
    client.call("queue.purge", "audit", lambda: channel.queue_purge("audit"))
    client.call("queue.unbind", "audit", lambda: channel.queue_unbind("audit", "shop", "order.*"))
    client.call("queue.delete", "audit", lambda: channel.queue_delete("audit"))
    client.call("exchange.delete", "shop", lambda: channel.exchange_delete("shop"))
    return client.close(channel)


@scenario("nacked")
def nacked(port: int) -> Expected:
    client = Client(port)
    channel = client.channel()
    client.declare(channel, "full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.confirm(channel)
    for _ in range(4):
        client.publish(channel, "", "full", BODY)
    return client.close(channel)


def filled(client: Client, queue: str, count: int) -> BlockingChannel:
    channel = client.channel()
    client.declare(channel, queue)
    for number in range(count):
        client.publish(channel, "", queue, BODY * (number * 50), headers={"traceparent": TRACE})
    return channel


def ack(channel: BlockingChannel, tag: int) -> str | None:
    channel.basic_ack(tag)
    return None


@scenario("consume-and-ack")
def consume_and_ack(port: int) -> Expected:
    client = Client(port)
    channel = filled(client, "work", 3)
    client.consume(channel, "work", 3, ack, prefetch=1)
    return client.close(channel)


@scenario("consume-and-reject")
def consume_and_reject(port: int) -> Expected:
    def settle(channel: BlockingChannel, tag: int) -> str | None:
        if tag == 1:
            channel.basic_nack(tag, requeue=True)
            return "nack"
        if tag == 2:
            channel.basic_reject(tag, requeue=False)
            return "reject"
        return ack(channel, tag)

    client = Client(port)
    channel = filled(client, "work2", 3)
    client.consume(channel, "work2", 4, settle, prefetch=1)
    return client.close(channel)


@scenario("consume-and-ack-many")
def consume_and_ack_many(port: int) -> Expected:
    def settle(channel: BlockingChannel, tag: int) -> str | None:
        if tag % 3:
            return "later"
        channel.basic_ack(tag, multiple=True)
        return None

    client = Client(port)
    channel = filled(client, "batches", 6)
    client.consume(channel, "batches", 6, settle)
    return client.close(channel)


@scenario("consume-without-acks")
def consume_without_acks(port: int) -> Expected:
    client = Client(port)
    channel = filled(client, "stream", 3)
    client.consume(channel, "stream", 3, None)
    return client.close(channel)


@scenario("queue-without-a-name")
def queue_without_a_name(port: int) -> Expected:
    client = Client(port)
    channel = client.channel()
    name = client.declare(channel, "", "amq.gen-*", exclusive=True)
    one = line("publish", "amq.gen-*", "send", outcome="one_way")
    channel.basic_publish("", name, BODY)
    client.lines.append(one)
    client.get(channel, name)
    client.lines[-1]["target"] = "amq.gen-*"
    return client.close(channel)


@scenario("two-channels")
def two_channels(port: int) -> Expected:
    client = Client(port)
    first, second = client.channel(), client.channel()
    client.declare(first, "a")
    client.declare(second, "b")
    client.confirm(second)
    for number in range(3):
        client.publish(first, "", "a", BODY * number)
        client.publish(second, "", "b", BODY * 3000 * number)
    return client.close(second, first)


@scenario("tx")
def tx(port: int) -> Expected:
    client = Client(port)
    channel = client.channel()
    client.declare(channel, "ledger")
    client.call("tx.select", None, channel.tx_select)
    client.publish(channel, "", "ledger", BODY)
    client.call("tx.commit", None, channel.tx_commit)
    client.publish(channel, "", "ledger", BODY)
    client.call("tx.rollback", None, channel.tx_rollback)
    return client.close(channel)


@scenario("channel-closed-by-the-broker")
def channel_closed(port: int) -> Expected:
    client = Client(port)
    channel = client.channel()
    with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
        channel.queue_declare("absent", passive=True)
    client.lines.append(line("queue.declare", "absent", error_type="not-found", outcome="error"))
    client.lines.append(line("channel.close", error_type="not-found", outcome="error"))
    channel = client.channel()
    client.publish(channel, "absent", "key", BODY)
    with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
        client.connection.process_data_events(0.3)
        channel.basic_qos(prefetch_count=1)
    client.lines.append(line("basic.qos", error_type="not-found", outcome="error"))
    client.lines.append(line("channel.close", error_type="not-found", outcome="error"))
    return client.close()


@scenario("refused-login")
def refused_login(port: int) -> Expected:
    return Client(port, password=SECRET + "!", fails="access-refused").lines


@scenario("batch-of-confirms")
def batch_of_confirms(port: int) -> Expected:
    """pika without its blocking connection: 40 messages at once, and what the broker confirmed."""
    lines = [line("connection.start"), line("connection.open"), line("channel.open"), line("queue.declare", "batch")]
    told: list[int] = []

    def opened(connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=lambda channel: channel.queue_declare("batch", callback=lambda _: declared(channel)))

    def declared(channel: pika.channel.Channel) -> None:
        channel.confirm_delivery(lambda frame: confirmed(channel, frame.method), callback=lambda _: publish(channel))

    def publish(channel: pika.channel.Channel) -> None:
        lines.append(line("confirm.select"))
        for number in range(40):
            channel.basic_publish("", "batch", BODY * number)

    def confirmed(channel: pika.channel.Channel, method: pika.spec.Basic.Ack) -> None:
        first = len(told) + 1 if method.multiple else method.delivery_tag
        for tag in range(first, method.delivery_tag + 1):
            told.append(tag)
            lines.append(line("publish", "batch", "send"))
        if len(told) == 40:
            lines.extend((line("channel.close"), line("connection.close")))
            connection.close()

    parameters = pika.ConnectionParameters("127.0.0.1", port, credentials=pika.PlainCredentials("lab", SECRET), heartbeat=0)
    connection = pika.SelectConnection(parameters, on_open_callback=opened, on_close_callback=lambda *_: connection.ioloop.stop())
    connection.ioloop.start()
    return lines


def main() -> None:
    words = sys.argv[1:]
    port = free_port()
    about = {"folder": "amqp", "protocol": "amqp", "server": f"RabbitMQ {version()}", "client": f"pika {pika.__version__}"}
    with broker(port, free_port(), free_port()):
        for name, does in SCENARIOS.items():
            if words and not any(word in name for word in words):
                continue
            relay = Relay(port)
            expected = does(relay.port)
            write(name, about, relay.only(), expected)
            relay.close()


if __name__ == "__main__":
    main()
