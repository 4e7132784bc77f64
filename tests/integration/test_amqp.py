"""AMQP between real programs in a namespace: what pika and aio-pika did, by their own account, is what is read off the wire.

Needs root, RabbitMQ, tcpdump, pika and aio-pika; RabbitMQ 4 out of a root of its own, which docs/protocols/amqp.md says how to make
(`RABBITMQ_ROOT`, /opt/sid if that is not set).
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from receiver.l7.shared import Shared
from tests.integration.captured import run_captured
from tests.integration.namespaces import Namespace
from tests.integration.servers import need
from tests.vectors import amqp_broker

NEWEST = Path(os.environ.get("RABBITMQ_ROOT", "/opt/sid"))
VECTORS = Path(__file__).resolve().parent.parent / "vectors"

# Runs inside the namespace; prints of each connection its local port and its account.
WORKLOAD = r"""
import asyncio, contextlib, json, sys, threading
sys.path.insert(0, sys.argv[1])
import aio_pika, pika
from amqp_account import TRACE, Client, destination, line
from amqp_broker import SECRET, broker
from record import free_port
BODY = SECRET.encode()
told = []

def ack(channel, tag):
    if tag % 7 == 0:
        channel.basic_reject(tag, requeue=False)
        return "reject"
    channel.basic_ack(tag)

def many(channel, tag):
    if tag % 10:
        return "later"
    channel.basic_ack(tag, multiple=True)

def work(port, name):
    client = Client(port)
    here = client.connection._impl._transport._sock.getsockname()[1]
    plain, sure = client.channel(), client.channel()
    client.call("exchange.declare", f"shop{name}", lambda: plain.exchange_declare(f"shop{name}", "topic"))
    for queue in (f"orders{name}", f"audit{name}"):
        client.declare(plain, queue)
        client.call("queue.bind", queue, lambda: plain.queue_bind(queue, f"shop{name}", f"{queue}.*"))
    client.confirm(sure)
    for i in range(120):
        client.publish(plain, "", f"orders{name}", BODY * (i % 40), message_id=f"m-{i}")
        client.publish(sure, f"shop{name}", f"audit{name}.paid", BODY * (i % 9 * 500), headers={"traceparent": TRACE})
        if i % 10 == 0:
            client.publish(sure, f"shop{name}", "nowhere", BODY, mandatory=True)
            client.get(plain, f"orders{name}")
        if i % 50 == 0:
            client.publish(sure, "", f"audit{name}", b"x" * 1_000_000)
    client.consume(plain, f"orders{name}", 108, ack, prefetch=5)
    client.consume(sure, f"audit{name}", 123, many)
    with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
        plain.queue_declare("absent", passive=True)
    client.lines += [line(of, None if of == "channel.close" else "absent", error_type="not-found", outcome="error")
                     for of in ("queue.declare", "channel.close")]
    told.append([here, client.close(sure)])

async def aio(port):
    lines = []
    connection = await aio_pika.connect(host="127.0.0.1", port=port, login="lab", password=SECRET, heartbeat=0)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("aio")
        lines.append(line("queue.declare", "aio"))
        for i in range(200):
            await channel.default_exchange.publish(aio_pika.Message(BODY * i, headers={"traceparent": TRACE}), "aio")
            lines.append(line("publish", "aio", "send"))
        # Many at once: confirmed in any order.
        await asyncio.gather(*(channel.default_exchange.publish(aio_pika.Message(BODY), "aio") for _ in range(100)))
        lines += [line("publish", "aio", "send")] * 100
        for _ in range(50):
            message = await queue.get()
            lines.append(line("get", "aio", "receive"))
            await message.ack()
            lines.append(line("ack", None, "settle", outcome="one_way"))
        async with queue.iterator() as incoming:
            got = 0
            async for message in incoming:
                async with message.process():
                    pass
                lines.append(line("consume", "aio", "process"))
                got += 1
                if got == 250:
                    break
    told.append([None, lines])

port = free_port()
with broker(port, free_port(), free_port()):
    work(port, "")
    threads = [threading.Thread(target=work, args=(port, name)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(aio(port))
    client = Client(port)
    channel = client.channel()
    client.declare(channel, "left")
    for i in range(7):
        client.publish(channel, "", "left", BODY)
    for i in range(2):
        client.get(channel, "left")
    counted = client.call("queue.declare", "left", lambda: channel.queue_declare("left", passive=True)).method.message_count
    told.append([client.connection._impl._transport._sock.getsockname()[1], client.close(channel)])
print(json.dumps([told, counted]))
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("tcpdump")
    for module in ("pika", "aio_pika"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"NOT RUN: {module} is missing (pip install '.[test]')")
    made = Namespace(f"pr-amqp-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("root", [Path("/"), NEWEST], ids=["distribution", "newest"])
def test_the_clients_record_is_what_is_read(namespace: Namespace, tmp_path: Path, root: Path) -> None:
    missing = amqp_broker.why_not(root)
    if missing is not None:
        pytest.skip(f"NOT RUN: {missing} is missing")
    command = ["env", f"RABBITMQ_ROOT={root}", sys.executable, "-c", WORKLOAD, os.fspath(VECTORS)]
    shared = Shared()
    printed, collector = run_captured(namespace, tmp_path, command, shared=shared)
    told: list[tuple[Any, list[dict[str, Any]]]]  # the port, None where the client does not tell it
    told, counted = json.loads(printed)
    assert len(told) == 6
    *_, (port, account) = told
    assert [one["operation"] for one in collector.by_port[port]] == [one["operation"] for one in account]
    assert shared.levels.waiting(collector.seen[-1].end_ns)["left"] == counted == 5
    known = {port for port, _ in told}
    for port, account in told[:5]:
        if port is None:
            (port,) = (other for other in collector.by_port if other not in known)
        seen = collector.by_port[port]
        assert {one.protocol for one in seen} == {"amqp", "amqp_delivery"}
        assert "hunter2" not in repr(seen)
        operations = {one["operation"] for one in account}
        # The last three that pika had: it closed the channel without a word for them.
        read = [one for one in seen if one["operation"] in operations and (one["operation"], one.outcome) != ("consume", "unknown")]
        assert [{name: one[name] for name in wanted} for one, wanted in zip(read, account, strict=True)] == account
        assert len(account) > 490
