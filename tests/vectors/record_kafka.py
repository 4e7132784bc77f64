"""Records the vectors of Kafka: a real broker, real clients.

    python tests/vectors/record_kafka.py [name ...]        as record.py

Needs Java and Kafka's jars (`kafka_broker.py`), confluent-kafka, kafka-python and aiokafka. Expected is each client's own account
(`kafka_account.py`), found again by the correlation ids of a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import aiokafka
import confluent_kafka
import kafka
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_account import Account, Line, Log, java, kafka_python, librdkafka, operation
from kafka_broker import SECRET, VERSION, broker, jars
from record import Recording, Relay, free_port, write

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENTS_MAX = 46
BYTES_MAX = 60_000

Does = Callable[[Relay, Relay, int], tuple[str, Account]]
SCENARIOS: dict[str, Does] = {}


def scenario(name: str) -> Callable[[Does], Does]:
    def keep(function: Does) -> Does:
        SCENARIOS[name] = function
        return function

    return keep


def at(relay: Relay) -> str:
    return f"127.0.0.1:{relay.port}"


# --- librdkafka ---


def with_librdkafka(does: Callable[[Log], None]) -> tuple[str, Account]:
    log = Log("librdkafka")
    does(log)
    log.close()
    return f"confluent-kafka {confluent_kafka.version()[0]}", librdkafka(log.lines)


def settings(relay: Relay, client: str, **more: Any) -> dict[str, Any]:
    dotted = {name.replace("_", "."): value for name, value in more.items()}
    return {"bootstrap.servers": at(relay), "client.id": client, "debug": "protocol", **dotted}


@scenario("librdkafka-produce")
def librdkafka_produce(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    def does(log: Log) -> None:
        p = confluent_kafka.Producer(settings(relay, "shop", linger_ms=5), logger=log.logger)
        p.produce("orders", SECRET.encode(), b"key", partition=0, headers={"traceparent": TRACE, "secret": SECRET})
        p.flush()
        for i in range(5):
            p.produce("orders", SECRET.encode() * 40, partition=1, headers={"traceparent": TRACE if i % 2 else OTHER})
        p.produce("logs", b"v")
        p.flush()
        for codec in ("x" * 3000, "y" * 20000):
            p.produce("small", codec.encode())
            p.flush()
        p.poll(0.1)
        del p

    return with_librdkafka(does)


@scenario("librdkafka-acks-0")
def librdkafka_acks_0(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    def does(log: Log) -> None:
        p = confluent_kafka.Producer(settings(relay, "forgets", acks=0, compression_type="snappy"), logger=log.logger)
        for i in range(3):
            p.produce("orders", b"v" * 200 * i, partition=0)
            p.flush()
        p.poll(0.1)
        del p

    return with_librdkafka(does)


def consume(relay: Relay, log: Log, client: str, count: int, topics: list[str], **more: Any) -> None:
    c = confluent_kafka.Consumer(
        settings(relay, client, group_id=client, auto_offset_reset="earliest", enable_auto_commit=False, **more), logger=log.logger
    )
    c.subscribe(topics)
    until = time.time() + 10
    while count > 0 and time.time() < until:
        message = c.poll(0.3)
        count -= 1 if message is not None and message.error() is None else 0
    c.commit(asynchronous=False)
    c.poll(0)
    c.close()


@scenario("librdkafka-consume")
def librdkafka_consume(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    return with_librdkafka(lambda log: consume(relay, log, "cart", 6, ["orders"]))


@scenario("librdkafka-consume-new")
def librdkafka_consume_new(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    return with_librdkafka(lambda log: consume(relay, log, "cart-new", 6, ["orders", "logs"], group_protocol="consumer"))


@scenario("librdkafka-sasl")
def librdkafka_sasl(_: Relay, relay: Relay, __: int) -> tuple[str, Account]:
    def does(log: Log) -> None:
        secrets = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
        secrets |= {"sasl_username": "lab", "sasl_password": SECRET}
        p = confluent_kafka.Producer(settings(relay, "secretive", **secrets), logger=log.logger)
        p.produce("orders", b"v", partition=0)
        p.flush()
        p.poll(0.1)
        del p

    return with_librdkafka(does)


# --- kafka-python ---


def with_kafka_python(does: Callable[[], None]) -> tuple[str, Account]:
    log = Log("kafka")
    does()
    log.close()
    return f"kafka-python {kafka.__version__}", kafka_python(log.lines)


@scenario("kafka-python-produce")
def kafka_python_produce(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    def does() -> None:
        p = kafka.KafkaProducer(bootstrap_servers=at(relay), client_id="zip", compression_type="gzip")
        for _ in range(3):
            p.send("logs", b"x" * 200, headers=[("traceparent", TRACE.encode())])
        p.flush()
        with contextlib.suppress(Exception):
            p.send("small", bytes(range(256)) * 40).get(5)
        with contextlib.suppress(Exception):
            p.send("small", b"y" * 50).get(5)
        p.close()

    return with_kafka_python(does)


@scenario("kafka-python-acks-0")
def kafka_python_acks_0(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    def does() -> None:
        p = kafka.KafkaProducer(bootstrap_servers=at(relay), client_id="zero", acks=0, enable_idempotence=False)
        p.send("logs", b"one")
        p.flush()
        p.send("logs", b"two")
        p.flush()
        p.close()

    return with_kafka_python(does)


@scenario("kafka-python-old")
def kafka_python_old(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    """As a broker of 2.1 is spoken to: nothing is flexible."""

    def does() -> None:
        p = kafka.KafkaProducer(bootstrap_servers=at(relay), client_id="old", api_version=(2, 1), enable_idempotence=False)
        p.send("logs", b"v", headers=[("traceparent", OTHER.encode())])
        p.flush()
        p.close()
        c = kafka.KafkaConsumer(
            "orders",
            bootstrap_servers=at(relay),
            client_id="old",
            group_id="old",
            auto_offset_reset="earliest",
            api_version=(2, 1),
            consumer_timeout_ms=1200,
        )
        assert len(list(c)) > 3
        c.close()

    return with_kafka_python(does)


@scenario("kafka-python-admin")
def kafka_python_admin(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    def does() -> None:
        c = kafka.KafkaAdminClient(bootstrap_servers=at(relay), client_id="admin")
        topic = kafka.admin.NewTopic("made", 2, 1)
        for step in (
            lambda: c.create_topics([topic]),
            lambda: c.create_topics([topic]),
            lambda: c.list_topics(),
            lambda: c.delete_topics(["made"]),
            lambda: c.delete_topics(["missing"]),
            lambda: c.list_groups(),
        ):
            with contextlib.suppress(Exception):
                step()
        c.close()

    return with_kafka_python(does)


# --- aiokafka ---


@scenario("aiokafka")
def with_aiokafka(relay: Relay, _: Relay, __: int) -> tuple[str, Account]:
    connections: dict[int, list[Line]] = {}
    plain = aiokafka.conn.AIOKafkaConnection.send

    def send(self: Any, request: Any, expect_response: bool = True) -> Any:
        lines = connections.setdefault(id(self), [])
        lines.append({"id": self._correlation_id + 1, "operation": operation(type(request).__name__.split("_")[0])})
        return plain(self, request, expect_response)

    aiokafka.conn.AIOKafkaConnection.send = send
    kept: list[Any] = []

    async def does() -> None:
        p = aiokafka.AIOKafkaProducer(bootstrap_servers=at(relay), client_id="aio")
        await p.start()
        await p.send_and_wait("logs", b"v", headers=[("traceparent", TRACE.encode())])
        await p.stop()
        c = aiokafka.AIOKafkaConsumer(
            "orders", bootstrap_servers=at(relay), group_id="aio", client_id="aio", auto_offset_reset="earliest"
        )
        await c.start()
        await c.getone()
        await c.commit()
        await c.stop()
        kept.extend((p, c))

    asyncio.run(does())
    aiokafka.conn.AIOKafkaConnection.send = plain
    return f"aiokafka {aiokafka.__version__}", list(connections.values())


# --- Java ---


def with_java(relay: Relay, what: str, port: int) -> tuple[str, Account]:
    debug = "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.NetworkClient=debug"
    source = str(Path(__file__).parent / "Clients.java")
    command = ["java", "-Xmx200m", debug, "-cp", f"{jars()}/*", source, at(relay), what, f"127.0.0.1:{port}"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert said.returncode == 0, said.stderr[-2000:]
    return f"kafka-clients {VERSION}", java(said.stderr.splitlines())


@scenario("java-transaction")
def java_transaction(relay: Relay, _: Relay, port: int) -> tuple[str, Account]:
    return with_java(relay, "transaction", port)


@scenario("java-consumer")
def java_consumer(relay: Relay, _: Relay, port: int) -> tuple[str, Account]:
    return with_java(relay, "consumer", port)


@scenario("java-share")
def java_share(relay: Relay, _: Relay, port: int) -> tuple[str, Account]:
    return with_java(relay, "share", port)


# --- what belongs together ---


def ids(recording: Recording) -> list[int]:
    """The correlation ids of a connection's requests: [i32 length][i16][i16][i32 correlation id] ..."""
    stream = b"".join(piece for _, to_server, piece in recording.events if to_server and piece is not None)
    found, place = [], 0
    while len(stream) - place >= 12:
        found.append(int.from_bytes(stream[place + 8 : place + 12], "big"))
        place += 4 + int.from_bytes(stream[place : place + 4], "big")
    return found


