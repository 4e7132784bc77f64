"""What must hold of each decoder for any bytes.

A target takes the fuzzer's bytes and returns what came out of them, as text that two builds can be compared by; a broken rule is an
AssertionError, or whatever exception escaped.
- Nothing but Malformed comes out of a decoder.
- The books balance: each request leaves once, nothing stays open at the end, and limits hold.
- Read byte by byte, a connection says what it says read whole: everything, or the pairs up to where bytes were set aside.
- HPACK: what the library `hpack` reads too, it reads the same.
- SQL: what is told is bounded and has no string in it, bytes around the text are not read, a statement ends behind its beginning.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import hpack
from hpack.exceptions import HPACKError

from receiver.config import KNOWN_METHODS, Kafka, PcapReceiver
from receiver.l7 import amqp, detection, kafka, mongodb, mysql
from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.dns import DnsDecoder, DnsSettings
from receiver.l7.hpack import HeaderList, HpackDecoder
from receiver.l7.http import HttpSettings
from receiver.l7.http1 import Http1Decoder
from receiver.l7.http2 import Http2Decoder, Http2Settings
from receiver.l7.postgresql import PostgresqlDecoder, Tables
from receiver.l7.reading import Reading
from receiver.l7.redis import RedisDecoder
from receiver.l7.redis_names import Vocabulary
from receiver.l7.shared import Shared
from receiver.l7.sql import Sql
from receiver.l7.tls import TlsDecoder
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.names import Names
from receiver.wire.records import Malformed, Message, Protocol
from tests.fuzz import script
from tests.fuzz.script import Script, Step
from tests.l7.harness import CLIENT_SIDE, COMPILED, SERVER_SIDE, Run, Said, Seen, exchange, load_all
from tests.l7.sql_statements import made, outside_names, written
from tests.l7.test_tls import Kept, hello

INPUT_MAX = 1024
# Up to this size an input is read byte by byte, above it in pieces that are still shorter than anything which means something.
BYTEWISE_MAX = 512
PIECE = 5
SECOND_NS = 1_000_000_000
PROPAGATORS = ("tracecontext", "b3", "b3multi", "jaeger", "xray")


# --- rows, new for each connection: what one teaches their tables must not change what the next one says ---


def http_rows() -> tuple[Protocol, ...]:
    http1 = HttpSettings(KNOWN_METHODS, ("x-id",), ("x-id",), PROPAGATORS)
    http2 = Http2Settings(http1)
    plain = Protocol("http2", "http2", partial(Http2Decoder, http2))
    grpc = Protocol("grpc", "grpc", partial(Http2Decoder, http2), probed=False)
    http2.name_rows(plain, grpc)
    return Protocol("http", "http", partial(Http1Decoder, http1)), plain, grpc


def http2_rows() -> tuple[Protocol, ...]:
    _, plain, grpc = http_rows()
    return plain, grpc


def dns_rows() -> tuple[Protocol, ...]:
    settings = DnsSettings(Names(), False)
    return (Protocol("dns", "dns", partial(DnsDecoder, settings), over_udp=True, repeats=True),)


def redis_rows() -> tuple[Protocol, ...]:
    return (Protocol("redis", "redis", partial(RedisDecoder, vocabulary()), client_only=True),)


def vocabulary() -> Vocabulary:
    """A new one. To make it takes longer than to read an input, so the plain one is copied."""
    if COMPILED:
        return Vocabulary()
    words = copy(WORDS)
    words.codes = copy(WORDS.codes)
    for table in (words, words.codes):
        table.by_name, table.near_names, table.near = dict(table.by_name), None, None
    return words


WORDS = Vocabulary()


def postgresql_rows() -> tuple[Protocol, ...]:
    return (Protocol("postgresql", "postgresql", partial(PostgresqlDecoder, Tables()), client_only=True),)


def tls_rows() -> tuple[Protocol, ...]:
    return (Protocol("tls", "tls", TlsDecoder),)


def mysql_rows() -> tuple[Protocol, ...]:
    return mysql.rows(Shared())


def mongodb_rows() -> tuple[Protocol, ...]:
    return mongodb.rows(Shared())


def kafka_rows() -> tuple[Protocol, ...]:
    return kafka.rows(Shared(PcapReceiver(kafka=Kafka(record_headers=True))))


# --- connections ---


class Session(Run):
    """`broke`: what was paired when bytes were set aside for the first time."""

    def __init__(self, rows: tuple[Protocol, ...], settings: int) -> None:
        from_start = not settings & script.JOINED
        self.by_content = bool(settings & script.BY_CONTENT)
        datagrams = bool(settings & script.DATAGRAMS) and rows[0].over_udp
        vantage = CLIENT_SIDE if settings & script.FROM_CLIENT else SERVER_SIDE
        super().__init__(rows, from_start, vantage, not settings & script.NO_DETAIL, datagrams=datagrams)
        if not self.by_content:
            detector = Detector(rows, {0: rows[0]})
            self.reading = Reading(self.pairing, detector, self.reading.detail, self.reading.head_max)
        self.connection = Kept(from_start)
        self.conversation = Conversation(self.reading, self.connection, from_start, datagrams)
        self.broke: list[Seen] | None = None

    def take(self, step: Step, size: int) -> None:
        """`size`: a payload comes in pieces of so many bytes."""
        self.ts_ns += 1_000_000
        if step.kind == script.GAP:
            self.gap(step.direction, step.number)
        elif step.kind == script.CLOSE:
            self.conversation.close(step.direction, self.ts_ns)
        elif step.kind == script.WAIT:
            self.ts_ns += step.number % 64 * SECOND_NS
            self.conversation.expire(self.ts_ns)
            self.release()
        for i in range(0, len(step.payload), size):
            self.feed(step.direction, step.payload[i : i + size])
            self.look()
        self.look()
        if not COMPILED:
            self.check_limits()

    def look(self) -> None:
        if self.broke is None and (self.reading.errors or self.reading.bytes_set_aside):
            self.broke = [seen for seen in self.seen if seen.paired]

    def check_limits(self) -> None:
        for half in (self.conversation.to_server, self.conversation.to_client):
            assert half.partial is None or len(half.partial) <= self.reading.head_max + INPUT_MAX
        waited = self.conversation.detection.waited or () if self.conversation.detection else ()
        assert sum(len(piece) for _, piece, _ in waited) <= 2 * (detection.DETECT_BYTES + INPUT_MAX)


def play(rows: tuple[Protocol, ...], plan: Script, size: int = INPUT_MAX) -> tuple[Session, list[Seen]]:
    run = Session(rows, plan.settings)
    for step in plan.steps:
        run.take(step, size)
    return run, run.end()


def connection(make: Callable[[], tuple[Protocol, ...]], text: bytes) -> str:
    plan, rows = script.parse(text[:INPUT_MAX]), make()
    run, seen = play(rows, plan)
    if plan.whole and not run.datagrams:
        apart, singly = play(rows, plan, 1 if len(text) <= BYTEWISE_MAX else PIECE)
        agree(run, seen, apart, singly)
    known = run.connection.endpoints()
    said = [f"{one!r}" for one in seen] + [f"{known.tls_server_name} {known.tls_protocols}"]
    return "\n".join([*said, repr(sorted(run.reading.errors.items())), repr(run.reading.bytes_set_aside)])


def agree(whole: Session, seen: list[Seen], apart: Session, singly: list[Seen]) -> None:
    if whole.broke is None and apart.broke is None:
        assert [sizeless(one) for one in seen] == [sizeless(one) for one in singly]
        return
    # Bytes that break a rule, or whose length is not known, take the rest of their piece with them; and what is skipped by count is
    # not looked at, where a piece that holds all of it shows that it does not end as it should. From there on the pieces matter.
    before = whole.broke if whole.broke is not None else [one for one in seen if one.paired]
    before_apart = apart.broke if apart.broke is not None else [one for one in singly if one.paired]
    for one, other in zip(before, before_apart, strict=False):
        assert sizeless(one) == sizeless(other)


def sizeless(seen: Seen) -> Seen:
    """Without sizes: how much of a message that never ended is counted depends on its pieces."""
    response = None if seen.response is None else shown(seen.response)
    return replace(seen, request=shown(seen.request), response=response, sizes=())


def shown(said: Said) -> Said:
    return replace(said, attributes=tuple(pair for pair in said.attributes if not pair[0].endswith(".size")))


# --- header blocks ---


def header_blocks(text: bytes) -> str:
    """[u8 settings: 01 joined late] blocks [u16 n, little-endian][n bytes]"""
    late = bool(text[:1] and text[0] & 1)
    ours, oracle = HpackDecoder(from_start=not late), hpack.Decoder(max_header_list_size=1 << 20)
    oracle.max_allowed_table_size = 1 << 30
    compared = not late
    said: list[str] = []
    at = 1
    while at + 2 <= len(text):
        block = text[at + 2 : at + 2 + int.from_bytes(text[at : at + 2], "little")]
        at += 2 + len(block)
        fields = HeaderList()
        try:
            # In the middle of other bytes, none of which may be read.
            count = ours.decode(b"\x82" * 3 + block + b"\x82" * 3, 3, 3 + len(block), fields)
        except Malformed as malformed:
            said.append(f"{malformed.what} at {malformed.offset}")
            compared = False
            continue
        assert count >= len(fields.fields)
        assert ours.table_size <= max(65536, 0)
        said.append(repr((fields.fields, ours.truncated, ours.complete, ours.table_size, ours.table_limit, ours.unknown)))
        if compared:
            try:
                theirs = oracle.decode(block, raw=True)
            except HPACKError:
                compared = False
                continue
            compared = ours.complete
            if compared and not ours.truncated:
                assert [(name, value) for name, value, _ in fields.fields] == [(bytes(n), bytes(v)) for n, v in theirs]
    return "\n".join(said)


# --- SQL ---


def sql_text(text: bytes) -> str:
    """[u8 settings: 03 dialect, 04 double quotes hold names, 08 backslashes escape, 10 cut] text"""
    settings, wire = text[0] if text else 0, text[1:]
    said: list[str] = []
    for before, behind in ((b"", b""), (b"/*'\"`$a$", b"'\"`*/ x $a$")):
        sql, buf, at = Sql(settings % 3, None, TraceContext()), before + wire + behind, len(before)
        sql.ansi_quotes, sql.backslash = bool(settings & 4), bool(settings & 8)
        c, end = Cursor(buf), at + len(wire)
        c.set(buf, at, end)
        told: list[str] = []
        while at < end:
            out = Message()
            statement = sql.read(c, at, end, bool(settings & 16), out)
            assert at < sql.next <= end
            at = sql.next
            assert len(statement.text) <= 4096 and len(statement.summary) <= 255
            assert bool(statement.operation) == bool(statement.summary) == bool(statement.text)
            assert "'" not in outside_names(statement.text, '"' if settings % 3 == 2 else '"`')
            said_of_it = statement.operation, statement.summary, statement.text, statement.procedure
            told.append(repr((*said_of_it, out.trace_id, at - len(before))))
        assert len(sql.known.by_name) <= len(told)
        said.append("\n".join(told))
    assert said[0] == said[1]
    return said[0]


def sql_seeds() -> list[bytes]:
    chance = random.Random(1)
    texts = [(one.dialect, one.text) for one in made()[:20]] + [(one.dialect, written(one, chance)) for one in made()[20:30]]
    texts += [
        ("postgres", "SELECT E'a\\'b', U&'c', $x$ d $x$, e::int[], ARRAY[1, 2], f ->> 'g' /* h /* i */ */ -- j"),
        ("postgres", "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; SET a.b TO c"),
        ("mysql", "CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; END IF; END; /*!50003 CALL p() */ # x"),
        ("mysql", "INSERT INTO t VALUES ROW(1, NULL), ROW(-2, DEFAULT) ON DUPLICATE KEY UPDATE a=VALUES(a), b=_utf8'x' \"y\""),
        ("mysql", "SELECT 1 /*traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/; SELECT 2"),
    ]
    return [bytes((8 if dialect == "mysql" else 6,)) + text.encode() for dialect, text in texts]


# --- the targets ---


@dataclass(frozen=True)
class Target:
    """`check` returns what came out; `seeds` are inputs made of what real programs said."""

    check: Callable[[bytes], str]
    seeds: Callable[[], list[bytes]]


def recorded(folder: str) -> list[bytes]:
    """An upgrade to HTTP/2 begins as HTTP/1."""
    vectors = [vector for vector in load_all(folder) if "upgrade" not in vector.name]
    if folder == "http1":
        vectors += [vector for vector in load_all("http2") if "upgrade" in vector.name]
    found: list[bytes] = []
    for vector in vectors:
        base = script.DATAGRAMS if "udp" in vector.name else 0
        found.append(script.write(base, vector.events, BYTEWISE_MAX))
        found.append(script.write(base | script.JOINED | script.BY_CONTENT, vector.events, INPUT_MAX))
        # From the middle: a recorded connection is longer than an input.
        middle = len(vector.events) // 4 * 2
        found.append(script.write(base, vector.events[middle:], BYTEWISE_MAX) if vector.protocol != "http2" else b"")
    return [seed for seed in found if len(seed) > 4]


def recorded_blocks() -> list[bytes]:
    """The header blocks in the frames of the recorded connections, in order, a direction each."""
    found: list[bytes] = []
    for vector in load_all("http2"):
        for direction in (0, 1):
            stream = b"".join(event.payload or b"" for event in vector.events if event.direction == direction)
            at = stream.find(b"SM\r\n\r\n") + 6 if b"SM\r\n\r\n" in stream else 0
            out = bytearray(1)
            while at + 9 <= len(stream):
                size, kind, flags = int.from_bytes(stream[at : at + 3], "big"), stream[at + 3], stream[at + 4]
                payload = stream[at + 9 : at + 9 + size]
                at += 9 + size
                if kind == 1 and not flags & 0x08 and len(out) + len(payload) < 600:
                    payload = payload[5:] if flags & 0x20 else payload
                    out += len(payload).to_bytes(2, "little") + payload
            if len(out) > 1:
                found += [bytes(out), b"\1" + bytes(out[1:])]
    return found


def hellos() -> list[bytes]:
    """Connections of TLS, as far as the client's first message."""
    events = [exchange((0, hello(name, alpn))) for name in (None, "a.test", "shop.test") for alpn in ((), ("h2", "http/1.1"))]
    return [script.write(settings, said, INPUT_MAX) for said in events for settings in (0, script.BY_CONTENT)]


TARGETS = {
    "http1": Target(partial(connection, http_rows), partial(recorded, "http1")),
    "http2": Target(partial(connection, http2_rows), partial(recorded, "http2")),
    "hpack": Target(header_blocks, recorded_blocks),
    "dns": Target(partial(connection, dns_rows), partial(recorded, "dns")),
    "redis": Target(partial(connection, redis_rows), partial(recorded, "redis")),
    "mysql": Target(partial(connection, mysql_rows), partial(recorded, "mysql")),
    "postgresql": Target(partial(connection, postgresql_rows), partial(recorded, "postgresql")),
    "mongodb": Target(partial(connection, mongodb_rows), partial(recorded, "mongodb")),
    "amqp": Target(partial(connection, partial(amqp.rows, Shared())), partial(recorded, "amqp")),
    "kafka": Target(partial(connection, kafka_rows), partial(recorded, "kafka")),
    "tls": Target(partial(connection, tls_rows), hellos),
    "sql": Target(sql_text, sql_seeds),
}
