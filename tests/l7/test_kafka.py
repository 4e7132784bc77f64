"""Kafka: vectors from a real broker and its clients, then each rule of the protocol and each attack by name.

Expected values come from the clients' own accounts in the vectors, from Kafka's protocol guide, and from kafka-python's own
encoders, which are another implementation.
"""

from __future__ import annotations

import gzip
import importlib
import pkgutil
import random
import re
import struct
import uuid
from dataclasses import replace
from typing import Any

import kafka.codec
import kafka.protocol
import pytest
import snappy
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.protocol.api_message import ApiMessage
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.config import Kafka, Messaging, PcapReceiver
from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.kafka import rows
from receiver.l7.kafka_names import APIS
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import PROTOCOLS
from receiver.l7.shared import Shared
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Protocol, Roundtrip
from tests.l7.harness import (
    CLIENT_SIDE,
    SERVER_SIDE,
    START_NS,
    TO_CLIENT,
    TO_SERVER,
    Collector,
    Run,
    Vector,
    check_vector,
    exchange,
    load_all,
)

VECTORS = load_all("kafka")


class Unnamed(Collector):
    """Leaves out what a poll is of: a session, and a topic by its number, were named before, which may be lost."""

    leaves = ("poll",)

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        super().roundtrip(roundtrip)
        one = self.seen[-1]
        if one.request.operation in self.leaves:
            kept = tuple(pair for pair in one.request.attributes if pair[0] == "messaging.client.id")
            response = None if one.response is None else replace(one.response, target=None)
            request = replace(one.request, target=None, summary=None, attributes=kept)
            self.seen[-1] = replace(one, request=request, response=response)
        return 0


class UnnamedRun(Run):
    keeps = Unnamed


class UnnamedLong(Unnamed):
    """And of a request that is longer than a window, what may be lost with its end."""

    leaves = ("poll", "send")


class UnnamedLongRun(Run):
    keeps = UnnamedLong


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    long = any(len(event.payload or b"") >= 16384 for event in vector.events)
    expected = [{k: v for k, v in one.items() if k != "target"} for one in vector.expected] if long else vector.expected
    # A byte that is left of the first request, and can be a length's first, spoils the second: nothing is known yet.
    second = vector.expected[1]["operation"]
    runs = UnnamedLongRun if long else UnnamedRun
    check_vector(rows(Shared()), replace(vector, expected=expected), lambda seen: seen.request.operation != second, runs=runs)


# --- messages by another implementation ---

CHANCE = random.Random(11)


def filled(field: Any, version: int, owner: Any) -> Any:
    """Some value of a field of kafka-python's schemas."""
    if field._type_str == "bitfield":
        return set()  # kafka-python makes the bits of it
    kind = field._type_str.removeprefix("[]")
    several = field._type_str.startswith("[]")
    if field.nullable_for_version_q(version) and CHANCE.random() < 0.2:
        return None
    count = CHANCE.randint(0, 3) if several else 1
    made = [one_of(kind, field, version, owner) for _ in range(count)]
    return made if several else made[0]


def one_of(kind: str, field: Any, version: int, owner: Any) -> Any:
    if kind[0].isupper():
        return instance(getattr(owner, kind), version)
    if kind == "string":
        return f"n{CHANCE.randint(0, 10 ** CHANCE.randint(0, 60))}"
    if kind in ("bytes", "records"):
        return CHANCE.randbytes(CHANCE.choice((0, 5, 200)))
    if kind == "uuid":
        return uuid.UUID(bytes=CHANCE.randbytes(16))
    if kind == "bool":
        return CHANCE.random() < 0.5
    return 1.5 if kind == "float64" else CHANCE.randint(0, 100)


def instance(made: Any, version: int) -> Any:
    there = {n: f for n, f in made.fields.items() if f.for_version_q(version)}
    values = {n: filled(f, version, made) for n, f in there.items()}
    return made(version=version, **values)


def messages(suffix: str) -> list[tuple[Any, int]]:
    for module in pkgutil.walk_packages(kafka.protocol.__path__, "kafka.protocol."):
        if "generate" not in module.name:
            importlib.import_module(module.name)
    found = {each.API_KEY: each for each in subclasses(ApiMessage) if each.type == suffix and each._class_version is None}
    known = {row[0]: row for row in APIS}
    return [
        (found[key], version)
        for key in sorted(found)
        if key in known
        for version in range(min(found[key].max_version, known[key][2]) + 1)
    ]


def subclasses(of: Any) -> list[Any]:
    return [one for each in of.__subclasses__() for one in (each, *subclasses(each))]


def framed(message: Any, number: int, client: str | None = "me") -> bytes:
    if message.is_request():
        message.with_header(correlation_id=number, client_id=client)
    else:
        message.with_header(correlation_id=number)
    body = bytes(message.encode(header=True))
    return len(body).to_bytes(4, "big") + body