def alike(logged: list[int], asked: list[int]) -> bool:
    """A client that is closed may ask once more than it logs, or log what it does not send."""
    shorter = min(len(logged), len(asked))
    return logged[:shorter] == asked[:shorter] and abs(len(logged) - len(asked)) < 3


def cut(recording: Recording, account: list[Line]) -> list[Line]:
    """What a connection must give, in the order of the answers; a vector that would be too long ends where nothing waits."""
    size, best = 0, (0, 0)
    known = {line["id"] for line in account}
    waiting: set[int] = set()
    order: list[int] = []
    inside = {True: b"", False: b""}
    silent = {line["id"] for line in account if line["operation"] == "send" and not line.get("answered", True)}
    for number, (_, to_server, piece) in enumerate(recording.events):
        if piece is None:
            continue
        if not waiting <= known:
            break  # the client's log ended before
        inside[to_server] += piece
        size += len(piece)
        while len(inside[to_server]) >= 4:
            length = 4 + int.from_bytes(inside[to_server][:4], "big")
            if len(inside[to_server]) < length:
                break
            frame, inside[to_server] = inside[to_server][:length], inside[to_server][length:]
            key = int.from_bytes(frame[8:12] if to_server else frame[4:8], "big")
            if not to_server or key in silent:
                waiting.discard(key)
                order.append(key)
            else:
                waiting.add(key)
        if not waiting and not inside[True] and not inside[False] and number < EVENTS_MAX and size < BYTES_MAX:
            best = (number + 1, len(order))
    if best[0] == 0:
        return []
    whole = len(recording.events) <= EVENTS_MAX and size < BYTES_MAX and not waiting and known >= set(ids(recording))
    if not whole:
        recording.events = recording.events[: best[0]]
        order = order[: best[1]]
    by_id = {line["id"]: line for line in account}
    said = []
    for key in order:
        one = {name: value for name, value in by_id[key].items() if name not in ("id", "answered")}
        if key in silent:
            one |= {"outcome": "one_way", "status": None}
        said.append(one)
    return said


