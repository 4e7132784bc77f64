"""Kafka between real programs in a namespace: what the clients' debug logs say of each correlation id is what is read off the wire.

Needs root, tcpdump, confluent-kafka and kafka-python; for the real broker Java, and Maven where its jars are not in `KAFKA_ROOT`.
Where there is no Java, the cluster that librdkafka makes of itself stands for it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.l7.shared import Shared
from tests.integration.captured import run_captured
from tests.integration.namespaces import Namespace
from tests.integration.servers import need
from tests.vectors import kafka_broker

VECTORS = Path(__file__).resolve().parent.parent / "vectors"

# Runs inside the namespace; prints the account of each connection: kafka-python's by port, librdkafka's in any order.
WORKLOAD = r"""
import contextlib, json, sys, time
sys.path[:0] = [sys.argv[1], sys.argv[3]]
import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_account import Log, kafka_python_by_port, librdkafka
from kafka_broker import SECRET, broker
from record import free_port

def with_librdkafka(address, group):
    log = Log("librdkafka")
    common = {"bootstrap.servers": address, "debug": "protocol"}
    p = confluent_kafka.Producer({**common, "client.id": "shop", "linger.ms": 2, "compression.type": "lz4"}, logger=log.logger)
    for i in range(600):
        p.produce("orders", SECRET.encode() * (i % 50 + 1), headers={"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"})
        if i % 20 == 0:
            p.flush()
        if i % 100 == 50:
            p.produce("orders", b"x" * 700_000)
    p.flush()
    p.poll(0.2)
    asked = {**common, "client.id": "cart", "group.id": group, "auto.offset.reset": "earliest"}
    c = confluent_kafka.Consumer(asked, logger=log.logger)
    c.subscribe(["orders"])
    got, until = 0, time.time() + 20
    while got < 606 and time.time() < until:
        message = c.poll(0.3)
        got += message is not None and message.error() is None
    assert got == 606, got
    with contextlib.suppress(confluent_kafka.KafkaException):
        c.commit(asynchronous=False)
    c.close()
    p.poll(0.2)
    del p
    log.close()
    return librdkafka(log.lines)

def with_kafka_python(address):
    import kafka
    log = Log("kafka")
    p = kafka.KafkaProducer(bootstrap_servers=address, client_id="py", linger_ms=1, enable_idempotence=False)
    for i in range(300):
        p.send("logs", SECRET.encode() * (i % 90 + 1), key=SECRET.encode())
        if i % 10 == 0:
            p.flush()
        if i % 50 == 3:
            with contextlib.suppress(Exception):
                p.send("small", bytes(range(256)) * 100).get(5)
    p.flush()
    p.close()
    waits = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 9000}
    c = kafka.KafkaConsumer("logs", bootstrap_servers=address, group_id="py", **waits)
    got = sum(1 for _ in zip(range(300), c))
    assert got == 300, got
    c.close()
    log.close()
    return kafka_python_by_port(log.lines)

def behind(address):
    import kafka
    c = kafka.KafkaConsumer(bootstrap_servers=address, client_id="late", group_id="late", enable_auto_commit=False)
    ends = c.end_offsets([kafka.TopicPartition("logs", i) for i in range(2)])
    here, end = max(ends.items(), key=lambda one: one[1])
    c.assign([here])
    c.seek(here, end - 37)
    until = time.time() + 20
    while c.position(here) < end and time.time() < until:
        c.poll(500)
    c.commit({here: kafka.OffsetAndMetadata(end, "", -1)})
    c.seek(here, end - 11)
    while c.position(here) < end and time.time() < until:
        c.poll(500)
    c.close()
    return end

if sys.argv[2] == "mock":
    keeper = confluent_kafka.Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1, "log_level": 0})
    address = str(next(iter(keeper.list_topics(timeout=10).brokers.values()))).split("/")[0]
    keeper.poll(0)
    print(json.dumps([with_librdkafka(address, "mock"), {}, 0]))
else:
    port, sasl, inside, controller = (free_port() for _ in range(4))
    with broker(port, sasl, inside, controller):
        address = f"127.0.0.1:{port}"
        admin = AdminClient({"bootstrap.servers": address})
        small = NewTopic("small", 1, 1, config={"max.message.bytes": "1000"})
        for made in admin.create_topics([NewTopic("orders", 3, 1), NewTopic("logs", 2, 1), small]).values():
            made.result(10)
        print(json.dumps([with_librdkafka(address, "real"), with_kafka_python(address), behind(address)]))
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("tcpdump")
    for module in ("confluent_kafka", "kafka"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"NOT RUN: {module} is missing (pip install '.[test]')")
    made = Namespace(f"pr-kafka-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("server", ["broker", "mock"])
def test_the_clients_record_is_what_is_read(namespace: Namespace, tmp_path: Path, server: str) -> None:
    if server == "broker":
        missing = kafka_broker.why_not()
        if missing is not None:
            pytest.skip(f"NOT RUN: {missing} is missing")
        kafka_broker.jars()
    command = [sys.executable, "-c", WORKLOAD, os.fspath(VECTORS), server, os.fspath(VECTORS.parent.parent)]
    printed, collector = run_captured(namespace, tmp_path, command, shared=Shared())
    librdkafka, by_port, end = json.loads(printed)
    assert "hunter2" not in repr(collector.seen)
    for port, account in by_port.items():
        seen = collector.by_port[int(port)]
        told = [{name: one[name] for name in ("operation", "target", "status", "outcome") if name in one} for one in account]
        for one, line in zip(told, account, strict=True):
            if not line["answered"]:
                one["outcome"] = "closed"
        assert [{name: one[name] for name in wanted} for one, wanted in zip(seen, told, strict=True)] == told
    assert not by_port or sum(one.outcome == "error" and one["operation"] == "send" for one in collector.seen) >= 6
    # A consumer of librdkafka that is closed asks, and is answered, a little longer than it logs.
    every = [[one["operation"] for one in seen if one.outcome != "closed"] for seen in collector.by_port.values()]
    for account in librdkafka:
        answered = [one["operation"] for one in account if one["answered"]]
        alike = [seen for seen in every if seen[: len(answered)] == answered and len(seen) - len(answered) <= 3]
        assert alike, (answered, every)
        every.remove(min(alike, key=len))
    assert sum(len(account) for account in librdkafka) > 40
    if server == "broker":
        # Its group is known once it commits. What answers brought is asked for again when the consumer has read it.
        late = [lags for lags in collector.lags if ("logs", "") in lags or ("logs", "late") in lags]
        assert end == 300 and late == [{("logs", ""): 37}, {("logs", "late"): 11}]