REQUESTS = messages("request")


def test_kafka_python_knows_most_kinds() -> None:
    assert len({made.API_KEY for made, _ in REQUESTS}) >= 40 and len(REQUESTS) >= 200


@pytest.mark.parametrize(("made", "version"), REQUESTS, ids=lambda one: getattr(one, "name", one))
def test_layout_of_every_request_that_kafka_python_writes(made: Any, version: int) -> None:
    """The whole body is used up by its layout: else it would not be found."""
    for _ in range(6):
        message = instance(made, version)
        run = Run(rows(Shared()))
        run.feed(TO_SERVER, framed(message, 7))
        (seen,) = run.end()
        named = {"send", "poll", "commit", "replica_fetch"}
        assert seen.request.operation in named or seen.request.operation == snake(made.name)
        assert not run.reading.errors


@pytest.mark.parametrize(("made", "version"), messages("response"), ids=lambda one: getattr(one, "name", one))
def test_layout_of_every_response_that_kafka_python_writes(made: Any, version: int) -> None:
    asked = next(one for one, _ in REQUESTS if made.API_KEY == one.API_KEY)
    if version > asked.max_version:
        return
    for _ in range(6):
        run = Run(rows(Shared()))
        run.feed(TO_SERVER, framed(instance(asked, version), 7))
        run.feed(TO_CLIENT, framed(instance(made, version), 7))
        (seen,) = run.end()
        assert seen.outcome in ("ok", "error", "one_way") and not run.reading.errors, seen


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.removesuffix("Request")).lower()


# --- rules ---


def frame(kind: int, version: int, number: int, body: bytes, client: bytes = b"me") -> bytes:
    head = struct.pack(">HHIH", kind, version, number, len(client)) + client
    return struct.pack(">I", len(head) + len(body)) + head + body


def answer(number: int, body: bytes) -> bytes:
    return struct.pack(">II", len(body) + 4, number) + body


def batch(*headers: list[tuple[bytes, bytes]], attributes: int = 0, value: bytes = b"v", packed: bytes | None = None) -> bytes:
    """A batch of format 2, a record for each list of headers."""
    records = b""
    for i, pairs in enumerate(headers):
        one = b"\0" + varint(0) + varint(i) + varint(-1) + varint(len(value)) + value + varint(len(pairs))
        for name, text in pairs:
            one += varint(len(name)) + name + varint(len(text)) + text
        records += varint(len(one)) + one
    records = records if packed is None else packed
    tail = struct.pack(">IBIHIQQQHII", 0, 2, 0, attributes, len(headers) - 1, 0, 0, 0, 0, 0, len(headers)) + records
    return struct.pack(">QI", 5, len(tail)) + tail


def varint(value: int) -> bytes:
    value = value * 2 if value >= 0 else -value * 2 - 1
    made = b""
    while value >= 0x80:
        made += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return made + bytes((value,))


def produce(number: int, *topics: tuple[bytes, list[bytes]], acks: int = 1) -> bytes:
    body = struct.pack(">hhII", -1, acks, 1000, len(topics))
    for name, batches in topics:
        body += struct.pack(">H", len(name)) + name + struct.pack(">I", len(batches))
        for i, records in enumerate(batches):
            body += struct.pack(">II", i, len(records)) + records
    return frame(0, 3, number, body)


def produced(number: int, *topics: tuple[bytes, list[int]]) -> bytes:
    body = struct.pack(">I", len(topics))
    for name, codes in topics:
        body += struct.pack(">H", len(name)) + name + struct.pack(">I", len(codes))
        body += b"".join(struct.pack(">IhQQ", i, code, 40 + i, 0) for i, code in enumerate(codes))
    return answer(number, body + bytes(4))


def fetch(
    number: int,
    *topics: bytes,
    wait: int = 500,
    epoch: int = 0,
    replica: int = -1,
    offset: int = 5,
    dropped: tuple[bytes, ...] = (),
    client: bytes = b"me",
) -> bytes:
    """Of each topic partition 0 from `offset` on; those that are `dropped` no longer."""
    body = struct.pack(">iIIIBIiI", replica, wait, 1, 1 << 20, 0, 7, epoch, len(topics))
    for name in topics:
        body += struct.pack(">H", len(name)) + name + struct.pack(">IIQQI", 1, 0, offset, 0, 1 << 20)
    body += struct.pack(">I", len(dropped))
    for name in dropped:
        body += struct.pack(">H", len(name)) + name + struct.pack(">II", 1, 0)
    return frame(1, 7, number, body, client)


def fetched(number: int, *topics: tuple[bytes, int, bytes], end: int = 9) -> bytes:
    body = struct.pack(">IhII", 0, 0, 7, len(topics))
    for name, code, records in topics:
        body += struct.pack(">H", len(name)) + name + struct.pack(">IIhqqQiI", 1, 0, code, end, end, 0, -1, len(records)) + records
    return answer(number, body)