def main() -> None:
    words = sys.argv[1:] or [""]
    port, sasl, inside, controller = (free_port() for _ in range(4))
    relay, relay_sasl = Relay(port), Relay(sasl)
    with broker(port, sasl, inside, controller, relay.port, relay_sasl.port):
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}"})
        small = NewTopic("small", 1, 1, config={"max.message.bytes": "1000"})
        for made in admin.create_topics([NewTopic("orders", 2, 1), NewTopic("logs", 1, 1), small]).values():
            made.result(10)
        if words != [""]:
            SCENARIOS["librdkafka-produce"](Relay(port), relay_sasl, port)
        for name, does in SCENARIOS.items():
            if not any(word in name for word in words):
                continue
            relay.recordings.clear()
            relay_sasl.recordings.clear()
            client, account = does(relay, relay_sasl, port)
            time.sleep(0.5)
            about = {"folder": "kafka", "protocol": "kafka", "server": f"Kafka {VERSION}", "client": client}
            written = 0
            for recording in (*relay.recordings, *relay_sasl.recordings):
                asked = ids(recording)
                mine = next((lines for lines in account if alike([line["id"] for line in lines], asked)), None)
                if mine is None:
                    print(f"{name}: no account of {asked[:9]} among {[[one['id'] for one in lines][:9] for lines in account]}")
                    continue
                account.remove(mine)
                if len(mine) < 3 and len(relay.recordings) > 1 and len(mine) < max(len(lines) for lines in [*account, mine]):
                    continue  # a bootstrap, as everywhere
                expected = cut(recording, mine)
                if expected:
                    written += 1
                    write(f"{name}-{written}", about, recording, expected)


if __name__ == "__main__":
    main()
