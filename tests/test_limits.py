"""Every cap is counted where it is reached, and the count is exported: each is crossed here by one, and the metric read."""

from __future__ import annotations

import ast
import gc
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from receiver.build import make_engine
from receiver.config import Config, PcapReceiver, Receivers
from receiver.l7.conversation import open_conversation
from receiver.l7.registry import PROTOCOLS
from receiver.l7.sql import Prepared, Room, Sql, Statement
from receiver.pcap.capture import CaptureStats
from receiver.self_metrics import Accounts
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.snapshot import NumberPoint
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned
from receiver.wire.records import Connection, Endpoints
from tests.l7.harness import SERVER_SIDE, START_NS, TO_CLIENT, TO_SERVER, Pair
from tests.pcap.packets import ip, udp

ROOT = Path(__file__).resolve().parent.parent


class Observed:
    """The receiver, fed by connections of its own, and what it exports of its caps."""

    def __init__(self) -> None:
        config = Config(receivers=Receivers(pcap=PcapReceiver(trusted_proxies=("10.0.0.0/8",))))
        self.telemetry = Telemetry(Metrics(PROTOCOLS), Spans(Redactor()), Sampler(), Identities())
        self.engine = make_engine(config, self.telemetry, detail=True, local=())
        self.accounts = Accounts(config, self.engine, self.telemetry, START_NS)

    def hits(self) -> dict[str, int | float]:
        (metric,) = (each for each in self.accounts.metrics(CaptureStats()) if each.name == "pcap_receiver.limits.hit")
        return {str(dict(each.attributes)["limit"]): each.value for each in metric.points if isinstance(each, NumberPoint)}

    def talk(self, *turns: tuple[int, bytes], datagrams: bool = False, connection: Connection | None = None) -> None:
        conversation = open_conversation(self.engine.reading, connection or Pair(True), True, datagrams)
        for at, (direction, payload) in enumerate(turns):
            conversation.feed(direction, payload, 0, len(payload), START_NS + at)
        conversation.end(0, START_NS + len(turns))


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def dns(number: int, flags: int, kind: int = 1, rcode: int = 0, address: bytes = b"", name: bytes = b"") -> bytes:
    """A query, or its answer with an OPT record that has the upper bits of the response code."""
    told = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + address if address else b""
    head = struct.pack(">6H", number & 0xFFFF, flags | rcode & 15, 1, bool(told), 0, 1)
    opt = b"\x00\x00\x29\x04\xd0" + bytes((rcode >> 4, 0, 0, 0, 0, 0))
    name = name or b"n%07d" % number
    return head + bytes((len(name),)) + name + b"\x00" + struct.pack(">HH", kind, 1) + told + opt


def redis_commands(seen: Observed, times: int) -> None:
    turns = [((TO_SERVER, command(b"MADEUP%d" % i)), (TO_CLIENT, b"+OK\r\n")) for i in range(512 + times)]
    seen.talk((TO_SERVER, command(b"PING")), (TO_CLIENT, b"+PONG\r\n"), *(turn for pair in turns for turn in pair))


def redis_codes(seen: Observed, times: int) -> None:
    turns = [((TO_SERVER, command(b"PING")), (TO_CLIENT, b"-MADEUP%d no\r\n" % i)) for i in range(128 + times)]
    seen.talk((TO_SERVER, command(b"PING")), (TO_CLIENT, b"+PONG\r\n"), *(turn for pair in turns for turn in pair))


def message(kind: bytes, *fields: bytes) -> bytes:
    """PostgreSQL's."""
    body = b"".join(fields)
    return kind + struct.pack(">I", 4 + len(body)) + body


STARTUP = struct.pack(">II", 16, 196608) + b"user\x00a\x00\x00"
READY = message(b"Z", b"I")


def postgresql_databases(seen: Observed, times: int) -> None:
    for i in range(512 + times):
        body = b"user\x00a%07d\x00\x00" % i
        seen.talk((TO_SERVER, struct.pack(">II", 8 + len(body), 196608) + body))