CONTEXT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECOND = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Whole(Collector):
    """Also how many messages, which links, and whether there is a span."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: list[tuple[int, bytes | None, bool]] = []
        self.awaited: list[bool] = []

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        request, response = roundtrip.request, roundtrip.response
        assert request is not None
        said = [one for one in (request, response) if one is not None]
        links = b"".join(one.links or b"" for one in said)
        self.awaited.append(request.awaits)
        self.moved.append((sum(one.messages for one in said), links or None, any(one.metric_only for one in said)))
        return super().roundtrip(roundtrip)


class WholeRun(Run):
    keeps = Whole

    @property
    def moved(self) -> list[tuple[int, bytes | None, bool]]:
        assert isinstance(self.collector, Whole)
        return self.collector.moved


def started(**settings: Any) -> WholeRun:
    run = WholeRun(rows(Shared(PcapReceiver(**settings))))
    run.feed(TO_SERVER, frame(18, 0, 0, b"")).feed(TO_CLIENT, answer(0, bytes(6)))
    return run


def test_produce_of_one_topic() -> None:
    run = started()
    run.feed(TO_SERVER, produce(1, (b"orders", [batch([], [], [])]))).feed(TO_CLIENT, produced(1, (b"orders", [0])))
    seen = run.end()[-1]
    assert (seen.outcome, seen["operation"], seen["target"], seen["namespace"]) == ("ok", "send", "orders", "send")
    assert seen["messaging.client.id"] == "me"
    assert seen["messaging.batch.message_count"] == 3 and seen["messaging.destination.partition.id"] == "0"
    assert run.moved[-1] == (3, None, False)


def test_offset_of_a_single_record() -> None:
    run = started()
    run.feed(TO_SERVER, produce(1, (b"orders", [batch([])]))).feed(TO_CLIENT, produced(1, (b"orders", [0])))
    assert run.end()[-1]["messaging.kafka.offset"] == 40


def test_several_topics_are_no_destination() -> None:
    run = started()
    run.feed(TO_SERVER, produce(1, (b"a", [batch([])]), (b"b", [batch([])] * 2)))
    run.feed(TO_CLIENT, produced(1, (b"a", [0]), (b"b", [0, 0])))
    seen = run.end()[-1]
    assert seen["target"] == "" and seen["messaging.destination.partition.id"] is None
    assert run.moved[-1][0] == 3


def test_worst_error_of_the_partitions() -> None:
    """One that may be tried again is less bad than one that may not."""
    run = started()
    run.feed(TO_SERVER, produce(1, (b"a", [batch([])] * 3))).feed(TO_CLIENT, produced(1, (b"a", [6, 10, 0])))
    seen = run.end()[-1]
    assert (seen.outcome, seen["status"], seen["error_type"]) == ("error", "MESSAGE_TOO_LARGE", "MESSAGE_TOO_LARGE")


@pytest.mark.parametrize(("code", "name"), [(-1, "UNKNOWN_SERVER_ERROR"), (3, "UNKNOWN_TOPIC_OR_PARTITION"), (9999, "_OTHER")])
def test_error_by_its_name(code: int, name: str) -> None:
    run = started()
    run.feed(TO_SERVER, produce(1, (b"a", [batch([])]))).feed(TO_CLIENT, produced(1, (b"a", [code])))
    assert run.end()[-1]["error_type"] == name


def test_acks_0_is_one_way_even_in_windows() -> None:
    run = started()
    large = batch([], value=bytes(100_000))
    wire = produce(1, (b"a", [large, large]), acks=0)
    for at in range(0, len(wire), 1400):
        run.feed(TO_SERVER, wire[at : at + 1400])
    run.feed(TO_SERVER, fetch(2, b"a")).feed(TO_CLIENT, fetched(2))
    one_way, poll = run.seen[-2:]
    assert (one_way.outcome, one_way["target"], run.moved[-2][0]) == ("one_way", "a", 2)
    assert one_way.sizes == (len(wire),) and poll.outcome == "ok"
    run.end()


def test_acks_0_that_breaks_off() -> None:
    run = started()
    run.feed(TO_SERVER, produce(1, (b"a", [batch([], value=bytes(100_000))] * 2), acks=0)[:50_000])
    run.gap(TO_SERVER, 0)
    assert run.end()[-1].outcome == "lost"


def test_100_mb_are_passed_over() -> None:
    run = started()
    head = produce(1, (b"a", [batch([], value=b"")]))
    wire = bytearray(head)
    extra = 100_000_000
    for place, size in ((0, 4), (len(head) - len(batch([], value=b"")) - 4, 4)):
        wire[place : place + size] = (int.from_bytes(wire[place : place + size], "big") + extra).to_bytes(size, "big")
    place = len(head) - len(batch([], value=b"")) + 8
    wire[place : place + 4] = (int.from_bytes(wire[place : place + 4], "big") + extra).to_bytes(4, "big")
    run.feed(TO_SERVER, bytes(wire))
    for _ in range(extra // 1_000_000):
        run.feed(TO_SERVER, bytes(1_000_000))
    run.feed(TO_CLIENT, produced(1, (b"a", [0])))
    seen = run.end()[-1]
    assert seen.outcome == "ok" and seen.sizes[0] == len(wire) + extra and run.moved[-1][0] == 1


def test_answer_of_many_windows_has_all_its_errors_and_records() -> None:
    run = started()
    several = batch(*[[]] * 50, value=bytes(300))
    run.feed(TO_SERVER, fetch(1, b"a", b"b", b"c"))
    wire = fetched(1, (b"a", 0, several * 3), (b"b", 1, b""), (b"c", 0, several * 4))
    for at in range(0, len(wire), 1448):
        run.feed(TO_CLIENT, wire[at : at + 1448])
    seen = run.end()[-1]
    assert (seen.outcome, seen["error_type"], run.moved[-1][0]) == ("error", "OFFSET_OUT_OF_RANGE", 350)
    assert seen["target"] == "" and seen.sizes[1] == len(wire)


def test_batch_that_the_broker_cut_is_not_counted() -> None:
    run = started()
    run.feed(TO_SERVER, fetch(1, b"a")).feed(TO_CLIENT, fetched(1, (b"a", 0, batch([], []) + batch([], [], [])[:-3])))
    run.end()
    assert run.moved[-1][0] == 2


def test_batch_of_records_is_no_request_of_a_client_without_a_name() -> None:
    """Its size, and its first offset as kind, version and number; then the upper half of its length as that of a name."""
    whole = produce(1, (b"a", [batch([])]))
    at = whole.index(batch([])) - 4
    (row,) = rows(Shared())
    run = WholeRun((Protocol("kafka", "kafka", row.decoder, ports=tuple(range(65536))),))  # its own port: less proves a request
    run.feed(TO_SERVER, frame(18, 0, 0, b"")).feed(TO_CLIENT, answer(0, bytes(6)))
    run.gap(TO_SERVER, 0)
    run.feed(TO_SERVER, whole[at:])
    assert [one["operation"] for one in run.end()] == ["api_versions"]


def test_empty_poll_has_no_span() -> None:
    run = started()
    run.feed(TO_SERVER, fetch(1, b"a")).feed(TO_CLIENT, fetched(1, (b"a", 0, b"")))
    run.feed(TO_SERVER, fetch(2, b"a")).feed(TO_CLIENT, fetched(2, (b"a", 3, b"")))
    run.end()
    assert [one[2] for one in run.moved[-2:]] == [True, False]
    assert isinstance(run.collector, Whole) and run.collector.awaited[-2:] == [True, False]


def test_fetch_of_a_session_is_of_its_topic() -> None:
    run = started()
    run.feed(TO_SERVER, fetch(1, b"a")).feed(TO_CLIENT, fetched(1))
    run.feed(TO_SERVER, fetch(2, epoch=1)).feed(TO_CLIENT, fetched(2, (b"a", 0, batch([]))))
    run.feed(TO_SERVER, fetch(3, b"b", epoch=2)).feed(TO_CLIENT, fetched(3))
    run.feed(TO_SERVER, fetch(4, epoch=3)).feed(TO_CLIENT, fetched(4, (b"b", 0, batch([]))))
    assert [one["target"] for one in run.end()[1:]] == ["a", "a", "", "b"]


def test_copying_broker_is_no_consumer() -> None:
    run = started()
    run.feed(TO_SERVER, fetch(1, b"a", replica=2)).feed(TO_CLIENT, fetched(1, (b"a", 0, batch([]))))
    assert run.end()[-1]["operation"] == "replica_fetch"
    assert run.moved[-1] == (0, None, True)


@pytest.mark.parametrize(("wait", "outcome"), [(500, "timeout"), (60_000, "closed")])
def test_long_poll_may_wait(wait: int, outcome: str) -> None:
    run = started()
    run.feed(TO_SERVER, fetch(1, b"a", wait=wait))
    run.conversation.expire(START_NS + 100_000_000_000)
    assert run.end()[-1].outcome == outcome


def test_context_of_the_first_record_is_the_parent_and_others_are_links() -> None:
    run = started()
    mine, other = [(b"traceparent", CONTEXT), (b"secret", b"x")], [(b"traceparent", SECOND)]
    run.feed(TO_SERVER, produce(1, (b"a", [batch([], mine, other, mine)]))).feed(TO_CLIENT, produced(1, (b"a", [0])))
    seen = run.end()[-1]
    assert seen.request.trace_id == bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
    assert seen.request.parent_id == bytes.fromhex("00f067aa0ba902b7") and seen.request.trace_flags == 1
    assert run.moved[-1][1] == bytes.fromhex("0af7651916cd43dd8448eb211c80319cb7ad6b716920333100")


def test_context_behind_the_first_window_is_a_link() -> None:
    run = started()
    large = batch([], value=bytes(30_000))
    first, second = batch([(b"traceparent", CONTEXT)]), batch([(b"traceparent", SECOND)])
    wire = produce(1, (b"a", [first, large, second]))
    run.feed(TO_SERVER, wire).feed(TO_CLIENT, produced(1, (b"a", [0] * 3)))
    run.feed(TO_SERVER, produce(2, (b"a", [large, first, second]))).feed(TO_CLIENT, produced(2, (b"a", [0] * 3)))
    one, other = run.end()[-2:]
    assert one.request.trace_id is not None and other.request.trace_id is None
    assert [len(links or b"") for _, links, _ in run.moved[-2:]] == [25, 50]


def test_contexts_of_what_is_fetched_are_links() -> None:
    run = started()
    run.feed(TO_SERVER, fetch(1, b"a")).feed(TO_CLIENT, fetched(1, (b"a", 0, batch([(b"traceparent", CONTEXT)]))))
    assert run.end()[-1].request.trace_id is None
    assert run.moved[-1][1] == bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b701")


COMPRESSED = {
    "gzip": (1, gzip.compress),
    "snappy": (2, snappy.compress),
    "snappy-blocks": (2, kafka.codec.snappy_encode),  # as kafka-python writes it, and Java's client
    "zstd": (4, zstd.compress),
}


@pytest.mark.parametrize("how", COMPRESSED)
@pytest.mark.parametrize("asked", [True, False])
def test_compressed_batch_is_inflated_where_that_is_asked_for(asked: bool, how: str) -> None:
    inside = batch([(b"traceparent", CONTEXT)])[61:]
    number, compress = COMPRESSED[how]
    run = started(kafka=Kafka(record_headers=asked))
    packed = batch([], attributes=number, packed=compress(inside))
    run.feed(TO_SERVER, produce(1, (b"a", [packed]))).feed(TO_CLIENT, produced(1, (b"a", [0])))
    seen = run.end()[-1]
    assert (seen.request.trace_id is not None) is asked
    assert seen["pcap_receiver.kafka.compression"] == how.partition("-")[0] and run.moved[-1][0] == 1


BOMB = bytes(10_000_000)


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize(
    "packed",
    [
        b"nonsense",
        b"",
        b"\x82SNAPPY\0" + bytes(20),
        gzip.compress(BOMB)[:9000],
        snappy.compress(BOMB)[:9000],
        kafka.codec.snappy_encode(BOMB)[:9000],
        zstd.compress(BOMB)[:9000],
    ],
)
def test_compressed_nonsense_does_no_harm(packed: bytes, number: int) -> None:
    limits: dict[str, int] = {}
    run = WholeRun(rows(Shared(PcapReceiver(kafka=Kafka(record_headers=True)), limits=limits)))
    one = batch([], attributes=number, packed=packed)
    run.feed(TO_SERVER, produce(1, (b"a", [one]))).feed(TO_CLIENT, produced(1, (b"a", [0])))
    assert run.end()[-1].outcome == "ok"
    bombs = {1: b"\x1f\x8b", 2: (b"\x80\xad\xe2\x04", b"\x82SNAPPY\0\0\0"), 4: b"\x28\xb5\x2f\xfd"}
    assert limits["kafka_inflate"] == (1 if packed.startswith(bombs[number]) and len(packed) > 100 else 0)


def test_group_is_known_to_the_polls_of_its_connection() -> None:
    run = started()
    run.feed(TO_SERVER, frame(12, 0, 1, b"\0\4cart\0\0\0\1\0\1m")).feed(TO_CLIENT, answer(1, bytes(2)))
    run.feed(TO_SERVER, fetch(2, b"a")).feed(TO_CLIENT, fetched(2, (b"a", 0, batch([]))))
    assert run.end()[-1]["summary"] == "cart"


# --- how far a consumer is behind ---


def consumer(shared: Shared) -> WholeRun:
    return WholeRun(rows(shared), vantage=CLIENT_SIDE)


def lags(shared: Shared, after_s: float = 1.0) -> dict[tuple[str, str], int]:
    return shared.levels.behind(START_NS + int(after_s * 1e9))


def heartbeat(number: int, group: bytes, client: bytes = b"me") -> bytes:
    return frame(12, 0, number, struct.pack(">H", len(group)) + group + bytes(4) + b"\0\1m", client)


def test_lag_is_the_end_less_what_was_asked_for_last() -> None:
    """Answers leave out partitions of which nothing is new (KIP-227): the ends that they told before hold."""
    shared = Shared()
    run = consumer(shared)
    run.feed(TO_SERVER, fetch(1, b"orders", b"audit"))
    assert lags(shared) == {}
    run.feed(TO_CLIENT, fetched(1, (b"orders", 0, batch([], [])), (b"audit", 0, b""), end=105))
    assert lags(shared) == {("orders", ""): 100, ("audit", ""): 100}
    run.feed(TO_SERVER, fetch(2, b"orders", epoch=1, offset=7)).feed(TO_CLIENT, fetched(2))
    assert lags(shared) == {("orders", ""): 98, ("audit", ""): 100}
    run.feed(TO_SERVER, fetch(3, b"orders", epoch=2, offset=105)).feed(TO_CLIENT, fetched(3))
    assert lags(shared) == {("orders", ""): 0, ("audit", ""): 100}
    run.feed(TO_SERVER, fetch(4, epoch=3, dropped=(b"audit",))).feed(TO_CLIENT, fetched(4, (b"orders", 3, b""), end=-1))
    assert lags(shared) == {("orders", ""): 0}
    run.feed(TO_SERVER, fetch(5, b"other")).feed(TO_CLIENT, fetched(5, (b"other", 0, b""), end=5))
    assert lags(shared) == {("other", ""): 0}
    assert lags(shared, 299) == {("other", ""): 0} and lags(shared, 302) == {}


def test_lag_of_a_connection_ends_with_it_and_consumers_of_a_group_are_one() -> None:
    shared = Shared()
    runs = [consumer(shared) for _ in range(2)]
    for run in runs:
        run.feed(TO_SERVER, fetch(1, b"orders")).feed(TO_CLIENT, fetched(1, (b"orders", 0, b"")))
    assert lags(shared) == {("orders", ""): 8}
    del run
    runs.pop()
    assert lags(shared) == {("orders", ""): 4}


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
def test_lag_is_unknown_behind_a_hole(direction: int) -> None:
    shared = Shared()
    run = consumer(shared)
    run.feed(TO_SERVER, fetch(1, b"orders")).feed(TO_CLIENT, fetched(1, (b"orders", 0, b""))).gap(direction, 10)
    assert lags(shared) == {}
    run.feed(TO_SERVER, fetch(2, epoch=1)).feed(TO_CLIENT, fetched(2, (b"orders", 0, b"")))
    assert lags(shared) == ({} if direction == TO_SERVER else {("orders", ""): 4})


def test_group_of_a_client_is_known_from_its_other_connection_unless_there_are_two() -> None:
    shared = Shared()
    coordinator, run = consumer(shared), consumer(shared)
    coordinator.feed(TO_SERVER, heartbeat(1, b"billing")).feed(TO_CLIENT, answer(1, bytes(2)))
    coordinator.feed(TO_SERVER, heartbeat(2, b"shipping", b"other")).feed(TO_CLIENT, answer(2, bytes(2)))
    run.feed(TO_SERVER, fetch(1, b"orders")).feed(TO_CLIENT, fetched(1, (b"orders", 0, b"")))
    assert lags(shared) == {("orders", "billing"): 4}
    coordinator.feed(TO_SERVER, heartbeat(3, b"shipping"))
    run.feed(TO_SERVER, fetch(2, b"orders")).feed(TO_CLIENT, fetched(2, (b"orders", 0, b"")))
    assert lags(shared) == {("orders", ""): 4}


@pytest.mark.parametrize("asked", [False, True])
def test_beside_a_broker_lag_is_told_where_its_side_is_asked_for(asked: bool) -> None:
    shared = Shared(PcapReceiver(messaging=Messaging(server_side=asked)))
    run = WholeRun(rows(shared), vantage=SERVER_SIDE)
    run.feed(TO_SERVER, fetch(1, b"orders")).feed(TO_CLIENT, fetched(1, (b"orders", 0, b"")))
    assert lags(shared) == ({("orders", ""): 4} if asked else {})


def test_broker_that_copies_is_not_behind() -> None:
    shared = Shared()
    run = consumer(shared)
    run.feed(TO_SERVER, fetch(1, b"orders", replica=2)).feed(TO_CLIENT, fetched(1, (b"orders", 0, b"")))
    assert lags(shared) == {}


def test_tokens_behind_a_handshake_of_version_0_are_never_read() -> None:
    run = started()
    run.feed(TO_SERVER, frame(17, 0, 1, b"\0\5PLAIN")).feed(TO_CLIENT, answer(1, b"\0\0\0\0\0\1\0\5PLAIN"))
    run.feed(TO_SERVER, b"\0\0\0\x0b\0lab\0secret").feed(TO_CLIENT, b"\0\0\0\0")
    run.feed(TO_SERVER, produce(2, (b"a", [batch([])]))).feed(TO_CLIENT, produced(2, (b"a", [0])))
    assert [one["operation"] for one in run.end()] == ["api_versions", "sasl_handshake", "send"]
    assert not run.reading.errors and run.pairing.unmatched == 0


def test_broker_that_does_not_know_the_version_answers_in_version_0() -> None:
    run = started()
    run.feed(TO_SERVER, frame(18, 9, 1, b"\0\2a\2b\0")).feed(TO_CLIENT, answer(1, b"\0\x23\0\0\0\0"))
    assert run.end()[-1]["status"] == "UNSUPPORTED_VERSION"


# --- attacks ---


def follows(run: WholeRun, number: int) -> None:
    """The next frame is read."""
    run.feed(TO_SERVER, produce(number, (b"next", [batch([])]))).feed(TO_CLIENT, produced(number, (b"next", [0])))
    assert (run.seen[-1].outcome, run.seen[-1]["target"]) == ("ok", "next")
    run.end()


@pytest.mark.parametrize(
    ("wire", "what"),
    [
        (frame(0, 3, 1, struct.pack(">hhIi", -1, 1, 0, 0x7FFFFFFF)), "layout"),
        (frame(0, 3, 1, struct.pack(">hhII", -1, 1, 0, 1) + b"\x7f\xff"), "layout"),
        (frame(0, 3, 1, struct.pack(">hhII", -1, 1, 0, 1) + b"\0\1a\0\0\0\1\0\0\0\0\x7f\xff\xff\xff"), "layout"),
        (frame(0, 9, 1, b"\0" + b"\xff" * 40), "layout"),
        (frame(0, 9, 1, b"\xff" * 40), "head"),
        (frame(3, 12, 1, b"\0" + b"\xff\xff\xff\xff\x7f"), "layout"),
        (frame(0, 3, 1, b""), "layout"),
        (frame(500, 3, 1, bytes(20)), "unknown kind"),
        (frame(0, 300, 1, b"\0" + bytes(20)), "unknown version"),
        (struct.pack(">IHHIH", 10, 0, 3, 1, 5000), "head"),
    ],
)
def test_bad_request_is_counted_and_the_next_is_read(wire: bytes, what: str) -> None:
    run = started()
    run.feed(TO_SERVER, wire)
    assert run.reading.errors == {("kafka", what): 1}
    run.feed(TO_CLIENT, answer(1, bytes(30)))
    if what.startswith("unknown"):
        assert run.seen[-1].outcome == "unknown"
    follows(run, 2)


@pytest.mark.parametrize("body", [b"", b"\x7f\xff\xff\xff", b"\0\0\0\1\xff\xf0", b"\0\0\0\1\0\1a\x7f\xff\xff\xff" + bytes(50)])
def test_answer_that_cannot_be_read_is_unknown(body: bytes) -> None:
    run = started()
    run.feed(TO_SERVER, produce(1, (b"a", [batch([])]))).feed(TO_CLIENT, answer(1, body))
    assert run.seen[-1].outcome == "unknown" and run.reading.errors == {("kafka", "layout"): 1}
    follows(run, 2)


def test_records_that_are_none_are_not_counted() -> None:
    run = started()
    short = bytes(8) + b"\0\0\0\x30" + bytes(4) + b"\2" + bytes(43)
    for number, records in enumerate((b"x" * 100, bytes(100), b"\xff" * 100, short), 1):
        run.feed(TO_SERVER, produce(number, (b"a", [records]))).feed(TO_CLIENT, produced(number, (b"a", [0])))
        assert run.seen[-1].outcome == "ok" and run.moved[-1][0] == 0
    run.end()


def test_records_that_hold_requests_are_records() -> None:
    run = started()
    inside = produce(99, (b"inside", [batch([])]))
    run.feed(TO_SERVER, produce(1, (b"a", [batch([], value=inside * 400)]))).feed(TO_CLIENT, produced(1, (b"a", [0])))
    assert [one["target"] for one in run.end()[1:]] == ["a"]


@pytest.mark.parametrize(
    "turn",
    [
        (TO_CLIENT, answer(3, b"\0\0\0\1\0\4logs\0\0\0\1" + bytes(26))),
        (TO_CLIENT, answer(0, bytes(6)) * 5),
        (TO_SERVER, b"\x00\x00\x00\x29\x00\x12\x00\x04\x00\x00\x00\x00\x00\x0aclient-one" + bytes(21)),
        (TO_SERVER, b"\x00\x00\x00\x50\x00\x03\x00\x00user\x00a\x00database\x00" + b"x" * 60),
        (TO_SERVER, bytes(200)),
        (TO_SERVER, frame(0, 3, 0x80000001, bytes(30))),
        (TO_SERVER, b"\x01\x00\x00\x00\x01\x00\x00\x00\x02\xdd\x07\x00\x00"),
    ],
)
def test_look_alike_is_refused(turn: tuple[int, bytes]) -> None:
    run = Run(rows(Shared()))
    run.feed(*turn)
    assert run.connection.protocol is None
    assert run.end() == []


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=120)), max_size=6), st.integers(0, len(VECTORS) - 1), st.data())
@settings(max_examples=150, deadline=None)
def test_bytes_of_any_kind_raise_nothing(noise: list[tuple[bool, bytes]], which: int, data: st.DataObject) -> None:
    run = Run(rows(Shared(PcapReceiver(kafka=Kafka(record_headers=True)))))
    for event in VECTORS[which].events[: data.draw(st.integers(1, 12))]:
        payload = event.payload
        if payload is not None:
            place = data.draw(st.integers(0, len(payload) - 1))
            payload = payload[:place] + data.draw(st.binary(max_size=4)) + payload[place + 1 :]
            run.feed(event.direction, payload)
    for to_server, payload in noise:
        run.feed(TO_SERVER if to_server else TO_CLIENT, payload)
    run.end()


# --- what is emitted ---


def emitted(vector: Vector, vantage: int) -> tuple[bytes, list[Any]]:
    """Every byte of spans, and the metrics, of a vector."""
    spans = Spans(Redactor())
    metrics = Metrics(PROTOCOLS, emitted=("kafka/server",))
    telemetry = Telemetry(metrics, spans, Sampler(), Identities())
    family = [row for row in PROTOCOLS if row.name == "kafka"]
    run = Run(family, vantage=vantage)
    conversation = Conversation(Reading(Pairing(telemetry), Detector(family)), run.connection, True)
    for event in vector.events:
        if event.payload is None:
            conversation.close(event.direction, event.ts_ns)
        else:
            conversation.feed(event.direction, event.payload, 0, len(event.payload), event.ts_ns)
    conversation.end(5, vector.events[-1].ts_ns)
    assert not telemetry.errors
    return bytes(spans.lend()[0]), metrics.durations()


SECRET = b"hunter2-never-shown"


@pytest.mark.parametrize("vantage", [0, 1])
@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_secrets_are_in_nothing_that_is_emitted(vector: Vector, vantage: int) -> None:
    spans, metrics = emitted(vector, vantage)
    assert SECRET not in spans and SECRET.decode() not in repr(metrics)


def test_metrics_of_the_clients_side() -> None:
    vector = next(one for one in VECTORS if one.name == "librdkafka-produce-1")
    assert any(SECRET in (event.payload or b"") for event in vector.events)
    spans, metrics = emitted(vector, CLIENT_SIDE)
    assert [metric.name for metric in metrics] == ["messaging.client.operation.duration", "messaging.client.sent.messages"]
    sent = {dict(point.attributes).get("messaging.destination.name"): point.value for point in metrics[1].points}
    assert sent == {"orders": 6, "logs": 1, "small": 2}
    one = next(dict(point.attributes) for point in metrics[1].points if "error.type" in dict(point.attributes))
    assert one == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "small",
        "error.type": "MESSAGE_TOO_LARGE",
        "server.address": "192.0.2.2",
        "server.port": 80,
    }
    assert b"send orders" in spans and b"api_versions" not in spans


def test_links_and_parent_in_the_span_itself() -> None:
    mine, other = [(b"traceparent", CONTEXT)], [(b"traceparent", SECOND)]
    turns = [(TO_SERVER, frame(18, 0, 0, b"")), (TO_CLIENT, answer(0, bytes(6)))]
    turns += [(TO_SERVER, produce(1, (b"a", [batch(mine, other)]))), (TO_CLIENT, produced(1, (b"a", [0])))]
    turns += [(TO_SERVER, fetch(2, b"a")), (TO_CLIENT, fetched(2, (b"a", 0, batch(mine, other, []))))]
    turns += [(TO_SERVER, fetch(3, b"a")), (TO_CLIENT, fetched(3, (b"a", 0, b"")))]
    spans, metrics = emitted(Vector("made", "kafka", exchange(*turns), []), CLIENT_SIDE)
    read = ScopeSpans()
    read.ParseFromString(spans)
    send, poll = read.spans
    assert (send.name, send.kind, send.parent_span_id.hex()) == ("send a", Span.SPAN_KIND_CLIENT, "00f067aa0ba902b7")
    assert [(link.span_id.hex(), link.flags & 0xFF) for link in send.links] == [("b7ad6b7169203331", 0)]
    assert (poll.name, poll.parent_span_id) == ("poll a", b"")
    assert [(link.span_id.hex(), link.flags & 0xFF) for link in poll.links] == [("00f067aa0ba902b7", 1), ("b7ad6b7169203331", 0)]
    assert [(metric.name, [point.value for point in metric.points]) for metric in metrics[1:]] == [
        ("messaging.client.consumed.messages", [3]),
        ("messaging.client.sent.messages", [2]),
    ]
    counts = {dict(point.attributes)["messaging.operation.name"]: point.count for point in metrics[0].points}
    assert counts == {"send": 1, "poll": 1, "api_versions": 1}