def postgresql_tags(seen: Observed, times: int) -> None:
    """Of statements whose text says nothing, the server's words are kept."""
    turns = [(TO_SERVER, STARTUP), (TO_CLIENT, READY)]
    for i in range(256 + times):
        tag = bytes((65 + i // 26, 65 + i % 26))
        execute = message(b"B", b"\x00unknown\x00", bytes(6)) + message(b"E", bytes(5)) + message(b"S")
        turns += [(TO_SERVER, execute), (TO_CLIENT, message(b"2") + message(b"C", tag, b"\x00") + READY)]
    seen.talk(*turns)


def postgresql_codes(seen: Observed, times: int) -> None:
    turns = [(TO_SERVER, STARTUP), (TO_CLIENT, READY)]
    for i in range(512 + times):
        turns += [(TO_SERVER, message(b"Q", b"SELECT 1\x00")), (TO_CLIENT, message(b"E", b"CX%04d\x00\x00" % i) + READY)]
    seen.talk(*turns)


def postgresql_statements(seen: Observed, times: int) -> None:
    text = b"SELECT 1;" * (256 + times)
    seen.talk((TO_SERVER, STARTUP), (TO_CLIENT, READY), (TO_SERVER, message(b"Q", text, b"\x00")))


def dns_questions(seen: Observed, times: int) -> None:
    seen.talk(*((TO_SERVER, dns(i, 0x0100)) for i in range(4096 + times)), datagrams=True)


def dns_types(seen: Observed, times: int) -> None:
    first = ((TO_SERVER, dns(0, 0x0100, name=b"a")),)
    seen.talk(*first, *((TO_SERVER, dns(1, 0x0100, 1000 + i, name=b"a")) for i in range(128 + times)), datagrams=True)


def dns_response_codes(seen: Observed, times: int) -> None:
    pairs = [
        ((TO_SERVER, dns(i, 0x0100, name=b"a")), (TO_CLIENT, dns(i, 0x8180, rcode=100 + i, name=b"a"))) for i in range(128 + times)
    ]
    seen.talk(*(turn for pair in pairs for turn in pair), datagrams=True)


def dns_transfers(seen: Observed, times: int) -> None:
    asked = [dns(i, 0x0100, 252) for i in range(64 + times)]
    seen.talk(*((TO_SERVER, len(one).to_bytes(2, "big") + one) for one in asked))


def names(seen: Observed, times: int) -> None:
    turns = [
        ((TO_SERVER, dns(i, 0x0100, name=b"a")), (TO_CLIENT, dns(i, 0x8180, address=bytes((10, 1, i >> 8, i & 255)), name=b"a")))
        for i in range(4096 + times)
    ]
    seen.talk(*(turn for pair in turns for turn in pair), datagrams=True)


def hosts(seen: Observed, times: int) -> None:
    for i in range(4096 + times - 1):  # the server is one of them
        frame = b"\x02" * 12 + b"\x08\x00" + ip(f"11.1.{i >> 8}.{i & 255}", "10.0.0.1", 17, udp(40_000, 53, dns(i, 0x0100)), 1 + i)
        seen.engine.process_batch(frame, struct.pack("=4I", 1_700_000_000, i, 0, len(frame)), 1)


def callers(seen: Observed, times: int) -> None:
    for i in range(1024 + times):
        pair = Pair(True)
        pair.known = Endpoints(f"10.2.{i >> 8}.{i & 255}", 40_000, "192.0.2.2", 80, "tcp", SERVER_SIDE)
        seen.talk((TO_SERVER, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), connection=pair)


def kafka(kind: int, version: int, number: int, body: bytes, client: bytes = b"a") -> bytes:
    head = struct.pack(">HHIH", kind, version, number, len(client)) + client
    return struct.pack(">I", len(head) + len(body)) + head + body


def kafka_topics(seen: Observed, times: int) -> None:
    topics = b"".join(b"\0\x06t%05d" % i for i in range(4096 + times))
    seen.talk((TO_SERVER, kafka(3, 1, 1, struct.pack(">I", 4096 + times) + topics)))


def kafka_groups(seen: Observed, times: int) -> None:
    beats = (kafka(12, 0, i, b"\0\x06g%05d\0\0\0\1\0\1m" % i) for i in range(1024 + times))
    seen.talk(*((TO_SERVER, one) for one in beats))


def kafka_clients(seen: Observed, times: int) -> None:
    empty = b"\0\1\0\0\0\0\0\0\0\0"
    seen.talk(*((TO_SERVER, kafka(0, 0, i, empty, b"c%05d" % i)) for i in range(1024 + times)))


def kafka_topic_ids(seen: Observed, times: int) -> None:
    count = 16384 + times
    size = (count + 1) & 0x7F | 0x80, (count + 1) >> 7 & 0x7F | 0x80, (count + 1) >> 14
    topics = b"".join(b"\0\0\2t" + bytes(12) + struct.pack(">I", i + 1) + b"\0\1\0\0\0\0\0" for i in range(count))
    body = b"\0" + b"\0\0\0\0" + b"\1" + b"\0" + b"\0\0\0\1" + bytes(size) + topics + b"\0\0\0\0" + b"\0"
    answer = struct.pack(">II", len(body) + 4, 1) + body
    seen.talk((TO_SERVER, kafka(3, 10, 1, b"\0\0\1\0\0\0")), (TO_CLIENT, answer))


def kafka_kinds(seen: Observed, times: int) -> None:
    seen.talk((TO_SERVER, kafka(18, 0, 0, b"")), *((TO_SERVER, kafka(1000 + i, 0, i + 1, b"")) for i in range(64 + times)))
    seen.engine.reading.errors.pop(("kafka", "unknown kind"))


def amqp(channel: int, number: int, arguments: bytes = b"") -> bytes:
    payload = struct.pack(">I", number) + arguments
    return b"\1" + struct.pack(">HI", channel, len(payload)) + payload + b"\xce"


def amqp_published(seen: Observed, keys: Iterator[bytes]) -> None:
    frames = (amqp(1, 0x3C_0028, b"\0\0\0" + bytes((len(key),)) + key + b"\0") for key in keys)
    seen.talk((TO_SERVER, b"AMQP\0\0\x09\1"), *((TO_SERVER, one) for one in frames))


def amqp_destinations(seen: Observed, times: int) -> None:
    amqp_published(seen, (b"k%d" % i for i in range(1000 + times)))


def amqp_spellings(seen: Observed, times: int) -> None:
    amqp_published(seen, (b"k%05d" % i for i in range(4096 + times)))


def amqp_reply_codes(seen: Observed, times: int) -> None:
    closes = ((TO_CLIENT, amqp(1, 0x14_0028, struct.pack(">HBI", 1000 + i, 0, 0))) for i in range(64 + times))
    seen.talk((TO_SERVER, b"AMQP\0\0\x09\1"), *closes)


def amqp_channels(seen: Observed, times: int) -> None:
    opens = ((TO_SERVER, amqp(1 + i, 0x14_000A, b"\0")) for i in range(2048 + times))
    seen.talk((TO_SERVER, b"AMQP\0\0\x09\1"), *opens)


def amqp_consumers(seen: Observed, times: int) -> None:
    consumes = (amqp(1, 0x3C_0014, b"\0\0\1q\5%05d\x08\0\0\0\0" % i) for i in range(1024 + times))
    seen.talk((TO_SERVER, b"AMQP\0\0\x09\1"), *((TO_SERVER, one) for one in consumes))


def grpc_methods(seen: Observed, times: int) -> None:
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    turns = [(TO_SERVER, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)]
    for i in range(512 + times):
        # RFC 7541: POST and http of the static table, :path and content-type as literals that are not indexed.
        path = b"/made.Up/M%d" % i
        block = b"\x83\x86\x04" + bytes((len(path),)) + path + b"\x0f\x10\x10application/grpc"
        turns.append((TO_SERVER, len(block).to_bytes(3, "big") + b"\x01\x05" + (2 * i + 1).to_bytes(4, "big") + block))
    seen.talk(*turns)


def span_text(seen: Observed, times: int) -> None:
    for _ in range(times):
        agent = b"a" * 4097  # one byte more than a span's text may have
        request = b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: " + agent + b"\r\n\r\n"
        seen.talk((TO_SERVER, request), (TO_CLIENT, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))


def mysql_packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((sequence,)) + payload


def mysql(seen: Observed, *turns: tuple[int, bytes], flags: int = 0x8201) -> None:
    """A connection that has logged in."""
    greeting = mysql_packet(0, b"\x0a8.4.0\0" + bytes(12) + b"\0\xff\xff\xff\x02\0\xff\xff\x15" + bytes(30))
    login = mysql_packet(1, flags.to_bytes(4, "little") + b"\0\0\0\x01\xff" + bytes(23) + b"lab\0\0")
    seen.talk((TO_CLIENT, greeting), (TO_SERVER, login), (TO_CLIENT, mysql_packet(2, MYSQL_OK)), *turns)


MYSQL_OK = b"\0\0\0\x02\0\0\0"


def mysql_schemas(seen: Observed, times: int) -> None:
    turns = [
        ((TO_SERVER, mysql_packet(0, b"\x02schema%d" % i)), (TO_CLIENT, mysql_packet(1, MYSQL_OK))) for i in range(1024 + times)
    ]
    mysql(seen, *(turn for pair in turns for turn in pair))


def mysql_codes(seen: Observed, times: int) -> None:
    turns = [
        ((TO_SERVER, mysql_packet(0, b"\x0e")), (TO_CLIENT, mysql_packet(1, b"\xff" + struct.pack("<H", 1000 + i) + b"#HY000no")))
        for i in range(512 + times)
    ]
    mysql(seen, *(turn for pair in turns for turn in pair))


def mysql_batches(seen: Observed, times: int) -> None:
    turns = [
        ((TO_SERVER, mysql_packet(0, b"\x03DROP TABLE a%d; DROP TABLE a%d" % (i, i))), (TO_CLIENT, mysql_packet(1, MYSQL_OK)))
        for i in range(256 + times)
    ]
    mysql(seen, *(turn for pair in turns for turn in pair))


def mysql_inflate(seen: Observed, times: int) -> None:
    """Of a row of 1 MB the first 256 KiB are inflated, and the last piece is one byte longer."""
    for extra in range(times + 1):
        row = mysql_packet(2, b"\x0e" + b"x" * (262_144 - 5 - 5 + extra))
        inside = zlib.compress(mysql_packet(1, b"\x01") + row)
        packed = len(inside).to_bytes(3, "little") + b"\x01" + (262_144 + extra).to_bytes(3, "little") + inside
        ask = b"\x05\0\0\0\0\0\0" + mysql_packet(0, b"\x0e")
        mysql(seen, (TO_SERVER, ask.replace(b"\x0e", b"\x0a")), (TO_CLIENT, packed), flags=0x8221)


def statement(sql: Sql, text: str) -> None:
    wire = text.encode()
    sql.read(Cursor(wire), 0, len(wire), False, None)


def bson(*elements: bytes) -> bytes:
    inside = b"".join(elements)
    return (len(inside) + 5).to_bytes(4, "little") + inside + b"\0"


def bson_text(name: bytes, value: bytes) -> bytes:
    return b"\x02" + name + b"\0" + (len(value) + 1).to_bytes(4, "little") + value + b"\0"


MONGODB_OK = b"\x01ok\0" + struct.pack("<d", 1)


def mongodb_message(number: int, to: int, body: bytes) -> bytes:
    return struct.pack("<4i", 21 + len(body), number, to, 2013) + b"\0\0\0\0\0" + body


def mongodb(seen: Observed, *pairs: tuple[bytes, bytes]) -> None:
    """Commands and their answers."""
    turns = []
    for i, (command, answer) in enumerate(pairs, 1):
        turns += [(TO_SERVER, mongodb_message(i, 0, command)), (TO_CLIENT, mongodb_message(i, i, answer))]
    seen.talk(*turns)


def mongodb_commands(seen: Observed, times: int) -> None:
    mongodb(seen, *((bson(b"\x10madeUp%d\0\1\0\0\0" % i), bson(MONGODB_OK)) for i in range(256 + times)))


def mongodb_databases(seen: Observed, times: int) -> None:
    mongodb(seen, *((bson(b"\x10ping\0\1\0\0\0", bson_text(b"$db", b"d%d" % i)), bson(MONGODB_OK)) for i in range(1024 + times)))


def mongodb_collections(seen: Observed, times: int) -> None:
    mongodb(seen, *((bson(bson_text(b"find", b"c%d" % i)), bson(MONGODB_OK)) for i in range(2048 + times)))


def mongodb_codes(seen: Observed, times: int) -> None:
    failed = [bson(b"\x10ok\0\0\0\0\0\x10code\0" + struct.pack("<i", 1000 + i)) for i in range(512 + times)]
    mongodb(seen, *((bson(b"\x10ping\0\1\0\0\0"), answer) for answer in failed))


def mongodb_elements(seen: Observed, times: int) -> None:
    mongodb(seen, (bson(b"\x10ping\0\1\0\0\0", b"\x0aa\0" * (4095 + times)), bson(MONGODB_OK)))


def mongodb_inflate(seen: Observed, times: int) -> None:
    inside = b"\0\0\0\0\0" + bson(bson_text(b"insert", b"c"), bson_text(b"a", b"x" * (262_144 - 5 - 5 - 14 - 8 + times)))
    packed = zlib.compress(inside)
    message = struct.pack("<4iiiB", 25 + len(packed), 1, 0, 2012, 2013, len(inside), 2) + packed
    seen.talk((TO_SERVER, message), (TO_CLIENT, mongodb_message(1, 1, bson(MONGODB_OK))))


def sql_statements(seen: Observed, times: int) -> None:
    sql = Sql(0, seen.engine.reading.limits)
    for i in range(1024 + times):
        statement(sql, f"SELECT c{i} FROM t")


def sql_summaries(seen: Observed, times: int) -> None:
    sql = Sql(0, seen.engine.reading.limits)
    for i in range(1024):
        statement(sql, f"SELECT 1 FROM t{i}")
    statement(sql, "hunter2")  # no statement, which needs no place
    for i in range(times):
        statement(sql, f"SELECT 1 FROM t{1024 + i}")


def kafka_partitions(seen: Observed, times: int) -> None:
    positions = seen.engine.reading.levels.positions()
    for i in range(4096 + times):
        positions.ask("orders", i, 0)
    positions.ask("orders", 0, 1)  # one that is known


def kafka_members(seen: Observed, times: int) -> None:
    for i in range(1024 + times):
        seen.engine.reading.levels.join("192.0.2.1", f"c{i}", "billing")


def amqp_queues(seen: Observed, times: int) -> None:
    for i in range(1024 + times):
        seen.engine.reading.levels.queue(f"q{i}", 1, START_NS)


def sql_prepared_statements(seen: Observed, times: int) -> None:
    prepared = Prepared(Room(seen.engine.reading.limits))
    for i in range(1024 + times):
        prepared.put(i, Statement())


def sql_all_prepared_statements(seen: Observed, times: int) -> None:
    room = Room(seen.engine.reading.limits)
    connections = [Prepared(room) for _ in range(1000)]
    for i in range(100_000 + times):
        connections[i % 1000].put(i, Statement())


REACHED: dict[str, Callable[[Observed, int], None]] = {
    each.__name__: each
    for each in (
        redis_commands,
        redis_codes,
        postgresql_databases,
        postgresql_tags,
        postgresql_codes,
        postgresql_statements,
        dns_questions,
        dns_types,
        dns_response_codes,
        dns_transfers,
        names,
        hosts,
        callers,
        grpc_methods,
        amqp_destinations,
        amqp_spellings,
        amqp_reply_codes,
        amqp_channels,
        amqp_consumers,
        amqp_queues,
        kafka_topics,
        kafka_groups,
        kafka_clients,
        kafka_topic_ids,
        kafka_kinds,
        kafka_partitions,
        kafka_members,
        span_text,
        mysql_schemas,
        mysql_codes,
        mysql_batches,
        mysql_inflate,
        mongodb_commands,
        mongodb_databases,
        mongodb_collections,
        mongodb_codes,
        mongodb_elements,
        mongodb_inflate,
        sql_statements,
        sql_summaries,
        sql_prepared_statements,
        sql_all_prepared_statements,
    )
}


@pytest.mark.parametrize("limit", REACHED)
def test_cap_that_is_reached_is_counted_and_exported(limit: str) -> None:
    seen = Observed()
    REACHED[limit](seen, 0)
    assert seen.hits().get(limit, 0) == 0 and not seen.engine.reading.errors
    seen = Observed()
    REACHED[limit](seen, 1)
    assert seen.hits()[limit] == 1


def test_every_table_of_names_is_exported_from_the_start() -> None:
    seen = Observed()
    hits = seen.hits()
    tables = {each.name for each in gc.get_objects() if isinstance(each, Interned)} - {"t"}  # `t`: of tests alone
    assert tables >= {"redis_commands", "dns_questions", "grpc_methods", "hosts", "callers"}
    assert tables <= hits.keys()


# --- caps in the source ---

# Where a table's size is compared with a cap: the limit that counts it, or why nothing is counted.
COUNTED = {
    "health.py": {"CONNECTIONS_MAX": "-- who asks gets no answer", "REQUEST_BYTES_MAX": "-- answered as too large"},
    "known_names.py": {"READ_MAX": "-- a file that is not ours, and said so in the log"},
    "l7/amqp.py": {
        "CHANNELS_MAX": "amqp_channels",
        "CONSUMERS_MAX": "amqp_consumers",
        "WAITING_MAX": "-- counted as lost or unmatched",
    },
    "l7/reading.py": {"SPARE_MAX": "-- more are made anew"},
    "l7/dns.py": {"TRANSFERS_MAX": "dns_transfers", "ANSWERS_MAX": "-- what a span shows"},
    "l7/dns_text.py": {"ANSWERS_MAX": "-- what a span shows", "TEXT_MAX": "-- what a span shows"},
    "l7/grpc.py": {"METHOD_MAX": "-- no name is longer"},
    "l7/hpack.py": {"_LEARNED_MAX": "http2_hidden_names"},
    "l7/http2.py": {"BLOCK_MAX": "http2_header_block", "STREAMS_MAX": "http2_streams", "PROVED_MAX": "grpc_hidden_types"},
    "l7/kafka.py": {
        "INFLATE_MAX": "kafka_inflate",
        "LINKS_MAX": "-- what a span shows",
        "NAME_MAX": "-- no name is longer",
    },
    "l7/levels.py": {"PARTITIONS_MAX": "kafka_partitions", "MEMBERS_MAX": "kafka_members", "QUEUES_MAX": "amqp_queues"},
    "l7/matcher.py": {"HELD_MAX": "-- given up by pairs, each counted by its outcome"},
    "l7/mongodb.py": {"CODE_NAME_MAX": "-- no name is longer"},
    "l7/mongodb_names.py": {"COMMAND_NAME_MAX": "-- no name is longer"},
    "l7/mysql.py": {"SHOWN_MAX": "-- what a span shows"},
    "l7/origin.py": {"AUTHORITY_MAX": "-- no name is longer"},
    "l7/preamble.py": {
        "PREAMBLE_MAX": "-- an error",
        "DOUBTFUL_MAX": "-- it is no preamble",
        "V1_MAX": "-- an error",
    },
    "l7/postgresql.py": {"STATEMENTS_MAX": "postgresql_statements"},
    "l7/postgresql_names.py": {"NAME_MAX": "-- no name is longer", "TAG_MAX": "-- no tag is longer"},
    "l7/redis.py": {"LEVELS_MAX": "-- an error"},
    "l7/redis_names.py": {"NAME_MAX": "-- no name is longer", "CODE_MAX": "-- no code is longer"},
    "l7/sql.py": {"PREPARED_MAX": "sql_prepared_statements"},
    "l7/sql_summary.py": {"SUMMARY_MAX": "-- what a summary shows"},
    "l7/trace_context.py": {"_STATE_READ_MAX": "-- W3C: dropped whole"},
    "pcap/layer4.py": {"GUESSES_MAX": "-- counted at once, without its name"},
    "pcap/layer4_rows.py": {"series_max": "series_per_metric"},
    "route.py": {"SEGMENTS_MAX": "-- refused at the start", "PATH_MAX": "-- refused at the start"},
    "settings/again.py": {"TEXT_MAX": "-- a line in the log"},
    "telemetry/levels.py": {"_series_max": "-- told in one, as the metrics SDK does"},
    "telemetry/metrics.py": {"series_max": "series_per_metric"},
    "telemetry/pipeline.py": {
        "INBOUND_MAX": "-- a window on the latest",
        "SENT_MAX": "-- a window on the latest",
    },
    "telemetry/routes.py": {
        "_templates_max": "routes",
        "_CACHE_MAX": "-- looked at anew",
        "_CACHED_PATH_MAX": "-- looked at each time",
        "_DEPTH_MAX": "-- no pattern is deeper",
    },
    "telemetry/spans.py": {"TEXT_MAX": "span_text"},
    "watch.py": {"ROWS_MAX": "-- said on the screen"},
    "wire/names.py": {"size_max": "names", "STATIC_MAX": "-- the first lines of a file"},
}


def caps() -> Iterator[tuple[str, str]]:
    """File and name of each cap that the size of something is compared with."""
    for path in sorted((ROOT / "receiver").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            if not any(isinstance(each, ast.Call) and ast.unparse(each.func) == "len" for side in sides for each in ast.walk(side)):
                continue
            for side in sides:
                for each in ast.walk(side):
                    name = each.id if isinstance(each, ast.Name) else each.attr if isinstance(each, ast.Attribute) else ""
                    if name.lower().endswith("_max"):
                        yield str(path.relative_to(ROOT / "receiver")), name


def test_new_cap_is_counted_or_says_why_not() -> None:
    found: dict[str, set[str]] = {}
    for file, name in caps():
        found.setdefault(file, set()).add(name)
    assert found == {file: set(why) for file, why in COUNTED.items()}


def test_what_counts_a_cap_has_a_name_in_the_source() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "receiver").rglob("*.py"))
    named = [limit for why in COUNTED.values() for limit in why.values() if not limit.startswith("--")]
    assert [limit for limit in named if f'"{limit}"' not in text] == []
